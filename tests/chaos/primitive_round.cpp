// SPDX-License-Identifier: MIT
#include "faulty_calls.hpp"

#include "primitive_round.hpp"

#include <muster/multiprocessing.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "belongings.hpp"
#include "crew.hpp"
#include "support/family.hpp"

namespace chaos {

namespace {

using Counters = mp::SharedArray<std::uint64_t>;
using namespace std::chrono_literals;

struct Setting {
    Board& board;
    Random& random;
    mp::ProcessOptions options;
    std::chrono::milliseconds time;
};

/// Whether something may have died or given up by now.
bool disturbed(const Board& board) { return board.struck() != 0 || board.faulted(); }

// --- a queue

constexpr std::size_t producers = 2, consumers = 2;
constexpr std::uint64_t most_items = 200'000;  // Of a producer.

void produce(mp::Queue<std::uint64_t> queue, Counters tried, Counters put, std::size_t i) {
    for (std::uint64_t n = tried[i]; n < most_items; ++n) {
        tried[i] = n + 1;
        queue.put(i * most_items + n);
        put[i] = n + 1;
    }
    for (;;) std::this_thread::sleep_for(1h);
}

void consume(mp::Queue<std::uint64_t> queue, mp::SharedArray<std::uint8_t> received) {
    while (const auto item = queue.get()) ++received[*item];
}

/// No item of others is lost or comes twice.
void queue_round(Setting& setting) {
    Board& board = setting.board;
    const mp::Queue<std::uint64_t> queue(setting.random.between(1, 16));
    const Counters tried(producers), put(producers);
    const mp::SharedArray<std::uint8_t> received(producers * most_items);
    std::vector<std::uint64_t> doubtful;  // Their producer died at them.
    std::size_t dead_consumers = 0;

    Crew crew(
        board, producers + consumers,
        [&](std::size_t i) {
            return i < producers ? mp::Process(setting.options, produce, queue, tried, put, i)
                                 : mp::Process(setting.options, consume, queue, received);
        },
        [&](std::size_t i) {
            if (i >= producers)
                ++dead_consumers;
            else if (put[i] != tried[i])
                doubtful.push_back(i * most_items + tried[i] - 1);
        });
    crew.work(setting.time, [] {});
    board.calm();
    crew.kill(0, producers);
    queue.shutdown();
    for (std::size_t i = 0; i < consumers; ++i) crew.finish(producers + i);

    std::size_t lost = 0, twice = 0;
    for (const std::uint64_t item : doubtful)
        if (received[item] == 0) received[item] = 1;
    for (std::size_t i = 0; i < producers; ++i) {
        for (std::uint64_t n = 0; n < tried[i]; ++n) {
            lost += received[i * most_items + n] == 0 ? 1 : 0;
            twice += received[i * most_items + n] > 1 ? 1 : 0;
        }
        board.add(Tally::items, tried[i]);
    }
    if (lost > dead_consumers || twice != 0)
        board.violation("queue: lost " + std::to_string(lost) + ", twice " + std::to_string(twice) +
                        ", consumers that died " + std::to_string(dead_consumers));
    if (queue.size() != 0) board.violation("queue: items stay in it");
}

// --- a lock

void count_under(mp::Lock lock, Counters pair) {
    for (;;) try {
            const std::scoped_lock held(lock);
            pair[0] = pair[0] + 1;
            pair[1] = pair[1] + 1;
        } catch (const muster::AbandonedLock&) {
            std::this_thread::yield();
        }
}

/// Mends what a dead holder has left; nothing if there is nothing.
void mend(Board& board, const mp::Lock& lock, const Counters& pair) {
    try {
        const std::scoped_lock held(lock);
        if (pair[0] != pair[1]) board.violation("lock: two were inside, or nobody was told");
    } catch (const muster::AbandonedLock&) {
        board.add(Tally::abandoned);
        if (!disturbed(board)) board.violation("lock: abandoned, and nobody has died");
        lock.recover();
        pair[1] = pair[0];
        lock.unlock();
    }
}

void lock_round(Setting& setting) {
    const mp::Lock lock = setting.random.once_in(3) ? mp::Lock(own_name()) : mp::Lock();
    const Counters pair(2);  // Equal, whenever nobody holds the lock.
    Crew crew(
        setting.board, 3,
        [&](std::size_t) { return mp::Process(setting.options, count_under, lock, pair); },
        [&](std::size_t) { mend(setting.board, lock, pair); });
    crew.work(setting.time, [&] { mend(setting.board, lock, pair); });
    setting.board.calm();
    const std::uint64_t before = pair[0];
    while (pair[0] < before + 10) {  // What hangs here is found from outside.
        crew.tend();
        mend(setting.board, lock, pair);
        std::this_thread::sleep_for(1ms);
    }
    crew.kill(0, 3);
}

// --- a semaphore

void pass_through(mp::BoundedSemaphore permits, Counters passes, std::size_t i) {
    for (;;) {
        permits.acquire();
        passes[i] = passes[i] + 1;
        permits.release();
    }
}

/// Permits of the dead come back.
void semaphore_round(Setting& setting) {
    Board& board = setting.board;
    const mp::BoundedSemaphore permits(2);
    const Counters passes(4);
    Crew crew(
        board, 4,
        [&](std::size_t i) {
            return mp::Process(setting.options, pass_through, permits, passes, i);
        },
        [](std::size_t) {});
    crew.work(setting.time, [] {});
    board.calm();
    crew.kill(0, 4);
    board.add(Tally::permits, passes[0] + passes[1] + passes[2] + passes[3]);
    if (!permits.try_acquire() || !permits.try_acquire())
        board.violation("semaphore: the dead keep a permit");
    if (permits.try_acquire()) board.violation("semaphore: one permit too many");
}

// --- a barrier

void meet(mp::Barrier barrier, Counters passes, std::size_t i) {
    for (;;) try {
            (void)barrier.wait();
            passes[i] = passes[i] + 1;
        } catch (const muster::BrokenBarrierError&) {
            std::this_thread::yield();
        }
}

/// Nobody waits for the dead.
void barrier_round(Setting& setting) {
    Board& board = setting.board;
    const mp::Barrier barrier(3);
    const Counters passes(3);
    Crew crew(
        board, 3,
        [&](std::size_t i) { return mp::Process(setting.options, meet, barrier, passes, i); },
        [](std::size_t) {});
    const auto reset_broken = [&] {
        if (!barrier.broken()) return;
        board.add(Tally::broken_barriers);
        if (!disturbed(board)) board.violation("barrier: broken, and nobody has died");
        barrier.reset();
    };
    crew.work(setting.time, reset_broken);
    board.calm();
    const std::uint64_t before = passes[0];
    while (passes[0] < before + 10) {  // What hangs here is found from outside.
        crew.tend();
        reset_broken();
        std::this_thread::sleep_for(1ms);
    }
    crew.kill(0, 3);
}

// --- a condition

void take_turns(mp::Lock lock, mp::Condition changed, Counters state, std::size_t i) {
    for (;;) try {
            std::unique_lock held(lock);
            // Whose turn it is may be dead.
            (void)changed.wait_for(held, 20ms, [&] { return state[0] % 3 == i; });
            state[0] = state[0] + 1;
            state[1] = state[1] + 1;
            changed.notify_all();
        } catch (const muster::AbandonedLock&) {
            std::this_thread::yield();
        }
}

/// The dead who waited or notified disturb nobody.
void condition_round(Setting& setting) {
    Board& board = setting.board;
    const mp::Lock lock;
    const mp::Condition changed;
    const Counters state(2);
    Crew crew(
        board, 3,
        [&](std::size_t i) {
            return mp::Process(setting.options, take_turns, lock, changed, state, i);
        },
        [&](std::size_t) { mend(board, lock, state); });
    crew.work(setting.time, [&] { mend(board, lock, state); });
    board.calm();
    const std::uint64_t before = state[0];
    while (state[0] < before + 10) {
        crew.tend();
        mend(board, lock, state);
        std::this_thread::sleep_for(1ms);
    }
    crew.kill(0, 3);
}

// --- a pipe

using Message = std::vector<std::uint8_t>;

void echo(mp::Connection connection) {
    try {
        for (;;) connection.send(connection.recv<Message>());
    } catch (const muster::EndOfFile&) {
    }
}

/// What arrives is whole, and the other end's death is seen.
void pipe_round(Setting& setting) {
    Board& board = setting.board;
    const auto end = std::chrono::steady_clock::now() + setting.time;
    while (std::chrono::steady_clock::now() < end) {
        auto [ours, theirs] = mp::Pipe();
        const mp::Process process(setting.options, echo, theirs);
        if (!starts(board, process)) continue;
        board.add(Tally::processes);
        theirs.close();
        bool cut = false;
        try {
            while (std::chrono::steady_clock::now() < end) {
                const std::uint32_t most = setting.random.once_in(8) ? 400'000 : 300;
                Message message(setting.random.below(most));
                for (std::size_t i = 0; i < message.size(); ++i)
                    message[i] = static_cast<std::uint8_t>(setting.random.next());
                ours.send(message);
                if (ours.recv<Message>() != message) board.violation("pipe: another message");
                board.add(Tally::messages);
                board.progress.fetch_add(1);
            }
        } catch (const muster::EndOfFile&) {
            cut = true;
        } catch (const std::system_error&) {
            if (!board.faulted()) throw;
            cut = true;
        }
        ours.close();
        process.join();
        if (cut) board.add(Tally::cut_pipes);
        // One that finds its pipe closed ends in order.
        if (process.exit_code() == EXIT_SUCCESS && (!cut || board.faulted())) continue;
        if (const std::string wrong = wrong_end(board, process); !wrong.empty())
            board.violation("pipe: " + wrong);
    }
    board.calm();
}

}  // namespace

void primitive_round(Board& board, Random random, muster::StartMethod method) {
    const std::uint64_t before = muster::test::family_bytes();
    Setting setting{board,
                    random,
                    {.start_method = method, .start_timeout = 5min},
                    std::chrono::milliseconds(random.between(300, 1'500))};
    board.has_servers.store(method == muster::StartMethod::forkserver ? 1 : 0);
    board.servers_die.store(1);
    board.blow_every_us.store(random.between(1'000, 30'000));
    if (random.once_in(3)) board.fault_every_us.store(random.between(1'000, 30'000));
    const auto play = std::array{queue_round,   lock_round,      semaphore_round,
                                 barrier_round, condition_round, pipe_round}[random.below(6)];
    try {
        play(setting);
    } catch (const std::system_error&) {
        if (!board.faulted()) throw;
    } catch (const std::bad_alloc&) {
        if (!board.faulted()) throw;
    }
    board.calm();
    if (named_memories() != 0) board.violation("a named lock stays in /dev/shm");
    if (const std::uint64_t after = muster::test::family_bytes(); after != before)
        board.violation("the family's memory: " + std::to_string(before) + " bytes before, " +
                        std::to_string(after) + " after");
}

}  // namespace chaos
