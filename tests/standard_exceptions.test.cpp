// SPDX-License-Identifier: MIT
// ctest: alone
// The standard library's exceptions whose headers are large.
#include <muster/standard_exceptions.hpp>

#include <support/exceptions.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <exception>
#include <filesystem>
#include <future>
#include <regex>
#include <string>
#include <system_error>
#include <vector>

namespace {

using exceptions::arrival;
using exceptions::arrival_of;
using exceptions::arrives_the_same;
using exceptions::Bytes;
using exceptions::encoded;
using exceptions::is_exactly;
using exceptions::Remote;
using exceptions::remote_of;
using exceptions::with_exactly;
namespace fs = std::filesystem;

struct Derived : fs::filesystem_error {
    using fs::filesystem_error::filesystem_error;
};

class Category final : public std::error_category {
    const char* name() const noexcept override { return "system"; }
    std::string message(int) const override { return "the vault is closed"; }
};

}  // namespace

TEST_CASE("a filesystem_error arrives with its paths and its code") {
    const auto code = std::make_error_code(std::errc::no_such_file_or_directory);
    for (const auto& sent :
         {fs::filesystem_error("copy", code), fs::filesystem_error("copy", "/from", code),
          fs::filesystem_error("copy", "/from", "/to", code),
          fs::filesystem_error("copy", "", code), fs::filesystem_error("copy", "", "", code),
          fs::filesystem_error("copy", "", "/to", code),
          fs::filesystem_error("copy", "/from", "", code), fs::filesystem_error("", code),
          fs::filesystem_error(code.message(), "/a b", std::error_code())}) {
        CAPTURE(sent.what());
        CHECK(arrives_the_same(sent));
        CHECK(with_exactly<fs::filesystem_error>(arrival(std::make_exception_ptr(sent)),
                                                 [&](const fs::filesystem_error& received) {
                                                     CHECK(received.code() == sent.code());
                                                     CHECK(received.path1() == sent.path1());
                                                     CHECK(received.path2() == sent.path2());
                                                 }));
    }
    CHECK(is_exactly<fs::filesystem_error>(
        arrival_of([] { static_cast<void>(fs::file_size("/there/is/no/such/file")); })));
}

TEST_CASE("a filesystem_error that is derived or of a user's category arrives as RemoteError") {
    const auto code = std::make_error_code(std::errc::io_error);
    CHECK(remote_of(Derived("copy", code)) == Remote{"Derived", Derived("copy", code).what()});
    const Category category;
    const fs::filesystem_error sent("copy", std::error_code(1, category));
    CHECK(remote_of(sent) == Remote{"std::filesystem::filesystem_error", sent.what()});
}

TEST_CASE("a future_error arrives with its code") {
    for (const auto code :
         {std::future_errc::broken_promise, std::future_errc::future_already_retrieved,
          std::future_errc::promise_already_satisfied, std::future_errc::no_state}) {
        const std::future_error sent(code);
        CHECK(arrives_the_same(sent));
        CHECK(with_exactly<std::future_error>(
            arrival(std::make_exception_ptr(sent)),
            [&](const std::future_error& received) { CHECK(received.code() == code); }));
    }
    CHECK(is_exactly<std::future_error>(arrival_of([] { std::future<int>().get(); })));
}

TEST_CASE("a regex_error arrives with its code, and with the text the library gave it") {
    for (const char* const pattern : {"(", "[", "a{2", "*", "\\", "[[:nothing:]]", "[z-a]", "(?"}) {
        try {
            const std::regex regex(pattern);
        } catch (const std::regex_error& sent) {
            CAPTURE(sent.what());
            CHECK(arrives_the_same(sent));
            CHECK(with_exactly<std::regex_error>(
                arrival(std::make_exception_ptr(sent)),
                [&](const std::regex_error& received) { CHECK(received.code() == sent.code()); }));
        }
    }
    CHECK(arrives_the_same(std::regex_error(std::regex_constants::error_stack)));
}

TEST_CASE("bytes of these that are cut or changed give some exception") {
    const auto code = std::make_error_code(std::errc::io_error);
    for (const std::exception_ptr& sample :
         {std::make_exception_ptr(fs::filesystem_error("copy", "/from", "/to", code)),
          std::make_exception_ptr(std::future_error(std::future_errc::no_state)),
          std::make_exception_ptr(std::regex_error(std::regex_constants::error_brack))}) {
        const Bytes whole = encoded(sample);
        for (std::size_t at = 0; at < whole.size(); ++at) {
            const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(at));
            if (at > 0)
                CHECK(
                    is_exactly<muster::SerializationError>(muster::detail::decode_exception(cut)));
            for (unsigned value = 0; value < 256; ++value) {
                Bytes changed = whole;
                changed[at] = static_cast<std::byte>(value);
                REQUIRE(muster::detail::decode_exception(changed) != nullptr);
            }
        }
    }
}
