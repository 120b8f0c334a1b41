// SPDX-License-Identifier: MIT
#include "faulty_calls.hpp"

#include "map_round.hpp"

#include <muster/muster.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tasks.hpp"
#include "weather.hpp"

namespace chaos {

namespace {

std::uint64_t element(std::uint64_t id) {
    Board::own()->runs[id].fetch_add(1);
    std::this_thread::sleep_for(std::chrono::microseconds(id % 7 * 50));
    return value_of(id);
}

/// The numbers of new tasks; none when there are no more.
std::vector<std::uint64_t> take_ids(Board& board, std::size_t count) {
    const std::uint64_t first = board.next_task.fetch_add(count);
    std::vector<std::uint64_t> ids;
    for (std::uint64_t id = first; id < first + count && id < Board::most_tasks; ++id)
        ids.push_back(id);
    return ids;
}

/// Tells the board what is wrong with an error that no element or posted task has thrown. `crashed`
/// gets the workers that have died, which are others each time.
void judge(Board& board, const std::exception_ptr& error, std::set<int>& crashed) {
    try {
        std::rethrow_exception(error);
    } catch (const muster::WorkerCrashed& crash) {
        board.add(Tally::crashes);
        if (!board.was_struck(crash.pid()))
            board.violation(std::string("map: nobody struck: ") + crash.what());
        if (!crashed.insert(crash.pid()).second)
            board.violation("map: a worker's death has cost two tasks");
    } catch (const muster::BrokenProcessPool& broken) {  // Struck when they started.
        board.add(Tally::broken);
        if (!may_be_broken(board, {}))
            board.violation(std::string("map: broken for no reason: ") + broken.what());
    } catch (const std::exception& other) {
        board.violation(std::string("map: an exception: ") + other.what());
    }
}

/// Goes through the results as far as they come, and returns how many did; `error` is why no more.
std::size_t go_through(Board& board, muster::ProcessPoolExecutor& pool, muster::MapOptions options,
                       const std::vector<std::uint64_t>& ids, std::exception_ptr& error) {
    std::size_t reached = 0;
    try {
        for (const std::uint64_t value : pool.map(options, element, ids)) {
            if (value != value_of(ids[reached])) board.violation("map: a wrong value");
            ++reached;
            board.add(Tally::values);
            board.progress.fetch_add(1);
        }
        if (reached != ids.size()) board.violation("map: it ended early");
    } catch (...) {
        error = std::current_exception();
    }
    return reached;
}

}  // namespace

void map_round(Board& board, Random random, muster::StartMethod method) {
    std::mutex lock;
    std::vector<std::exception_ptr> errors;
    muster::ProcessPoolOptions options;
    options.max_workers = random.between(1, 4);
    options.start_method = method;
    options.start_timeout = std::chrono::minutes(5);
    options.on_error = [&](const std::exception_ptr& error) {
        const std::lock_guard held(lock);
        errors.push_back(error);
    };
    const auto posted = take_ids(board, random.below(100));
    const auto mapped = take_ids(board, random.between(1, 1'000));
    std::size_t reached = 0;
    std::exception_ptr end;
    board.has_servers.store(method == muster::StartMethod::spawn ? 0 : 1);
    board.servers_die.store(0);
    board.blow_every_us.store(random.once_in(3) ? 0 : random.between(3'000, 60'000));
    {
        muster::ProcessPoolExecutor pool(options);
        board.add(Tally::pools);
        board.add(Tally::tasks, posted.size() + mapped.size());
        for (const std::uint64_t id : posted) pool.post(element, id);
        muster::MapOptions how;
        how.chunksize = random.below(20);
        if (random.once_in(2)) how.buffersize = random.between(1, 200);
        reached = go_through(board, pool, how, mapped, end);
    }
    board.calm();
    std::size_t lost = 0;
    for (const std::uint64_t id : posted) {
        if (board.runs[id] == 0) ++lost;
        if (board.runs[id] > 1) board.violation("post: a task ran twice");
    }
    if (lost > errors.size()) board.violation("post: tasks are lost");
    std::set<int> crashed;
    if (end) errors.push_back(end);
    for (const std::exception_ptr& error : errors) judge(board, error, crashed);
    for (std::size_t i = 0; i < mapped.size(); ++i) {
        const unsigned runs = board.runs[mapped[i]].load();
        if (runs > 1) board.violation("map: an element ran twice");
        if (i < reached && runs != 1) board.violation("map: a result of what never ran");
    }
}

}  // namespace chaos
