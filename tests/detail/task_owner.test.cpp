// SPDX-License-Identifier: MIT
// ctest: concurrency
#include <muster/detail/task_owner.hpp>
#include <muster/errors.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "support/asleep.hpp"

namespace detail_task_owner_test {

namespace {

/// Lets it be seen whether somebody waits for idleness.
class Owner final : public muster::detail::TaskOwner {
  public:
    Owner() : TaskOwner(0, {}) {}
    [[nodiscard]] bool awaited() const { return idle_.watched(); }

  private:
    ~Owner() override = default;
};

// Some hundred thousand, to meet what lasts some nanoseconds; fewer where others keep the processors.
constexpr std::chrono::seconds long_enough{10};
#ifdef TEST_SANITIZED
constexpr int rounds = 10'000;
#else
constexpr int rounds = 300'000;
#endif

}  // namespace

TEST_CASE("who waits until all have ended is told so though others are just being refused") {
    Owner& owner = *new Owner;
    owner.close();
    std::atomic<bool> over{false};
    std::thread refused([&] {
        while (!over) {
            try {
                owner.accept();
            } catch (const muster::ShutdownError&) {
            }
        }
    });
    std::atomic<int> begun{0};
    std::thread ends([&] {
        for (int round = 1; round <= rounds; ++round) {
            while (begun < round && !over) std::this_thread::yield();
            while (!owner.awaited() && !over) std::this_thread::yield();
            if (over) return;
            owner.ended(owner.ledger().common());
            owner.release();
        }
    });
    bool all_told = true;
    const auto enough = std::chrono::steady_clock::now() + long_enough;
    for (int round = 1; round <= rounds && all_told; ++round) {
        if (std::chrono::steady_clock::now() > enough) break;
        owner.ledger().accept();  // As before the end of accepting.
        begun = round;
        all_told = owner.wait_idle(std::chrono::steady_clock::now() + muster::test::patience);
    }
    over = true;
    refused.join();
    ends.join();
    CHECK(all_told);
    owner.retire();
}

}  // namespace detail_task_owner_test
