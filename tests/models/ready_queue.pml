// SPDX-License-Identifier: MIT
// headers: detail/ready_queue.hpp
// mutants: EMPTIED_FIRST COUNT_EARLY NEXT_AFTER_PUSH STORED_HEAD NO_LOCK
//
// ReadyQueue: push(), which takes no lock, and pop_any() with sort_inbox(), count() and empty().
// Two threads push two tasks each; two workers pop until all is gone.
//
// Proved: every task is popped once, those of one thread in their order; and while a task is in the
// queue, pushed before and popped by nobody, nobody finds it empty.
// The tasks are of one priority: the heap is under the same lock as the list.

#define pushers 2
#define tasks 4

// Tasks are 1 to 4; 0 is none. The first two are the first thread's.
byte inbox, next[5];
byte sorted;        // sorted_
bool spin_lock;
byte list[tasks], size;  // normal_
byte pushed, popped[5], gone;
byte claimed;       // Tasks on their way out: taken from the list, and not yet counted off.

active [pushers] proctype Pusher() {
    byte added = 2 * _pid + 1, newest, count;
    do
    :: count < 2 ->
        newest = inbox;  /*= Runnable* newest = inbox_.load(std::memory_order_relaxed); do { */
        do
        :: true ->
#ifndef MUTANT_NEXT_AFTER_PUSH
            next[added] = newest;  /*= added.next = newest; */
#endif
            if
#ifdef MUTANT_STORED_HEAD
            :: d_step { inbox = added; pushed++ }; break
#else
            :: d_step { inbox == newest -> inbox = added; pushed++ }; break  /*= while (!inbox_.compare_exchange_weak(newest, &added, std::memory_order_seq_cst, std::memory_order_relaxed)); */
            :: d_step { inbox != newest -> newest = inbox }
#endif
            fi
        od;
#ifdef MUTANT_NEXT_AFTER_PUSH
        next[added] = newest;
#endif
        skip;
        d_step { added++; count++; newest = 0 }
    :: else -> break
    od
}

active [2] proctype Worker() {
    byte newest, oldest, other, task, here;
    bool found_inbox, found;
    do
    :: gone == tasks -> break
    :: gone < tasks ->
        // empty(): what is in the queue now, and is not popped until it has looked, it must find.
        d_step { here = pushed - claimed; found_inbox = inbox != 0; other = claimed };
        if
        :: found_inbox -> found = true  /*= return inbox_.load(std::memory_order_seq_cst) == nullptr && sorted_.load(std::memory_order_seq_cst) == 0; */
        :: else -> d_step { found = sorted != 0; assert(found || here == 0 || claimed > other) }
        fi;
        skip;
        d_step { here = 0; other = 0; found_inbox = false };
        if
        :: !found
        :: else ->
            found = false;
#ifndef MUTANT_NO_LOCK
            atomic { !spin_lock -> spin_lock = true };
#endif
            // sort_inbox()
            if
            :: inbox != 0 ->  /*= if (!inbox_.load(std::memory_order_relaxed)) return; */
#ifdef MUTANT_EMPTIED_FIRST
                d_step { newest = inbox; inbox = 0 };
                sorted = 1;
#else
                sorted = 1;  /*= sorted_.store(1, std::memory_order_seq_cst); Runnable* newest = inbox_.exchange(nullptr, std::memory_order_seq_cst); */
                d_step { newest = inbox; inbox = 0 };
#endif
                do
                :: newest != 0 ->
                    d_step {
                        other = next[newest];
                        next[newest] = oldest;
                        oldest = newest;
                        newest = other;
                        other = 0
                    }
                :: else -> break
                od;
                do
                :: oldest != 0 -> d_step { assert(size < tasks); list[size] = oldest; size++; oldest = next[oldest] }
                :: else -> break
                od
            :: else
            fi;
#ifdef MUTANT_COUNT_EARLY
            sorted = (size > 0 -> size - 1 : 0);
#endif
            if
            :: size > 0 ->
                task = list[0];  /*= Runnable* task = normal_.empty() ? nullptr : normal_.front(); */
                d_step {
                    list[0] = list[1];
                    list[1] = list[2];
                    list[2] = list[3];
                    list[3] = 0;
                    size--;
                    claimed++;
                    popped[task]++;
                    assert(popped[task] == 1 && (task != 2 || popped[1]) && (task != 4 || popped[3]))
                }
            :: else
            fi;
#ifndef MUTANT_COUNT_EARLY
            sorted = size;  /*= sorted_.store(normal_.size() + (heap_.empty() ? 0 : 1), std::memory_order_seq_cst); */
#endif
#ifndef MUTANT_NO_LOCK
            spin_lock = false;
#endif
            if
            :: task != 0 ->
                d_step { gone++; task = 0 }
            :: else
            fi
        fi
    od
}
