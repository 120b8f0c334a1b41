// SPDX-License-Identifier: MIT
// Feeds a parent with what a worker writes into the memory they share: results that could come from
// a worker that has overwritten that memory, and the words which say what it does. The parent's end
// of the worker is the library's own, without a process; what is done with it is what a pool does.
// Those that it sends through its lifeline are fuzz_packets'.
//
//     fuzz_parent --seeds=corpus && fuzz_parent corpus -max_len=4096 -timeout=10
//
// An input is a script: words of the page, the ring, and what the worker changes each time before the
// parent looks for a result: how much it says to have published, and the ring's first header.
#include <fuzz/fuzzed_types.hpp>
#include <fuzz/fuzzing.hpp>
#include <fuzz/recycled_worker.hpp>

#include <muster/muster.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <support/no_engine.hpp>
#include <utility>
#include <vector>

namespace fuzz {

namespace {

using namespace muster::detail;
using muster::test::NoEngine;
using muster::test::NoLauncher;

/// What all inputs can have in common.
struct Parent {
    PoolMemory memory;
    os::Bell bell;
    os::Bell leader_bell;
    NoLauncher launcher;
    NoEngine engine;

    static Parent& own() {
        static Parent& parent = *new Parent;
        return parent;
    }
    /// One of so many that each has the smallest memory.
    WorkerHandle worker() { return {memory, bell, leader_bell, launcher, std::size_t{1} << 15}; }
};

template <typename R>
TaskHandle task_of() {
    using Task = RemoteTaskOf<R>;
    auto task = Ref<Task>::adopt(new Task(Parent::own().engine, EncodedCall{}, false, true));
    RemoteTask* const remote = task.get();
    return {std::move(task), remote};
}

template <typename... Rs>
constexpr std::array<TaskHandle (*)(), sizeof...(Rs)> tasks_of(Types<Rs...>) {
    return {&task_of<Rs>...};
}

constexpr auto task_makers =
    tasks_of(Types<void, int, std::string, std::vector<std::string>, Json, Mixed,
                   std::map<std::string, std::vector<int>>, std::optional<Account>>{});

std::byte* ring_of(const WorkerHandle& worker) {
    return reinterpret_cast<std::byte*>(&worker.page()) + result_ring_offset;
}

void write_ring(const WorkerHandle& worker, Input bytes) {
    std::copy(bytes.begin(), bytes.end(), ring_of(worker));
    worker_memory.ring_written(bytes.size());
}

void write_large(const WorkerHandle& worker, Input bytes) {
    std::copy(bytes.begin(), bytes.end(), ring_of(worker) + result_ring_bytes);
    worker_memory.large_written(bytes.size());
}

/// As the pool does it: gives a task its result.
void deliver(ReceivedResult result, LedgerCell& cell) {
    // What lies in a sparse memory is not there because a header says so; but a worker that does
    // write as much takes as much, and the parent after it.
    constexpr std::size_t most = std::size_t{1} << 20;
    if (!result.handle.task || result.bytes.size() > most) return;
    if (result.large_slot) worker_memory.large_read();
    const Budget budget(result.bytes.size());
    RemoteTask& task = *result.handle.task;
    StateBase& state = *result.handle.state;
    task.count_attempt(result.header.began_ns, result.header.ended_ns, cell);
    require(state.begin_settling(), "a task is settled once");
    std::exception_ptr error;
    try {
        if (!result.failed()) {
            task.keep_value(result.bytes);
            return state.conclude(Phase::succeeded);
        }
        error = decode_exception(result.bytes);
    } catch (const muster::SerializationError&) {  // Any other exception ends the fuzzer.
        error = std::current_exception();
    }
    task.keep_error(std::move(error));
    state.conclude(Phase::failed);
}

/// As the pool does it, while the script goes on. False when the worker is to be killed.
bool receive(WorkerHandle& worker, Reader& script, LedgerCell& cell) {
    std::vector<ReceivedResult> received;
    bool corrupt = false;
    try {
        while (received.size() < 64) {
            const std::uint64_t changes = script.number(1);
            if ((changes & 1) != 0) worker.page().published.store(script.number(8));
            if ((changes & 2) != 0) write_ring(worker, script.take(sizeof(ResultHeader)));
            std::optional<ReceivedResult> result = worker.next_result();
            if (!result) break;
            received.push_back(std::move(*result));
        }
    } catch (const CorruptWorker&) {
        corrupt = true;
    }
    for (ReceivedResult& result : received) {
        result.handle = worker.take(result.header.number);
        worker.count(result.header);
    }
    for (ReceivedResult& result : received) deliver(std::move(result), cell);
    worker.finish_receiving(received);
    return !corrupt;
}

void ask(WorkerHandle& worker) {
    const Clock::time_point now = Clock::now();
    (void)worker.has_results();
    (void)worker.next_limit(now);
    (void)worker.overdue(now);
    (void)worker.runs_since_before(now);
    (void)describe(worker.stage());
}

}  // namespace

void fuzz_one(Input input) {
    Reader script(input);
    WorkerHandle worker = Parent::own().worker();
    for (std::size_t i = 0; i < task_makers.size(); ++i) {
        TaskHandle task = task_makers[i]();
        if (i % 2 == 0) task.task->timeout = std::chrono::hours(i);
        require(worker.hand_out(task), "there is room for the tasks");
    }
    WorkerPage& page = worker.page();
    page.begun_ns.store(static_cast<std::int64_t>(script.number(8)));
    page.stage.store(static_cast<Stage>(script.number(4)));
    page.asleep.store(static_cast<std::uint32_t>(script.number(4)));
    for (std::size_t i = 0; i < task_makers.size(); ++i)
        if (script.number(1) != 0) page.claims[i].store(script.number(8));
    const Input ring = script.take(script.number(2));
    write_ring(worker, ring);
    write_large(worker, ring);

    LedgerCell cell;
    const std::uint64_t asked = script.number(1);
    if ((asked & 1) != 0) ask(worker);
    for (int round = 0; round < 4; ++round) {
        if (!receive(worker, script, cell)) break;
        if (TaskHandle recalled = worker.recall(static_cast<std::uint64_t>(round)); recalled.task)
            (void)worker.hand_out(recalled);
    }
    if ((asked & 2) != 0) ask(worker);
    worker.take_rest([&](const TaskHandle& left) {
        left.task->count_attempt(worker.began(), cell);  // As when its worker has ended.
    });
    require(worker.in_flight == 0, "each task is received or left over, and none twice");
}

namespace {

template <typename T>
void append(Bytes& bytes, T value) {
    for (std::size_t i = sizeof value; i-- > 0;)
        bytes.push_back(static_cast<std::byte>(value >> 8 * i));
}

/// Whose page has what `write` does with it, and whose results are those that it writes.
template <typename Write>
Bytes script_of(Write write) {
    Parent& parent = Parent::own();
    WorkerHandle worker = parent.worker();
    WorkerPage& page = worker.page();
    ResultWriter writer(page, ring_of(worker), parent.memory.page(), parent.bell,
                        parent.leader_bell);
    write(writer);
    worker_memory.ring_written(result_ring_bytes);
    Bytes script;
    append(script, std::uint64_t{1'000'000});  // begun_ns
    append(script, std::uint32_t{1});          // stage
    append(script, std::uint32_t{1});          // asleep
    for (std::size_t i = 0; i < task_makers.size(); ++i) append(script, std::uint8_t{0});
    const std::uint64_t published = page.published.load();
    const auto size = static_cast<std::uint16_t>(std::min<std::uint64_t>(published, 2048));
    append(script, size);
    script.insert(script.end(), ring_of(worker), ring_of(worker) + size);
    append(script, std::uint8_t{3});  // Asked before and after.
    append(script, std::uint8_t{1});
    append(script, published);
    return script;
}

Bytes encoded(const std::exception_ptr& error) {
    HeapBuffer buffer;
    encode_exception(buffer, error);
    return {buffer.data, buffer.data + buffer.size};
}

}  // namespace

void write_seeds(Seeds& seeds) {
    using Kind = ResultHeader::Kind;
    const auto publish = [](ResultWriter& writer, std::uint64_t number, Kind kind, Input bytes) {
        ResultHeader header;
        header.number = number;
        header.kind = kind;
        header.began_ns = 1'000;
        header.ended_ns = 2'000;
        writer.publish(header, bytes.data(), bytes.size());
    };
    const Bytes error = encoded(std::make_exception_ptr(std::out_of_range("far away")));
    seeds.add(script_of([](ResultWriter&) {}));
    seeds.add(script_of([&](ResultWriter& writer) {
        publish(writer, 0, Kind::value, {});
        publish(writer, 1, Kind::value, muster::serialize(7));
        publish(writer, 2, Kind::value, muster::serialize(std::string("text")));
        publish(writer, 3, Kind::exception, error);
        publish(writer, 3, Kind::value, error);  // The same once more, and no task of that number.
        publish(writer, 99, Kind::value, {});
    }));
    seeds.add(script_of([&](ResultWriter& writer) {
        publish(writer, 4, Kind::value, muster::serialize(Json{std::vector<Json>(2)}));
        publish(writer, 5, Kind::value, muster::serialize(Mixed()));
        publish(writer, 6, Kind::value,
                muster::serialize(std::map<std::string, std::vector<int>>{{"a", {1, 2}}}));
        publish(writer, 7, Kind::value, muster::serialize(std::optional<Account>(Account())));
    }));
    seeds.add(script_of([&](ResultWriter& writer) {
        for (const Kind kind : {Kind::large_value, Kind::large_exception}) {
            const LargeResult large{3, large_results_offset, 8};
            publish(writer, 2, kind, std::as_bytes(std::span(&large, 1)));
        }
        publish(writer, 1, Kind::padding, muster::serialize(7));
        publish(writer, 1, Kind::value, muster::serialize(7));
    }));
    // The worker fills the ring, takes that back, and lets the ring go round in a circle.
    Bytes taken_back = script_of([&](ResultWriter& writer) {
        publish(writer, 1, Kind::exception, {});
        publish(writer, 0, Kind::padding, Bytes(result_ring_bytes - 2 * sizeof(ResultHeader)));
    });
    append(taken_back, std::uint8_t{3});
    append(taken_back, std::uint64_t{0});
    ResultHeader circle;
    circle.size = static_cast<std::uint32_t>(result_ring_bytes - sizeof circle);
    const auto header = std::as_bytes(std::span(&circle, 1));
    taken_back.insert(taken_back.end(), header.begin(), header.end());
    seeds.add(taken_back);
}

}  // namespace fuzz
