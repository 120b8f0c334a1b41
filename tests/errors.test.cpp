// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <concepts>
#include <exception>
#include <muster/errors.hpp>
#include <optional>
#include <stdexcept>
#include <string>

namespace errors_test {

namespace {

template <typename E, typename Base = muster::Error>
constexpr bool is_a = std::derived_from<E, Base> && std::derived_from<E, std::runtime_error>;

static_assert(is_a<muster::Error, std::runtime_error>);
static_assert(is_a<muster::CancelledError> && is_a<muster::TimeoutError>);
static_assert(is_a<muster::InvalidStateError> && is_a<muster::BrokenPromise>);
static_assert(is_a<muster::ShutdownError> && is_a<muster::BrokenExecutor>);
static_assert(is_a<muster::BrokenThreadPool, muster::BrokenExecutor>);
static_assert(is_a<muster::BrokenProcessPool, muster::BrokenExecutor>);
static_assert(is_a<muster::EntryGuardError, muster::BrokenProcessPool>);
static_assert(is_a<muster::WorkerCrashed> && is_a<muster::TaskTimeout>);
static_assert(is_a<muster::RemoteError> && is_a<muster::SerializationError>);
static_assert(is_a<muster::QueueShutDown> && is_a<muster::BrokenBarrierError>);
static_assert(is_a<muster::AbandonedLock> && is_a<muster::EndOfFile>);

}  // namespace

TEST_CASE("an error keeps its message, and CancelledError has one of its own") {
    CHECK(std::string(muster::TimeoutError("words").what()) == "words");
    CHECK(std::string(muster::CancelledError("words").what()) == "words");
    CHECK(std::string(muster::CancelledError().what()) ==
          "muster: the task was cancelled before it began, or killed");
}

TEST_CASE("WorkerCrashed says which process ended and how") {
    const muster::WorkerCrashed exited("words", 12, 3, std::nullopt);
    CHECK(std::string(exited.what()) == "words");
    CHECK(exited.pid() == 12);
    CHECK(exited.exit_code() == 3);
    CHECK(exited.signal() == std::nullopt);
    const muster::WorkerCrashed killed("words", 12, -9, 9);
    CHECK(killed.exit_code() == -9);
    CHECK(killed.signal() == 9);
    CHECK(muster::WorkerCrashed("words", 1, std::nullopt, std::nullopt).exit_code() ==
          std::nullopt);
}

TEST_CASE("RemoteError has the name of the type and the text of what was thrown") {
    const muster::RemoteError error("app::Oops", "words");
    CHECK(error.type_name() == "app::Oops");
    CHECK(std::string(error.what()) == "words");
}

}  // namespace errors_test
