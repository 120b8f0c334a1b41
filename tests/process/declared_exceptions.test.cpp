// SPDX-License-Identifier: MIT
// Exceptions of a program's own types come back as what they are, once they are declared.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace app {

class ParseError : public std::runtime_error {
  public:
    ParseError() : std::runtime_error("") {}
    ParseError(const std::string& what, int where) : std::runtime_error(what), line_{where} {}
    [[nodiscard]] int line() const { return line_; }

    template <class Archive>
    void serialize(Archive& ar) {
        ar(line_);
    }

  private:
    int line_ = 0;
};
MUSTER_EXCEPTION(ParseError)

struct TextOnly : std::logic_error {
    using std::logic_error::logic_error;
};
MUSTER_EXCEPTION(TextOnly)

struct Plain {
    int code;
    std::string reason;
};
MUSTER_EXCEPTION(Plain)

template <typename A, typename B>
struct Pair {
    A a;
    B b;
};

struct Derived : ParseError {
    using ParseError::ParseError;
};

struct Undeclared : std::runtime_error {
    using std::runtime_error::runtime_error;
};

namespace {
struct Hidden {
    int code;
};
}  // namespace
MUSTER_EXCEPTION(Hidden)

}  // namespace app

MUSTER_EXCEPTION(app::Pair<int, std::string>)

namespace process_declared_exceptions_test {

namespace {

template <typename E, typename F>
E caught_from(F fn) {
    muster::ProcessPoolExecutor pool(1);
    try {
        pool.submit(fn).result();
    } catch (E& error) {
        return std::move(error);
    }
    throw std::logic_error("no exception of that type");
}

}  // namespace

TEST_CASE("a declared exception keeps its type, its data and its what()") {
    const auto error = caught_from<app::ParseError>([] { throw app::ParseError("bad token", 7); });
    CHECK(std::string(error.what()) == "bad token");
    CHECK(error.line() == 7);
}

TEST_CASE("a declared exception without data of its own needs no serialize()") {
    CHECK(std::string(caught_from<app::TextOnly>([] { throw app::TextOnly("why"); }).what()) ==
          "why");
}

TEST_CASE("a declared type may be any serializable one") {
    const auto plain = caught_from<app::Plain>([] { throw app::Plain{3, "three"}; });
    CHECK(plain.code == 3);
    CHECK(plain.reason == "three");
    const auto pair = caught_from<app::Pair<int, std::string>>([] {
        throw app::Pair<int, std::string>{4, "four"};
    });
    CHECK(pair.b == "four");
    CHECK(caught_from<app::Hidden>([] { throw app::Hidden{5}; }).code == 5);
}

TEST_CASE("what is derived from a declared type, or not declared, arrives as RemoteError") {
    const auto derived = caught_from<muster::RemoteError>([] { throw app::Derived("derived", 1); });
    CHECK(derived.type_name() == "app::Derived");
    CHECK(std::string(derived.what()) == "derived");
    CHECK(caught_from<muster::RemoteError>([] { throw app::Undeclared("x"); }).type_name() ==
          "app::Undeclared");
}

}  // namespace process_declared_exceptions_test
