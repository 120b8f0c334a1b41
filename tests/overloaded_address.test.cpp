// SPDX-License-Identifier: MIT
// ctest: start_methods
// Types whose operator& is not the language's, as those of smart pointers to COM objects.
#include <muster/promise.hpp>
#include <muster/when.hpp>

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "support/executors.hpp"

namespace overloaded_address_test {

namespace {

using muster::Future;

/// Gives the address of something else.
class Amp {
  public:
    Amp() = default;
    explicit Amp(int value) : value_{value} {}
    Amp(const Amp&) = default;
    Amp(Amp&& other) noexcept : value_{std::exchange(other.value_, -1)} {}
    Amp& operator=(const Amp&) = default;
    Amp& operator=(Amp&&) = default;
    ~Amp() = default;
    Amp* operator&() const = delete;

    [[nodiscard]] int value() const { return value_; }

    template <class Archive>
    void serialize(Archive& ar) {
        ar(value_);
    }

  private:
    int value_ = 0;
};

Amp make(int value) { return Amp(value); }
Amp doubled(const Amp& amp) { return Amp(2 * amp.value()); }

/// A callable with state, whose address is as hidden.
class Adder : public Amp {
  public:
    using Amp::Amp;
    int operator()(int more) const { return value() + more; }
    int operator()(const Amp& more) const { return value() + more.value(); }
};

}  // namespace

TEST_CASE_TEMPLATE("arguments, results and callables may have an operator& of their own", E,
                   EVERY_EXECUTOR) {
    E pool;
    CHECK(pool.submit(make, 7).result().value() == 7);
    CHECK(pool.submit(doubled, Amp(7)).result().value() == 14);
    CHECK(pool.submit({.retries = 1}, doubled, Amp(8)).result().value() == 16);
    CHECK(pool.submit(Adder(3), 4).result() == 7);
    pool.post(Adder(3), 4);

    int sum = 0;
    for (const Amp& amp : pool.map(make, std::vector{1, 2, 3})) sum += amp.value();
    for (const Amp& amp : pool.map(doubled, std::vector{Amp(1), Amp(2)})) sum += amp.value();
    CHECK(sum == 12);
}

TEST_CASE(
    "continuations and callbacks may have an operator& of their own, and what they are given") {
    muster::Promise<Amp> promise;
    const Future<Amp> future = promise.get_future();
    const Future<Amp> unwrapped = future.then([&](const Amp&) { return future; });
    const Future<int> seven = future.then(Adder(3));
    int seen = 0;
    future.add_done_callback([&](const Future<Amp>& done) { seen = done.result().value(); });
    promise.set_result(Amp(4));

    CHECK(seen == 4);
    CHECK(seven.result() == 7);
    CHECK(unwrapped.result().value() == 4);
    const std::vector both{future, unwrapped};
    CHECK(muster::when_all(both).result().size() == 2);
    const auto first = muster::when_any(both).result();
    CHECK(first.future.result().value() == 4);
    CHECK(future.result().value() == 4);
    CHECK(Future<Amp>(future).result().value() == 4);
}

}  // namespace overloaded_address_test
