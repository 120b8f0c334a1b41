// SPDX-License-Identifier: MIT
// ctest: start_methods
// Exceptions of a program's own types come back as what they are, once they are declared.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/executors.hpp"

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

struct Prefixed : std::runtime_error {
    explicit Prefixed(const std::string& text) : std::runtime_error("parse error: " + text) {}
};
MUSTER_EXCEPTION(Prefixed)

struct Numbered : std::logic_error {
    using std::logic_error::logic_error;
    const char* what() const noexcept override {
        thread_local std::string text;
        text = std::string("E42 ") + std::logic_error::what();
        return text.c_str();
    }
};
MUSTER_EXCEPTION(Numbered)

class Located : public std::runtime_error {
  public:
    Located() : Located("", 0) {}
    Located(const std::string& what, int line)
        : std::runtime_error("[" + what + "]"), line_{line} {}
    [[nodiscard]] int line() const { return line_; }

    template <class Archive>
    void serialize(Archive& ar) {
        ar(line_);
    }

  private:
    const char* what() const noexcept override {
        text_ = "line " + std::to_string(line_) + ": " + std::runtime_error::what();
        return text_.c_str();
    }

    int line_;
    mutable std::string text_;
};
MUSTER_EXCEPTION(Located)

struct DerivedLocated : Located {
    using Located::Located;
};

struct Silent : std::runtime_error {
    using std::runtime_error::runtime_error;
    const char* what() const noexcept override { return nullptr; }
};
MUSTER_EXCEPTION(Silent)

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

/// The what() of an `Error` that `fn` throws in a task.
template <typename Executor, typename Error, typename F>
std::string text_from(F fn) {
    Executor pool;
    try {
        pool.submit(fn).result();
    } catch (const Error& error) {
        return static_cast<const std::exception&>(error).what();
    }
    throw std::logic_error("no exception of that type");
}

void throw_prefixed() { throw app::Prefixed("x"); }
void throw_numbered() { throw app::Numbered("y"); }
void throw_located() { throw app::Located("bad", 3); }

/// What `fn` throws in a task of a task.
template <typename Executor, void fn()>
void run_inside() {
    Executor pool;
    pool.submit([] { fn(); }).result();
}

template <void fn()>
void throw_nested() {
    try {
        throw std::runtime_error("inner");
    } catch (const std::runtime_error&) {
        try {
            fn();
        } catch (const app::Located& error) {
            std::throw_with_nested(error);
        } catch (const app::Prefixed& error) {
            std::throw_with_nested(error);
        }
    }
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

TEST_CASE_TEMPLATE("a declared exception whose constructor adds to its text keeps its what()", E,
                   EVERY_EXECUTOR) {
    CHECK(text_from<E, app::Prefixed>(throw_prefixed) == "parse error: x");
    CHECK(text_from<E, app::Prefixed>(run_inside<E, throw_prefixed>) == "parse error: x");
    CHECK(text_from<E, std::runtime_error>(throw_nested<throw_prefixed>) == "parse error: x");
}

TEST_CASE_TEMPLATE("a declared exception with a what() of its own keeps it", E, EVERY_EXECUTOR) {
    CHECK(text_from<E, app::Numbered>(throw_numbered) == "E42 y");
    CHECK(text_from<E, app::Numbered>(run_inside<E, throw_numbered>) == "E42 y");
    CHECK(text_from<E, app::Located>(throw_located) == "line 3: [bad]");
    CHECK(text_from<E, app::Located>(run_inside<E, throw_located>) == "line 3: [bad]");
    CHECK(text_from<E, std::runtime_error>(throw_nested<throw_located>) == "line 3: [bad]");
}

TEST_CASE("what is derived from a declared type with a what() of its own keeps that what()") {
    const auto derived =
        caught_from<muster::RemoteError>([] { throw app::DerivedLocated("bad", 4); });
    CHECK(derived.type_name() == "app::DerivedLocated");
    CHECK(std::string(derived.what()) == "line 4: [bad]");
}

TEST_CASE("a declared exception without a what() arrives without one, and keeps its text") {
    const auto silent = caught_from<app::Silent>([] { throw app::Silent("kept"); });
    CHECK(silent.what() == nullptr);
    CHECK(std::string(silent.std::runtime_error::what()) == "kept");
}

}  // namespace process_declared_exceptions_test
