// SPDX-License-Identifier: MIT
#include "faulty_calls.hpp"

#include "subject.hpp"

#include <muster/multiprocessing.hpp>
#include <muster/muster.hpp>

#include <chrono>
#include <exception>
#include <string>

#include "belongings.hpp"
#include "map_round.hpp"
#include "pool_round.hpp"
#include "primitive_round.hpp"
#include "random.hpp"

namespace chaos {

namespace {

muster::StartMethod start_method_of(const Options& options) {
    if (options.start_method == "fork") return muster::StartMethod::fork;
    return options.start_method == "forkserver" ? muster::StartMethod::forkserver
                                                : muster::StartMethod::spawn;
}

void play(Board& board, Random random, muster::StartMethod method, const std::string& part) {
    try {
        const bool pools = part == "pools" || (part == "all" && random.once_in(2));
        if (pools && random.once_in(6))
            map_round(board, random.split(), method);
        else if (pools)
            pool_round(board, random.split(), method);
        else
            primitive_round(board, random.split(), method);
    } catch (const std::exception& error) {
        board.violation(std::string("the round ended by an exception: ") + error.what());
    }
}

std::uint64_t twice(std::uint64_t x) { return 2 * x; }

/// What is made once, for all that follows, is made here.
void warm_up(muster::StartMethod method) {
    muster::ProcessPoolExecutor pool({.max_workers = 1, .start_method = method});
    (void)pool.submit(twice, std::uint64_t{2}).result();
    const muster::multiprocessing::Lock lock;
    muster::multiprocessing::Process process(
        {.start_method = method}, [](muster::multiprocessing::Lock its) { its.lock(); }, lock);
    process.start();
    process.join();
    lock.recover();
    lock.unlock();
}

}  // namespace

int run_subject(const Options& options, Board& board) {
    const auto end = std::chrono::steady_clock::now() + options.time;
    const muster::StartMethod method = start_method_of(options);
    Random random(options.seed);
    warm_up(method);
    const Belongings before;
    while (std::chrono::steady_clock::now() < end &&
           board.violation_count.load() < Board::most_violations &&
           board.next_task.load() < Board::most_tasks) {
        if (!board.begin_round()) return 3;
        play(board, random.split(), method, options.part);
        if (!orphans_end()) board.violation("processes outlive their parents");
        if (const Belongings after; after.more_than(before))
            board.violation("left behind: " + after.beyond(before));
        board.progress.fetch_add(1);
    }
    return 0;
}

}  // namespace chaos
