// SPDX-License-Identifier: MIT
// Reads values of many types, handles, and exceptions, from bytes that may be anything. The first
// byte chooses the type, the others are for `deserialize`. What is read is written again, and read
// again: that must give the same bytes.
//
//     fuzz_deserialize --seeds=corpus && fuzz_deserialize corpus -max_len=4096 -timeout=10
#include <fuzz/fuzzed_handles.hpp>
#include <fuzz/fuzzed_types.hpp>
#include <fuzz/fuzzing.hpp>

#include <muster/detail/process/exception_transport.hpp>
#include <muster/errors.hpp>
#include <muster/exception.hpp>
#include <muster/serialization.hpp>
#include <muster/standard_exceptions.hpp>

#include <array>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <future>
#include <ios>
#include <new>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace fuzz {

/// An exception of a program, with a field.
struct ParseError : std::runtime_error {
    ParseError() : std::runtime_error("") {}
    ParseError(const std::string& what, int its_line) : std::runtime_error(what), line{its_line} {}
    template <class Archive>
    void serialize(Archive& ar) {
        ar(line);
    }

    int line = 0;
};
MUSTER_EXCEPTION(fuzz::ParseError)

namespace {

template <typename T>
T read(Input bytes) {
    const Budget budget(bytes.size());
    return muster::deserialize<T>(bytes);
}

template <typename T>
std::optional<T> read_or_refuse(Input bytes) {
    std::optional<T> value;
    try {
        value.emplace(read<T>(bytes));
    } catch (const muster::SerializationError&) {  // Any other exception ends the fuzzer.
    }
    return value;
}

enum class Order { kept, lost };

template <typename T, Order order>
bool round_trip(Input bytes) {
    const std::optional<T> value = read_or_refuse<T>(bytes);
    if (!value) return false;
    const Bytes written = muster::serialize(*value);
    const Bytes again = muster::serialize(read<T>(written));
    require(again.size() == written.size(), "what was read is written in as many bytes");
    if (order == Order::kept) require(again == written, "what was read is written as it was read");
    return true;
}

/// The same for what has handles. Those that name no object are told by other errors.
template <typename T>
bool round_trip_handle(Input bytes) {
    (void)Family::own();
    std::optional<T> value;
    try {
        value = read_or_refuse<T>(bytes);
    } catch (const muster::InvalidStateError&) {
    } catch (const std::system_error& error) {  // A SharedMemory, by its name.
        require(error.code() == std::errc::no_such_file_or_directory, "no other call has failed");
    }
    if (!value) return false;
    use(*value);
    const Bytes written = muster::serialize(*value);
    require(muster::serialize(read<T>(written)) == written, "a handle is written as it was read");
    return true;
}

Bytes encoded(const std::exception_ptr& error) {
    muster::detail::HeapBuffer buffer;
    muster::detail::encode_exception(buffer, error);
    return {buffer.data, buffer.data + buffer.size};
}

bool transport_exception(Input bytes) {
    std::exception_ptr error;
    {
        const Budget budget(bytes.size());
        error = muster::detail::decode_exception(bytes);
    }
    require(error != nullptr, "there is always an exception");
    const Bytes written = encoded(error);
    require(!written.empty(), "an exception is bytes");
    require(encoded(muster::detail::decode_exception(written)) == written,
            "an exception that arrived goes on as what it is");
    return true;
}

/// Whether the bytes are a value; and what was done with it did no harm.
using Kind = bool (*)(Input);

template <typename T>
constexpr Kind kind_of(Types<T>*) {
    return &round_trip<T, Order::kept>;
}
template <typename T>
constexpr Kind kind_of(Types<Unordered<T>>*) {
    return &round_trip<T, Order::lost>;
}

template <typename... Ts>
constexpr std::array<Kind, sizeof...(Ts)> kinds_of(Types<Ts...>) {
    return {kind_of(static_cast<Types<Ts>*>(nullptr))...};
}

template <typename... As, typename... Bs>
constexpr Types<As..., Bs...> operator+(Types<As...>, Types<Bs...>) {
    return {};
}

template <typename... Ts>
constexpr std::array<Kind, sizeof...(Ts)> handle_kinds_of(Types<Ts...>) {
    return {&round_trip_handle<Ts>...};
}

constexpr auto kinds =
    kinds_of(Scalars{} + Sequences{} + Associative{} + Composed{} + Clocked{} + Classes{});
constexpr auto handle_kinds = handle_kinds_of(Handles{});
/// What comes behind both.
constexpr std::size_t exception = kinds.size() + handle_kinds.size();
static_assert(exception < 256);

bool run(std::size_t chosen, Input bytes) {
    if (chosen < kinds.size()) return kinds[chosen](bytes);
    if (chosen < exception) return handle_kinds[chosen - kinds.size()](bytes);
    return transport_exception(bytes);
}

std::vector<std::exception_ptr> exceptions() {
    return {std::make_exception_ptr(std::out_of_range("far away")),
            std::make_exception_ptr(std::bad_alloc()),
            std::make_exception_ptr(std::bad_variant_access()),
            std::make_exception_ptr(std::system_error(2, std::generic_category(), "open")),
            std::make_exception_ptr(std::ios_base::failure("read")),
            std::make_exception_ptr(std::future_error(std::future_errc::broken_promise)),
            std::make_exception_ptr(std::regex_error(std::regex_constants::error_paren)),
            std::make_exception_ptr(std::filesystem::filesystem_error(
                "copy", "from", "to", std::make_error_code(std::errc::permission_denied))),
            std::make_exception_ptr(muster::WorkerCrashed("fell", 4711, -9, 9)),
            std::make_exception_ptr(muster::RemoteError("bank::Overdrawn", "by 3")),
            std::make_exception_ptr(muster::TaskTimeout("late")),
            std::make_exception_ptr(ParseError("a bracket is missing", 12)),
            std::make_exception_ptr(Account()),
            std::make_exception_ptr(42)};
}

}  // namespace

void fuzz_one(Input input) {
    if (input.empty()) return;
    (void)run(std::to_integer<std::size_t>(input[0]) % (exception + 1), input.subspan(1));
}

void write_seeds(Seeds& seeds) {
    const auto add = [&seeds](std::size_t chosen, Bytes bytes) {
        bytes.insert(bytes.begin(), static_cast<std::byte>(chosen));
        seeds.add(bytes);
    };
    std::uint64_t state = 1;
    for (std::size_t chosen = 0; chosen < kinds.size(); ++chosen)
        for (int i = 0; i < 4; ++i) add(chosen, grow(state, kinds[chosen]));
    // Each handle as each type: in front of what it names, some have a name or an address.
    for (std::size_t chosen = kinds.size(); chosen < exception; ++chosen) {
        for (const Bytes& handle : Family::own().handles()) add(chosen, handle);
        for (const Bytes& other : Family::own().structs()) add(chosen, other);
        for (const char* const text : {"lock", "a/b", "connection.", "listener."}) {
            const std::string name = text + std::string(32, '0');
            add(chosen, muster::serialize(name));
            add(chosen, muster::serialize(std::array{name, std::string("own")}));
        }
    }
    for (const std::exception_ptr& error : exceptions()) add(exception, encoded(error));
}

}  // namespace fuzz
