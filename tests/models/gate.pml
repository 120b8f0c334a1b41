// SPDX-License-Identifier: MIT
// headers: detail/gate.hpp detail/admission.hpp
// mutants: COUNT_AFTER_LOOK TURN_AFTER_LOOK WAKE_BEFORE_TURN RELAXED_COUNT RELAXED_CHANGE TAKES_BY_STORE
//
// Gate::wait() and Gate::notify_one(), used as Admission does: who looks takes a place if there is
// one, and who leaves wakes one. (Gate::notify() does the same and wakes all, watched() is its look.)
//
// Proved: no waiter without a deadline sleeps for good while there is a place for it, and no place
// is taken twice or lost, for two waiters without and one with a deadline, and three who leave.
// A relaxed operation takes effect after the next load of another word: what a store buffer does.

#define waiters_max 3
#define limited 2  // The waiter that has a deadline.
#define places 3

byte turns, waiters;
byte room, taken;
bool asleep[waiters_max];  // In the system's queue of those who sleep on turns_.

/*= void notify() noexcept { if (waiters_.load(std::memory_order_seq_cst) == 0) return; turns_.fetch_add(1, std::memory_order_release); os::wake_all(turns_); } */
/*= [[nodiscard]] bool watched() const noexcept { return waiters_.load(std::memory_order_seq_cst) != 0; } */

inline look(found) {  // ready(), here Admission::try_enter().
#ifdef MUTANT_TAKES_BY_STORE
    left = room;
    found = left > 0;
    if
    :: found -> d_step { room = left - 1; taken++ }
    :: else
    fi
#else
    d_step {
        found = room > 0;  /*= std::int64_t room = room_.load(std::memory_order_seq_cst); */
        if
        :: found -> room--; taken++  /*= while (room > 0) if (room_.compare_exchange_weak(room, room - 1, std::memory_order_seq_cst)) return true; */
        :: else
        fi
    }
#endif
}

active [waiters_max] proctype Waiter() {
    byte seen;
    bool ready;
#ifdef MUTANT_TAKES_BY_STORE
    byte left;
#endif
    look(ready)  /*= gate_.wait([&] { return closed() || (entered = try_enter()); }, deadline); */
    if
    :: ready -> goto done
    :: else
    fi
#if !defined(MUTANT_COUNT_AFTER_LOOK) && !defined(MUTANT_RELAXED_COUNT)
    waiters++;  /*= waiters_.fetch_add(1, std::memory_order_seq_cst); */
#endif
#ifdef MUTANT_RELAXED_COUNT
    bool counted;
    counted = false;
#endif
    do
    :: true ->
#ifdef MUTANT_TURN_AFTER_LOOK
        look(ready)
        seen = turns;
#else
        seen = turns;  /*= const std::uint32_t seen = turns_.load(std::memory_order_acquire); is_ready = ready(); */
        look(ready)
#endif
#ifdef MUTANT_RELAXED_COUNT
        if
        :: !counted -> waiters++; counted = true
        :: else
        fi
#endif
        if
        :: ready -> break
        :: else
        fi;
#ifdef MUTANT_COUNT_AFTER_LOOK
        waiters++;
#endif
        // The system compares and begins the sleep in one step.
        d_step { asleep[_pid] = turns == seen };  /*= if (is_ready || !os::sleep_on(turns_, seen, deadline)) break; */
        if
        :: !asleep[_pid]
        :: d_step { _pid == limited && asleep[_pid] -> asleep[_pid] = false }; break
        fi
#ifdef MUTANT_COUNT_AFTER_LOOK
        waiters--
#endif
    od;
#ifndef MUTANT_COUNT_AFTER_LOOK
    waiters--;  /*= waiters_.fetch_sub(1, std::memory_order_relaxed); return is_ready || ready(); */
#endif
    if
    :: !ready -> look(ready)
    :: else
    fi;
    assert(ready || _pid == limited);
done: skip
}

inline wake_one() {  // Whichever.
    atomic {
        if
        :: asleep[0] -> asleep[0] = false
        :: asleep[1] -> asleep[1] = false
        :: asleep[2] -> asleep[2] = false
        :: else
        fi
    }
}

active [places] proctype Leaver() {
    byte counted;
#ifdef MUTANT_RELAXED_CHANGE
    counted = waiters;
    room++;
#else
    room++;  /*= room_.fetch_add(1, std::memory_order_seq_cst); gate_.notify_one(); */
    counted = waiters;  /*= void notify_one() noexcept { if (waiters_.load(std::memory_order_seq_cst) == 0) return; turns_.fetch_add(1, std::memory_order_release); os::wake_one(turns_); } */
#endif
    if
    :: counted != 0 ->
#ifdef MUTANT_WAKE_BEFORE_TURN
        wake_one()
        turns++
#else
        turns++;  /*= turns_.fetch_add(1, std::memory_order_release); os::wake_one(turns_); */
        wake_one()
#endif
    :: else
    fi
}

active proctype Monitor() {
end: do
    :: timeout -> assert(room + taken == places && waiters == 0); break
    od
}
