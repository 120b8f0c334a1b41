// SPDX-License-Identifier: MIT
// headers: detail/shared_state.hpp detail/continuation.hpp detail/gate_continuation.hpp
// mutants: CLOSE_BEFORE_PUBLISH OUTCOME_AFTER_PUBLISH SEPARATE_BIT KEEPS_BIT_UNSEEN CANCEL_STORES LEAVES_EARLY LOCK_IGNORED
//
// A future's state: StateBase::advance(), publish(), sleep_until_done(), cancel(), and
// ContinuationList with WaiterContinuation::leave().
// One thread runs the task and one cancels it; one of two sleepers has a deadline; one adds a
// callback; one adds a waiter's continuation, and leaves after the outcome or before it.
//
// Proved: the outcome is written once, by one, and read only when it is there; the callback runs once
// and after the outcome; whoever sleeps is woken; the waiter's continuation is not touched once it
// has left, and no other is lost when it does.

#define pending 0
#define running 1
#define cancelling 2
#define done_from 3
#define cancelled 3
#define succeeded 4

byte phase;
bool slept_on;  // The bit beside the phase, in the same word.
byte settlers;
bool outcome;
bool asleep[2];

// The list: its nodes, 1 and 2, linked by `next`; `first` is the head without its two bits.
#define callback 1
#define waiter 2
byte first, next[3], ran[3];
bool locked, closed, waiter_ran, left;

inline touch(node) {
    assert(node != waiter || !left)
}

inline add(node, added) {
    do
    :: true ->
        d_step { head = first; was_closed = closed };  /*= bool add(Continuation& added) noexcept { std::uintptr_t head = head_.load(std::memory_order_acquire); */
        if
        :: was_closed -> added = false; break  /*= if (head == closed) return false; head &= ~locked; added.next = to_pointer(head); */
        :: else
        fi;
        next[node] = head;  /*= added.next = to_pointer(head); */
        if
#ifdef MUTANT_LOCK_IGNORED
        :: d_step { !closed && first == head -> first = node }; added = true; break
        :: d_step { closed || first != head }
#else
        :: d_step { !closed && !locked && first == head -> first = node }; added = true; break  /*= if (head_.compare_exchange_weak(head, to_word(&added), std::memory_order_acq_rel, std::memory_order_acquire)) return true; */
        :: d_step { closed || first != head }
#endif
        fi
    od
}

inline close() {  /*= std::uintptr_t head = head_.load(std::memory_order_acquire); for (;;) { head &= ~locked; if (head_.compare_exchange_weak(head, closed, std::memory_order_acq_rel, std::memory_order_acquire)) break; */
#ifdef MUTANT_LOCK_IGNORED
    d_step { oldest = first; closed = true; first = 0 };
#else
    d_step { !locked -> oldest = first; closed = true; first = 0 };
#endif
}

inline run_all(kind) {
    node = oldest;
    do
    :: node != 0 ->
        d_step { touch(node); following = next[node] };  /*= Continuation* const following = node->next; if (node->immediate()) { node->run(*this); */
        if
        :: node == kind ->
            d_step { touch(node); ran[node]++; assert(ran[node] == 1 && phase >= done_from) };
            if
            :: node == waiter -> waiter_ran = true  /*= void finish_run() noexcept { ran_.store(true, std::memory_order_release); } */
            :: else
            fi
        :: else
        fi;
        node = following
    :: else -> break
    od
}

inline publish(result) {
#ifdef MUTANT_CLOSE_BEFORE_PUBLISH
    close();
#endif
#ifdef MUTANT_KEEPS_BIT_UNSEEN
    was_slept_on = slept_on;
    d_step { phase = result; slept_on = false };
#else
    d_step { was_slept_on = slept_on; phase = result; slept_on = false };  /*= word_.exchange(std::uint32_t(outcome), std::memory_order_seq_cst); if (before & slept_on) os::wake_all(word_); */
#endif
    if
    :: was_slept_on -> d_step { asleep[0] = false; asleep[1] = false }
    :: else
    fi;
#ifndef MUTANT_CLOSE_BEFORE_PUBLISH
    close();  /*= for (Continuation* node = continuations_.close(); node != nullptr;) { */
#endif
    // Waiters' own run at once; the callbacks are put aside for later before their nodes may go.
    rest = (oldest == callback || (oldest == waiter && next[waiter] == callback) -> callback : 0);
    run_all(waiter);
    if
    :: rest != 0 -> d_step { ran[callback]++; assert(ran[callback] == 1 && phase >= done_from) }
    :: else
    fi
}

active proctype Runner() {
    byte oldest, node, following, rest;
    bool was_slept_on;
    if
    :: d_step { phase == pending -> phase = running }  /*= if (phase_of(word) != from) return false; } while (!word_.compare_exchange_weak(word, (word & ~phase_mask) | std::uint32_t(to), std::memory_order_acq_rel, std::memory_order_relaxed)); */
    :: phase != pending -> goto lost
    fi;
    d_step { settlers++; assert(settlers == 1) };
#ifdef MUTANT_OUTCOME_AFTER_PUBLISH
    publish(succeeded);
    outcome = true;
#else
    outcome = true;  /*= emplace_value(std::move(value)); conclude(Phase::succeeded); */
    publish(succeeded);
#endif
lost: skip
}

active proctype Canceller() {
    byte oldest, node, following, rest;
    bool was_slept_on;
    if
#ifdef MUTANT_CANCEL_STORES
    :: phase == pending -> phase = cancelling
#else
    :: d_step { phase == pending -> phase = cancelling }  /*= if (advance(Phase::pending, Phase::cancelling)) { drop_work(); conclude(Phase::cancelled); */
#endif
    :: phase != pending -> goto lost
    :: true -> goto lost  // Nobody cancels.
    fi;
    d_step { settlers++; assert(settlers == 1) };
    publish(cancelled);
lost: skip
}

// The first of them has a deadline.
proctype Sleeper(byte me) {
    byte seen;
    bool bit_seen;
    do
    :: true ->
        d_step { seen = phase; bit_seen = slept_on };  /*= std::uint32_t word = word_.load(std::memory_order_acquire); while (phase_of(word) < Phase::cancelled) { */
        if
        :: seen >= done_from -> break
        :: else
        fi;
        if
        :: !bit_seen ->
#ifdef MUTANT_SEPARATE_BIT
            d_step { phase = seen; slept_on = true };
            bit_seen = true
#else
            if  /*= !word_.compare_exchange_weak(word, word | slept_on, std::memory_order_acq_rel, std::memory_order_acquire)) continue; */
            :: d_step { phase == seen && !slept_on -> slept_on = true }; bit_seen = true
            :: d_step { phase != seen || slept_on } -> bit_seen = false
            fi
#endif
        :: else
        fi;
        if
        :: !bit_seen
        :: else ->
            // The system compares and begins the sleep in one step.
            d_step { asleep[me] = phase == seen && slept_on };  /*= if (!os::sleep_on(word_, word | slept_on, deadline)) return done(); word = word_.load(std::memory_order_acquire); */
            if
            :: !asleep[me]
            :: d_step { me == 0 && asleep[me] -> asleep[me] = false }; goto late
            fi
        fi
    od;
    assert(phase == cancelled || outcome);  /*= return phase_of(word_.load(std::memory_order_acquire)); */
late: skip
}

active proctype Adder() {
    byte head;
    bool added, was_closed;
    add(callback, added);
    if
    :: !added -> d_step { ran[callback]++; assert(ran[callback] == 1 && phase >= done_from) }  /*= if (!continuations_.add(added)) added.run(*this); */
    :: else
    fi
}

active proctype LeavingWaiter() {
    byte head, before;
    bool added, was_closed;
    add(waiter, added);
    if
    :: !added -> waiter_ran = true
    :: else
    fi;
    // leave()
    if
#ifdef MUTANT_LOCK_IGNORED
    :: d_step { !closed -> locked = true; head = first };
#else
    :: d_step { !closed && !locked -> locked = true; head = first };  /*= head = head_.load(std::memory_order_acquire); for (;;) { if (head == closed) return false; head &= ~locked; if (head_.compare_exchange_weak(head, head | locked, std::memory_order_acq_rel, std::memory_order_acquire)) return true; */
#endif
        if
        :: head == waiter -> head = next[waiter]
        :: else ->
            before = head;
            next[before] = next[waiter]  /*= before->next = unwanted.next; */
        fi;
        d_step { first = head; locked = false }  /*= head_.store(to_word(first), std::memory_order_release); */
    :: closed ->
#ifndef MUTANT_LEAVES_EARLY
        waiter_ran  /*= while (!ran_.load(std::memory_order_acquire)) os::yield(); */
#endif
    fi;
    left = true
}

init {
    atomic { run Sleeper(0); run Sleeper(1) }
}

active proctype Monitor() {
end: do
    :: timeout -> assert(settlers == 1 && ran[callback] == 1 && left); break
    od
}
