// SPDX-License-Identifier: MIT
// headers: detail/family/shared_gate.hpp detail/family/shared_semaphore.hpp
// mutants: TURN_AFTER_ATTEMPT NOTIFY_BEFORE_CHANGE LATE_COUNT WOKEN_COUNTS_OFF WAKE_BEFORE_TURN KEEPS_WAKE_UP NO_BURIAL
//
// SharedGate::wait_until() and notify(), used as a semaphore does. Of two sleepers one has
// a deadline, and its attempt may throw after it was woken; any one may be killed at any instruction;
// one permit is released, and
// the burial is a second notifier.
//
// Proved: in the end nobody sleeps while there is a permit, none is lost or taken twice, and the
// count of sleepers never falls below zero. That holds because who sees the death wakes all.
// The spinning before the first count is left out: it only looks.
// That turns_ changes at every notify() is why the count need only come before the sleep: a mutant
// that counts after the attempt would be right, one whose count is delayed past the sleep is not.

#define takers 2
#define limited 0
#define throwing 0
#define releases 1

byte turns;
short sleepers;
byte permits, taken, given_up;
bool asleep[takers];
bool killed[takers], buried[takers];
byte kills = 1;

inline attempt(succeeded) {  // Under the guard, see journal.pml.
    d_step {
        succeeded = permits > 0;
        if
        :: succeeded -> permits--; taken++
        :: else
        fi
    }
}

// Wakes one of those who sleep, or `all` of them; returns how many.
inline wake(all, woken) {
    d_step {
        woken = 0;
        if
        :: asleep[0] -> asleep[0] = false; woken++
        :: else
        fi;
        if
        :: asleep[1] && (all || woken == 0) -> asleep[1] = false; woken++
        :: else
        fi
    }
}

inline notify(all, seen_sleepers, woken) {
#ifdef MUTANT_WAKE_BEFORE_TURN
    seen_sleepers = sleepers;
    if
    :: seen_sleepers == 0 -> woken = 0
    :: else -> wake(all, woken)
    fi;
    turns++;
#else
    turns++;  /*= turns_.fetch_add(1, std::memory_order_seq_cst); */
    seen_sleepers = sleepers;  /*= if (sleepers_.load(std::memory_order_seq_cst) == 0 || count == 0) return; */
    if
    :: seen_sleepers == 0 -> woken = 0
    :: else -> wake(all, woken)
    fi;
#endif
    if
    :: woken != 0 -> count(-woken)  /*= sleepers_.fetch_sub(static_cast<std::uint32_t>(woken), std::memory_order_relaxed); */
    :: else
    fi
}

inline count(change) {
    d_step {
        sleepers = sleepers + (change);
        assert(sleepers >= 0)
    }
}

active [takers] proctype Taker() {
    byte seen;
    bool succeeded, counted, was_woken;
    short seen_sleepers;
    byte woken;
    {
        attempt(succeeded)
        if
        :: succeeded -> goto done
        :: else
        fi;
#ifndef MUTANT_LATE_COUNT
        atomic { count(1); counted = true }  /*= gate_.sleepers_.fetch_add(1, std::memory_order_seq_cst); counted_ = true; */
#endif
        do
        :: true ->
#ifdef MUTANT_TURN_AFTER_ATTEMPT
            attempt(succeeded)
            seen = turns;
#else
            seen = turns;  /*= seen = turns_.load(std::memory_order_seq_cst); if (attempt()) return true; switch (os::sleep_counted( */
            attempt(succeeded)
#endif
            if
            :: succeeded -> break
            :: else
            fi;
            // The system compares and begins the sleep in one step.
            d_step { was_woken = turns == seen; asleep[_pid] = was_woken };
#ifdef MUTANT_LATE_COUNT
            if
            :: !counted -> atomic { count(1); counted = true }
            :: else
            fi;
#endif
end_asleep: if
            :: !was_woken  /*= case os::Awake::for_none: break; */
            :: d_step { was_woken && !asleep[_pid] } ->
#ifndef MUTANT_WOKEN_COUNTS_OFF
                counted = false;  /*= case os::Awake::woken: counted.was_woken(); */
#endif
                if
                :: _pid == throwing ->  // What the attempt throws leaves.
#ifndef MUTANT_KEEPS_WAKE_UP
                    notify(false, seen_sleepers, woken)  /*= } catch (...) { notify(1); */
#endif
                    given_up++;
                    break
                :: true
                fi;
                attempt(succeeded)
                if
                :: succeeded -> break
                :: else
                fi;
#ifdef MUTANT_LATE_COUNT
                skip
#else
                atomic { count(1); counted = true }  /*= counted.count(); */
#endif
            :: d_step { _pid == limited && asleep[_pid] -> asleep[_pid] = false };
                attempt(succeeded)  /*= case os::Awake::too_late: return attempt(); */
                given_up = given_up + !succeeded;
                break
            fi
        od;
        if
        :: counted -> count(-1)  /*= if (counted_) gate_.sleepers_.fetch_sub(1, std::memory_order_relaxed); */
        :: else
        fi
    } unless { killed[_pid] };
    if
    :: killed[_pid] -> asleep[_pid] = false; buried[_pid] = true  // The system forgets it.
    :: else
    fi;
done: skip
}

active [releases] proctype Releaser() {
    short seen_sleepers;
    byte woken;
#ifdef MUTANT_NOTIFY_BEFORE_CHANGE
    notify(false, seen_sleepers, woken);
    permits++
#else
    permits++;  /*= gate.notify(count); */
    notify(false, seen_sleepers, woken)
#endif
}

// Kills one, and then does what is done when a death is seen.
active proctype Killer() {
    short seen_sleepers;
    byte woken, victim;
    if
    :: victim = 0
    :: victim = 1
    :: goto none
    fi;
    killed[victim] = true;
end: buried[victim];
#ifndef MUTANT_NO_BURIAL
    notify(true, seen_sleepers, woken);  /*= gate.notify_all(); */
#endif
none: skip
}

active proctype Monitor() {
end: do
    :: timeout ->
        assert(permits + taken == releases);
        assert(permits == 0 || (!asleep[0] && !asleep[1]));
        break
    od
}
