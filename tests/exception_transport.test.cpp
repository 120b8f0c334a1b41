// SPDX-License-Identifier: MIT
// ctest: alone
// What a worker's exception is when it reaches the parent.
#include <muster/detail/process/exception_transport.hpp>

#include <support/exceptions.hpp>

#include <doctest/doctest.h>

#include <any>
#include <cerrno>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <new>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <variant>
#include <vector>

namespace bank {

struct Overdrawn : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct Account {
    struct Closed : muster::WorkerCrashed {
        using muster::WorkerCrashed::WorkerCrashed;
    };
};
template <typename T>
struct Refused : std::exception {
    const char* what() const noexcept override { return "refused"; }
};
namespace std {
struct Error : muster::Error {
    using muster::Error::Error;
};
}  // namespace std

class Category final : public ::std::error_category {
    const char* name() const noexcept override { return "generic"; }
    ::std::string message(int) const override { return "the vault is closed"; }
};

}  // namespace bank

namespace {

using exceptions::arrival;
using exceptions::arrival_of;
using exceptions::arrives_the_same;
using exceptions::is_exactly;
using exceptions::Remote;
using exceptions::remote;
using exceptions::remote_of;
using exceptions::with_exactly;

struct Hidden : std::logic_error {
    using std::logic_error::logic_error;
};
struct Silent : std::exception {
    const char* what() const noexcept override { return nullptr; }
};
struct Coordinates {
    int x = 1;
};
struct Both : std::out_of_range, muster::Error {
    Both() : std::out_of_range("out"), muster::Error("muster") {}
};
struct Unreachable : private std::runtime_error {
    Unreachable() : std::runtime_error("private") {}
};

}  // namespace

TEST_CASE_TEMPLATE("a type that holds only its text arrives with the same type and text", E,
                   std::logic_error, std::invalid_argument, std::domain_error, std::length_error,
                   std::out_of_range, std::runtime_error, std::range_error, std::overflow_error,
                   std::underflow_error, muster::Error, muster::CancelledError,
                   muster::TimeoutError, muster::InvalidStateError, muster::BrokenPromise,
                   muster::ShutdownError, muster::BrokenExecutor, muster::BrokenThreadPool,
                   muster::BrokenProcessPool, muster::EntryGuardError, muster::TaskTimeout,
                   muster::SerializationError, muster::QueueShutDown, muster::BrokenBarrierError,
                   muster::AbandonedLock, muster::EndOfFile) {
    CHECK(arrives_the_same(E("the bridge is out")));
    CHECK(arrives_the_same(E("")));
    CHECK(arrives_the_same(E("Grüße, \xff\xfe\n\t")));
}

TEST_CASE_TEMPLATE("a type whose text never changes arrives with the same type and text", E,
                   std::exception, std::bad_alloc, std::bad_array_new_length, std::bad_cast,
                   std::bad_typeid, std::bad_exception, std::bad_function_call, std::bad_weak_ptr,
                   std::bad_optional_access, std::bad_variant_access, std::bad_any_cast,
                   muster::CancelledError) {
    CHECK(arrives_the_same(E()));
}

TEST_CASE("what the library itself throws arrives with the same type and text") {
    CHECK(is_exactly<std::bad_optional_access>(
        arrival_of([] { static_cast<void>(std::optional<int>().value()); })));
    CHECK(is_exactly<std::bad_function_call>(arrival_of([] { std::function<void()>()(); })));
    CHECK(is_exactly<std::bad_any_cast>(
        arrival_of([] { static_cast<void>(std::any_cast<int>(std::any('c'))); })));
    CHECK(is_exactly<std::bad_weak_ptr>(
        arrival_of([] { std::shared_ptr<int> locked{std::weak_ptr<int>()}; })));
    CHECK(is_exactly<std::out_of_range>(
        arrival_of([] { static_cast<void>(std::vector<int>().at(3)); })));
    CHECK(is_exactly<std::invalid_argument>(
        arrival_of([] { static_cast<void>(std::stoi("seven")); })));
}

TEST_CASE("bad_variant_access says what went wrong, as it did in the worker") {
    struct Thrower {
        Thrower() = default;
        explicit Thrower(int) { throw 0; }
        std::string not_trivial;
    };
    std::variant<int, Thrower> variant;
    const auto same = [](auto access) {
        try {
            access();
        } catch (const std::bad_variant_access& error) {
            return arrives_the_same(error);
        }
        return false;
    };
    CHECK(same([&] { static_cast<void>(std::get<1>(variant)); }));
    try {
        variant.emplace<1>(1);
    } catch (int) {
    }
    REQUIRE(variant.valueless_by_exception());
    CHECK(same([&] { static_cast<void>(std::get<1>(variant)); }));
    CHECK(same([&] { std::visit([](const auto&) {}, variant); }));
}

TEST_CASE("a system_error arrives with its code, and its message once") {
    for (const auto& code :
         {std::error_code(ENOENT, std::generic_category()),
          std::error_code(EACCES, std::system_category()), std::error_code(std::io_errc::stream),
          std::error_code(-7, std::system_category()), std::error_code()}) {
        for (const auto& sent :
             {std::system_error(code), std::system_error(code, "open the vault"),
              std::system_error(code, ""), std::system_error(code, code.message()),
              std::system_error(code, std::string("half\0hidden", 11))}) {
            CAPTURE(sent.what());
            CHECK(arrives_the_same(sent));
            CHECK(with_exactly<std::system_error>(
                arrival(std::make_exception_ptr(sent)),
                [&](const std::system_error& received) { CHECK(received.code() == code); }));
        }
    }
}

TEST_CASE("a system_error of a user's category arrives as RemoteError, whatever its name") {
    const bank::Category category;
    CHECK(remote_of(std::system_error(3, category, "open")) ==
          Remote{"std::system_error", "open: the vault is closed"});
}

TEST_CASE("a failure of a stream arrives as such, with its code") {
    CHECK(arrives_the_same(std::ios_base::failure("no more paper")));
    const auto thrown_by_a_stream = arrival_of([] {
        std::istringstream stream;
        stream.exceptions(std::ios_base::failbit);
        int number = 0;
        stream >> number;
    });
    CHECK(with_exactly<std::ios_base::failure>(
        thrown_by_a_stream, [](const std::ios_base::failure& received) {
            CHECK(received.code() == std::io_errc::stream);
            CHECK(std::string(received.what()).find("iostream") != std::string::npos);
        }));
}

TEST_CASE("WorkerCrashed arrives with the process, the exit code and the signal") {
    using Number = std::optional<int>;
    for (const Number exit_code : {Number(), Number(0), Number(-9), Number(3)}) {
        for (const Number signal : {Number(), Number(9)}) {
            const muster::WorkerCrashed sent("the worker fell", 4711, exit_code, signal);
            CHECK(arrives_the_same(sent));
            CHECK(with_exactly<muster::WorkerCrashed>(arrival(std::make_exception_ptr(sent)),
                                                      [&](const muster::WorkerCrashed& received) {
                                                          CHECK(received.pid() == 4711);
                                                          CHECK(received.exit_code() == exit_code);
                                                          CHECK(received.signal() == signal);
                                                      }));
        }
    }
}

TEST_CASE("RemoteError of a nested pool arrives as it is, through any number of processes") {
    const auto once = arrival(std::make_exception_ptr(bank::Overdrawn("by 3")));
    const Remote expected{"bank::Overdrawn", "by 3"};
    CHECK(remote(once) == expected);
    CHECK(remote(arrival(arrival(once))) == expected);
    CHECK(remote_of(muster::RemoteError("", "")) == Remote{"", ""});
    CHECK(is_exactly<muster::RemoteError>(
        arrival(std::make_exception_ptr(muster::RemoteError("", "")))));
}

TEST_CASE("what is derived is never sliced: it arrives as RemoteError with its own name") {
    CHECK(remote_of(bank::Overdrawn("by 3")) == Remote{"bank::Overdrawn", "by 3"});
    CHECK(remote_of(bank::Account::Closed("gone", 1, {}, {})) ==
          Remote{"bank::Account::Closed", "gone"});
    CHECK(remote_of(bank::std::Error("ours")) == Remote{"bank::std::Error", "ours"});
    CHECK(remote_of(bank::Refused<int>()) == Remote{"bank::Refused<int>", "refused"});
    CHECK(remote_of(Hidden("unnamed")) == Remote{"Hidden", "unnamed"});
    struct Local : muster::EndOfFile {
        using muster::EndOfFile::EndOfFile;
    };
    CHECK(remote_of(Local("inside")) == Remote{"Local", "inside"});
}

TEST_CASE("a type's name is what a programmer would write") {
    CHECK(remote_of(bank::Refused<std::string>()).type_name == "bank::Refused<std::string>");
    CHECK(remote_of(bank::Refused<std::vector<std::string>>()).type_name ==
          "bank::Refused<std::vector<std::string>>");
    CHECK(remote_of(bank::Refused<bank::Refused<Hidden>>()).type_name ==
          "bank::Refused<bank::Refused<Hidden>>");
    CHECK(remote_of(std::vector<int>()).type_name == "std::vector<int>");
    using muster::detail::spelled_by_programmers;
    CHECK(spelled_by_programmers("void bank::run<int>(int, char) const::Failure") == "Failure");
    CHECK(spelled_by_programmers("bank::run()::{lambda()#1}::operator()() const::Failure") ==
          "Failure");
    CHECK(spelled_by_programmers("A<int (*)(int)>::B") == "A<int (*)(int)>::B");
    CHECK(spelled_by_programmers("") == "");
    CHECK(spelled_by_programmers(", std::allocator<") == "");
    CHECK(spelled_by_programmers(">>)") == ">>)");
}

TEST_CASE("an error thrown with_nested keeps its name and text") {
    const auto error = arrival_of([] {
        try {
            throw Hidden("inner");
        } catch (...) {
            std::throw_with_nested(bank::Overdrawn("outer"));
        }
    });
    CHECK(remote(error) == Remote{"bank::Overdrawn", "outer"});
}

TEST_CASE("what is no exception class arrives as RemoteError that says what it was") {
    CHECK(remote_of(42) == Remote{"int", "muster: the task threw int 42"});
    CHECK(remote_of(-7L) == Remote{"long", "muster: the task threw long -7"});
    CHECK(remote_of(7U).type_name == "unsigned int");
    CHECK(remote_of(true) == Remote{"bool", "muster: the task threw bool true"});
    CHECK(remote_of('c') == Remote{"char", "muster: the task threw char 'c'"});
    CHECK(remote_of(2.5).type_name == "double");
    CHECK(remote_of(std::string("out of paper")) == Remote{"std::string", "out of paper"});
    CHECK(remote(arrival_of([] { throw "out of ink"; })) == Remote{"const char*", "out of ink"});
    CHECK(remote_of(static_cast<const char*>(nullptr)).what ==
          "muster: the task threw a null pointer");
    CHECK(remote_of(std::make_error_code(std::errc::no_such_file_or_directory)).what ==
          "muster: the task threw std::error_code generic 2: " +
              std::generic_category().message(ENOENT));
    CHECK(remote_of(Coordinates{}) ==
          Remote{"Coordinates",
                 "muster: the task threw a Coordinates, which is not a std::exception"});
    CHECK(remote_of(Unreachable{}).type_name == "Unreachable");
    CHECK(remote_of(Both{}).type_name == "Both");
    CHECK(remote_of(std::errc::io_error).type_name == "std::errc");
}

TEST_CASE("a what() without text arrives as a text that says so") {
    CHECK(remote_of(Silent{}) ==
          Remote{"Silent", "muster: the exception's what() returned a null pointer"});
}

TEST_CASE("no exception at all is told too") {
    CHECK(remote(arrival(nullptr)).what == "muster: there was no exception");
}

TEST_CASE("a text of a megabyte arrives whole, and a zero ends what() here as there") {
    const std::string huge(1 << 20, 'x');
    CHECK(arrives_the_same(std::runtime_error(huge)));
    CHECK(arrives_the_same(std::system_error(ENOENT, std::generic_category(), huge)));
    CHECK(remote_of(bank::Overdrawn(huge)).what == huge);

    const std::string zero("before\0after", 12);
    CHECK(arrives_the_same(std::runtime_error(zero)));
    CHECK(remote_of(bank::Overdrawn(zero)).what == "before");
    CHECK(remote_of(zero).what == "before");
}

TEST_CASE(
    "a type whose codec is registered is rebuilt where the codec is known, and else arrives as "
    "RemoteError") {
    using muster::detail::RegisteredCodec;
    exceptions::Bytes bytes;
    {
        const RegisteredCodec codec(muster::detail::text_codec<bank::Overdrawn>("bank::Overdrawn"));
        CHECK(arrives_the_same(bank::Overdrawn("by 3")));
        bytes = exceptions::encoded(std::make_exception_ptr(bank::Overdrawn("by 4")));
    }
    CHECK(remote(muster::detail::decode_exception(bytes)) == Remote{"bank::Overdrawn", "by 4"});
    CHECK(remote_of(bank::Overdrawn("by 3")) == Remote{"bank::Overdrawn", "by 3"});
}
