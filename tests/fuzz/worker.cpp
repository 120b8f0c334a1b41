// SPDX-License-Identifier: MIT
// Feeds a worker with calls whose bytes are not what their parent wrote. The first byte chooses the
// function, the others are what it and its arguments are read from, as a worker reads them. What it
// returns is its arguments, so those must be the same when the parent has read them. The first bit
// says whether the parent is also told of a call that is refused: exceptions take most of the time.
//
// Which code runs is the parent's to say: the address of the function is one of the bytes that a
// worker believes, and so are offsets in the pool's memory. These are not fed, but for a function
// whose module the pool does not know.
//
//     fuzz_worker --seeds=corpus && fuzz_worker corpus -max_len=4096 -timeout=10
#include <fuzz/fuzzed_types.hpp>
#include <fuzz/fuzzing.hpp>

#include <muster/muster.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace fuzz {

namespace {

using namespace muster::detail;

/// A function object without data.
template <typename... Args>
struct Echo {
    std::tuple<Args...> operator()(Args... args) const { return {std::move(args)...}; }
};

/// One that hears of stop requests.
template <typename Arg>
struct Listening {
    std::tuple<Arg> operator()(const muster::StopToken& stop, Arg arg) const {
        require(!stop.stop_requested(), "nobody asked it to stop");
        return {std::move(arg)};
    }
};

/// One with data.
struct Joining {
    std::tuple<std::string, int> operator()(int number) const { return {text, number}; }
    template <class Archive>
    void serialize(Archive& ar) {
        ar(text);
    }

    std::string text;
};

/// A call, and how its result is read.
struct Callable {
    Thunk call;
    Bytes (*read)(Input);
};

/// Reads a result as the parent does, and writes it again.
template <typename R>
Bytes read_result(Input bytes) {
    const Budget budget(4 * bytes.size());  // Once read, and written.
    return muster::serialize(muster::deserialize<R>(bytes));
}

template <typename R, bool with_token, typename F, typename... Args>
constexpr Callable callable = {&call_remotely<R, with_token, F, Args...>, &read_result<R>};

template <typename... Args>
constexpr Callable echo = callable<std::tuple<Args...>, false, Echo<Args...>, Args...>;

constexpr std::array callables{
    echo<>,
    echo<int, bool, std::string>,
    echo<std::vector<std::string>, std::map<int, std::string>>,
    echo<Mixed>,
    echo<Json, Tree>,
    echo<Chain, Hooked, Account>,
    echo<std::unique_ptr<Polygon>, std::optional<std::vector<bool>>>,
    echo<std::variant<std::monostate, Color, Split>, std::vector<Padded>>,
    callable<std::tuple<Json>, true, Listening<Json>, Json>,
    callable<std::tuple<std::string, int>, false, Joining, int>,
    callable<std::tuple<int>, false, std::tuple<int> (*)(int), int>,
    callable<std::tuple<int>, false, std::tuple<int> (Echo<int>::*)(int) const, Echo<int>, int>,
};

/// The memory of a pool that has sent no function.
const std::byte* pool_memory() {
    static const PoolMemory& memory = *new PoolMemory;
    return reinterpret_cast<const std::byte*>(&memory.page());
}

/// The virtual ones among member functions have an index instead of an address, which has no module:
/// which of them is called is the parent's to say.
bool names_virtual_function(std::size_t chosen, Input bytes) {
    if (chosen != callables.size() - 1 || bytes.size() < 16) return false;
    std::array<std::uintptr_t, 2> words{};
    std::memcpy(words.data(), bytes.data(), sizeof words);
    return !holds_code_address<std::tuple<int> (Echo<int>::*)(int) const>(words);
}

/// As the worker does it. Null if it went well.
std::exception_ptr call(const Callable& chosen, Input bytes, ByteBuffer& result) {
    const Budget budget(4 * bytes.size());  // Once read, and written.
    try {
        Decoder arguments(bytes);
        ModuleResolver modules(pool_memory());
        muster::StopSource stop;
        std::atomic<Stage> stage{Stage::decoding};
        RemoteCall remote{arguments, modules, &stop, result, stage};
        chosen.call(remote);
        return nullptr;
    } catch (const muster::SerializationError&) {  // Any other exception ends the fuzzer.
        return std::current_exception();
    } catch (const muster::EntryGuardError&) {
        return std::current_exception();
    }
}

std::string what_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const muster::SerializationError& refused) {
        return std::string("refused: ") + refused.what();
    } catch (const muster::EntryGuardError& unknown) {
        return std::string("unknown: ") + unknown.what();
    }
}

enum class Refusal { told, untold };

bool run(std::size_t chosen, Input bytes, Refusal refusal) {
    if (names_virtual_function(chosen, bytes)) return false;
    const Callable& callable = callables[chosen];
    HeapBuffer result;
    const std::exception_ptr error = call(callable, bytes, result);
    if (error && refusal == Refusal::told) {
        HeapBuffer sent;
        encode_exception(sent, error);
        require(what_of(decode_exception({sent.data, sent.size})) == what_of(error),
                "the parent learns why");
    }
    if (error) return false;
    const Bytes returned(result.data, result.data + result.size);
    require(callable.read(returned) == returned, "the parent reads what the worker returned");
    return true;
}

}  // namespace

void fuzz_one(Input input) {
    if (input.empty()) return;
    const auto first = std::to_integer<std::size_t>(input[0]);
    (void)run((first & 127) % callables.size(), input.subspan(1),
              (first & 128) != 0 ? Refusal::told : Refusal::untold);
}

void write_seeds(Seeds& seeds) {
    std::uint64_t state = 1;
    for (std::size_t chosen = 0; chosen < callables.size(); ++chosen) {
        for (int i = 0; i < 8; ++i) {
            Bytes seed =
                grow(state, [chosen](Input bytes) { return run(chosen, bytes, Refusal::untold); });
            seed.insert(seed.begin(), static_cast<std::byte>(chosen));
            seeds.add(seed);
            seed.front() |= std::byte{128};
            seed.pop_back();  // The last byte is missing, or there is no call.
            seeds.add(seed);
        }
    }
}

}  // namespace fuzz
