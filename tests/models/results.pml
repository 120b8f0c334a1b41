// SPDX-License-Identifier: MIT
// headers: detail/process/result_writer.hpp detail/process/process_core.hpp detail/process/process_manager.hpp detail/process/worker_handle.hpp
// mutants: RELAXED_PUBLISH RELAXED_LED NO_LAST_LOOK EPOCH_LATE LOOK_AGAIN_LATE SILENT_SETTLE LEADER_LATE
//
// How a parent learns that its workers have published results: ResultWriter::publish(), ring_bell();
// ProcessCore::Receiver, try_receive(), await(), lead(), wake_leader(); the sleep of
// ProcessManager::manage().
// A worker publishes two results. One thread waits for the first one, and may reach its deadline; one
// waits for the second. One of them leads, or both do, one after the other; besides them there is the
// manager, which is a receiver whenever it does not sleep. (To each other workers are nothing: what
// they ring is what the parent's threads ring for each other.)
//
// Proved: in the end all results are received, whoever waits without a deadline has learned of its
// task's end, and nobody but the manager sleeps. For receivers that spin, receivers that sleep and
// those that meet a lock held by others.
// A relaxed store takes effect after the next load of another word: what a store buffer does.

#define results 2
#define nothing 255

byte published, received;
byte receivers, bell_epoch;
bool leader;               // PoolPage::leader
byte led = nothing;        // The task for which the leader waits.
bool bell, leader_bell;    // As the system keeps them: rung until cleared.
bool receiving, leading, look_again;
bool done[results];        // By task.

active proctype Worker() {
    byte epoch, rung_epoch = 255, seen, number;
    do
    :: number < results ->
#ifdef MUTANT_RELAXED_PUBLISH
        seen = receivers;
        published = number + 1;
#else
        published = number + 1;  /*= page_.published.store(written_, std::memory_order_seq_cst); ring_bell(); */
        seen = receivers;  /*= if (pool_.receivers.load(std::memory_order_seq_cst) != 0) return; */
#endif
        number++;
        if
        :: seen == 0 ->
            epoch = bell_epoch;  /*= const std::uint32_t epoch = pool_.bell_epoch.load(std::memory_order_seq_cst); */
            if
            :: epoch != rung_epoch ->  /*= if (rung_ && rung_epoch_ == epoch) return; */
                rung_epoch = epoch;
                seen = leader;  /*= (pool_.leader.load(std::memory_order_seq_cst) != 0 ? leader_bell_ : bell_).ring(); */
                if
                :: seen != 0 -> leader_bell = true
                :: else -> bell = true
                fi
            :: else
            fi
        :: else
        fi
    :: else -> break
    od
}

inline receive() {  // Requires: `receiving`.
    do
    :: published != received ->  /*= return page().published.load(std::memory_order_seq_cst) != received_; */
        done[received] = true;
        d_step {
#ifndef MUTANT_SILENT_SETTLE
            if  /*= if (led_.load(std::memory_order_seq_cst) == &task) leader_bell_.ring(); */
            :: led == received -> leader_bell = true
            :: else
            fi;
#endif
            received++
        }
    :: else -> break
    od
}

inline try_receive() {
    look_again = true;  /*= look_again_.store(true, std::memory_order_seq_cst); while (look_again_.load(std::memory_order_seq_cst)) { */
    do
    :: look_again ->
        if
        :: atomic { !receiving -> receiving = true }  /*= const std::unique_lock held(receiving_, std::try_to_lock); if (!held) return; */
        :: receiving -> break
        fi;
#ifdef MUTANT_LOOK_AGAIN_LATE
        receive();
        look_again = false;
#else
        look_again = false;  /*= look_again_.store(false, std::memory_order_seq_cst); receive(); */
        receive();
#endif
        receiving = false
    :: !look_again -> break
    od
}

inline begin_receiving() {
    receivers++  /*= core_.memory_.page().receivers.fetch_add(1, std::memory_order_seq_cst); */
}

inline end_receiving() {
#ifdef MUTANT_EPOCH_LATE
    receivers--;
    try_receive();
    bell_epoch++
#else
    bell_epoch++;  /*= page.bell_epoch.fetch_add(1, std::memory_order_seq_cst); page.receivers.fetch_sub(1, std::memory_order_seq_cst); core_.try_receive(); */
    receivers--;
#ifdef MUTANT_NO_LAST_LOOK
    skip
#else
    try_receive()
#endif
#endif
}

// Waits for `task`. The spinning of await() comes before; it only receives, as a leader does.
proctype Waiter(byte task; bool limited) {
    bool leads, over;
    if
    :: atomic { !leading -> leading = true; leads = true }  /*= const std::unique_lock leads(leading_, std::try_to_lock); */
    :: leading
    fi;
    if
    :: !leads ->  // sleep_until_done(): see future.pml.
        if
        :: done[task]
        :: limited
        fi
    :: else ->
#ifndef MUTANT_RELAXED_LED
        led = task;  /*= led_.exchange(&task, std::memory_order_seq_cst); page.leader.store(1, std::memory_order_seq_cst); */
#endif
        leader = true;
        do
        :: done[task] || over -> break  /*= while (!task.done() && !expired(deadline)) { try_receive(); */
        :: else ->
            try_receive();
            if
            :: done[task] -> break  /*= if (task.done()) break; os::Watch watch; watch.add(leader_bell_.fd()); watch.wait(deadline); */
            :: else
            fi;
#ifdef MUTANT_RELAXED_LED
            led = task;
#endif
            if
            :: leader_bell
            :: limited -> over = true
            fi;
            begin_receiving();
            leader_bell = false;  /*= leader_bell_.clear(); try_receive(); */
            try_receive();
            end_receiving()
        od;
#ifdef MUTANT_LEADER_LATE
        begin_receiving();
        end_receiving();
        leader = false;
        led = nothing;
#else
        begin_receiving();
        leader = false;  /*= page.leader.store(0, std::memory_order_seq_cst); led_.store(nullptr, std::memory_order_seq_cst); return task.done(); */
        led = nothing;
        end_receiving();
#endif
        leading = false
    fi;
    assert(done[task] || limited)
}

active proctype Manager() {
    begin_receiving();
    do
    :: true ->
        end_receiving();  /*= awake.reset(); */
end:    bell;  /*= watch_.wait(pending ? Deadline(Clock::now()) : limit); awake.emplace(*this); if (watch_.ready(bell)) bell_.clear(); const std::lock_guard held(receiving_); receive(); */
        begin_receiving();
        bell = false;
        atomic { !receiving -> receiving = true };
        receive();
        receiving = false
    od
}

init {
    atomic { run Waiter(0, true); run Waiter(1, false) }
}

active proctype Monitor() {
end: do
    :: timeout -> assert(received == results); break
    od
}
