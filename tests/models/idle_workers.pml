// SPDX-License-Identifier: MIT
// headers: detail/idle_workers.hpp detail/thread_engine.hpp detail/thread_worker.hpp detail/ready_queue.hpp
// mutants: NO_SECOND_LOOK LOOK_BEFORE_LYING_DOWN RELAXED_PUSH RELAXED_COUNTS FINDER_KEEPS_QUIET RELAXED_END_SEARCH WAKE_WITHOUT_SEARCH QUITS_AFTER_WAKE QUIT_UNSEEN
//
// Which worker of a thread pool is awake: IdleWorkers, with ThreadEngine::requeue(), signal_work(),
// start_another(), serve(), steal_from() and quiet().
// Two workers, of which the pool starts the second one when it is needed, and two threads that submit
// three tasks. A worker takes up to one more than it runs along into its own queue. The first two
// tasks to begin wait for each other, so both workers must have come to them.
//
// Proved: all tasks run, also those that wait for others which another worker must run: nobody
// sleeps, and no worker is left unstarted, while there is a task that no awake worker comes to. And
// that all workers end when the pool does, which is when all tasks have.
// The queues themselves are in ready_queue.pml; here they are numbers of tasks.
// A relaxed operation takes effect after the next load of another word: what a store buffer does.

#define workers 2
#define tasks 3

byte ready, queue[workers];
byte searching, sleeping;      // The two halves of counts_.
bool in_list[workers];         // sleepers_
bool woken[workers];
byte live = 1, accepted, ended;
bool spin_lock;
bool quitting;
byte gone;         // Workers that have ended.
byte begun, together;

inline lock() { atomic { !spin_lock -> spin_lock = true } }
inline unlock() { spin_lock = false }

// signal_work(): wake_one(), and start_another().
inline signal_work() {
    d_step { any = searching > 0; none = sleeping == 0 };  /*= const std::uint64_t counts = counts_.load(std::memory_order_seq_cst); if (any_searching(counts)) return true; if (static_cast<std::uint32_t>(counts) == 0) return false; */
    signal_by_counts()
}
inline signal_by_counts() {
    if
    :: any
    :: !any && !none ->
        lock();
        other = workers;
        d_step {  // pop()
            if  /*= return any_searching(counts_.load(std::memory_order_seq_cst)); */
            :: searching == 0 && in_list[0] -> other = 0
            :: searching == 0 && !in_list[0] && in_list[1] -> other = 1  /*= if (!any_searching()) woken = pop(); */
            :: else
            fi;
            if
            :: other != workers ->
                in_list[other] = false;
                sleeping--;  /*= counts_.fetch_add(one_searching - one_sleeping, std::memory_order_seq_cst); return last; */
#ifndef MUTANT_WAKE_WITHOUT_SEARCH
                searching++
#endif
            :: else
            fi
        };
        unlock();
        if
        :: other != workers ->  /*= if (woken) woken->wake(); */
            woken[other] = true  /*= woken.store(1, std::memory_order_release); os::wake_one(woken); */
        :: else
        fi
    :: !any && none ->
        if
        :: live < workers ->  /*= if (!idle_workers_.wake_one() && workers_.live() < workers_.max()) start_another(); */
            atomic {  // Under the lock of ThreadWorkers::start_if().
                if
                :: live < workers && accepted - ended > live && searching == 0 ->  /*= if (ledger().outstanding() <= workers_.live()) return false; return !quitting_.load() && !idle_workers_.any_searching(); */
                    searching++;  /*= idle_workers_.begin_search(); retain(); return counted = true; */
                    live++;  /*= void begin_search() noexcept { counts_.fetch_add(one_searching, std::memory_order_seq_cst); } */
                    run Worker(1)
                :: else
                fi
            }
        :: else
        fi
    fi;
    any = false;
    none = false;
    other = 0
}

inline look_at_queues(found) {  // work_available(): one queue after the other.
    found = ready > 0;  /*= return inbox_.load(std::memory_order_seq_cst) == nullptr && sorted_.load(std::memory_order_seq_cst) == 0; */
    if
    :: !found -> found = queue[0] > 0  /*= return size_.load(std::memory_order_seq_cst) == 0; */
    :: else
    fi;
    if
    :: !found -> found = queue[1] > 0
    :: else
    fi
}

inline next(task) {
    task = false;
    atomic {
        if
        :: queue[me] > 0 -> queue[me]--; task = true
        :: else
        fi
    };
    if
    :: !task ->
        atomic {
            if
            :: ready > 0 -> ready--; task = true;
                if
                :: ready > 0 -> ready--; queue[me]++  /*= if (!batch.empty()) local.push_all(batch); } } count(); return task; */
                :: true
                fi
            :: else
            fi
        }
    :: else
    fi;
    if
    :: !task ->  // steal_into()
        atomic {
            stolen = (queue[1 - me] + 1) / 2;
            queue[1 - me] = queue[1 - me] - stolen  /*= for (; count > 0; --count) stolen.push_back(*list_.pop_front()); size_.store(list_.size(), std::memory_order_seq_cst); */
        };
        if
        :: stolen > 0 ->
            task = true;
            if
            :: stolen > 1 ->
                queue[me] = queue[me] + stolen - 1;  /*= while (Runnable* task = added.pop_front()) list_.push_back(*task); size_.store(list_.size(), std::memory_order_seq_cst); */
                signal_work()  /*= if (task && !me.local.empty()) signal_work(); */
            :: else
            fi
        :: else
        fi;
        stolen = 0
    :: else
    fi
}

proctype Worker(byte me) {
    bool is_searching = true, task, found, any, none, quits;
    byte other, stolen, mine;
    do
    :: true ->
        next(task);
        if
        :: !task ->
            if  /*= while (!any_searching(counts)) if (counts_.compare_exchange_weak(counts, counts + one_searching, std::memory_order_seq_cst)) return true; */
            :: !is_searching -> d_step { is_searching = searching == 0; searching = searching + is_searching }  /*= searching = searching || idle_workers_.try_begin_search(); out_of_work(me.cell); */
            :: else
            fi;
            quits = quitting;  /*= quits = quitting_.load(std::memory_order_seq_cst); task = next(me); */
            next(task)
        :: else
        fi;
        if
        :: task ->
            if
            :: is_searching ->
#ifdef MUTANT_RELAXED_END_SEARCH
                look_at_queues(found);
                d_step { is_searching = false; searching-- };
#else
                d_step { is_searching = false; searching-- };  /*= if (std::exchange(searching, false)) { idle_workers_.end_search(); if (work_available()) signal_work(); } */
#endif
#ifndef MUTANT_FINDER_KEEPS_QUIET
#ifndef MUTANT_RELAXED_END_SEARCH
                look_at_queues(found);  /*= void end_search() noexcept { counts_.fetch_sub(one_searching, std::memory_order_seq_cst); } */
#endif
                if
                :: found -> signal_work()
                :: else
                fi;
                found = false
#endif
            :: else
            fi;
            // The task.
            d_step { begun++; mine = begun };
            if
            :: mine <= 2 -> together++; together == 2
            :: else
            fi;
            d_step { ended++; task = false; mine = 0 }
        :: !task && quits -> break  /*= } else if (quits) { return; } else { */
        :: else ->
            // sleep()
#ifdef MUTANT_LOOK_BEFORE_LYING_DOWN
            look_at_queues(found);
#endif
            lock();
#ifdef MUTANT_RELAXED_COUNTS
            in_list[me] = true;
            unlock();
            look_at_queues(found);
            d_step { sleeping++; searching = searching - is_searching };
#else
            d_step { in_list[me] = true; sleeping++; searching = searching - is_searching };  /*= counts_.fetch_add(one_sleeping - (searching ? one_searching : 0), std::memory_order_seq_cst); */
            unlock();
#if !defined(MUTANT_NO_SECOND_LOOK) && !defined(MUTANT_LOOK_BEFORE_LYING_DOWN)
            look_at_queues(found);  /*= if (stays_up()) { const std::lock_guard held(lock_); */
#endif
#endif
#ifndef MUTANT_QUIT_UNSEEN
            if
            :: !found -> found = quitting  /*= return work_available() || quitting_.load(std::memory_order_seq_cst) || workers_.live() > workers_.max(); */
            :: else
            fi;
#endif
            if
            :: found ->
                lock();
                d_step {
                    found = in_list[me];
                    if
                    :: found -> in_list[me] = false; sleeping--; searching++  /*= if (remove(me)) return true; */
                    :: else  /*= *link = unwanted.below; counts_.fetch_add(one_searching - one_sleeping, std::memory_order_seq_cst); return true; */
                    fi
                };
                unlock()
            :: else
            fi;
            if
            :: !found ->
end_asleep:     atomic { woken[me] -> woken[me] = false }  /*= while (woken.load(std::memory_order_acquire) == 0) os::sleep_on(woken, 0); woken.store(0, std::memory_order_relaxed); */
            :: else
            fi;
            found = false;
            is_searching = true
        fi
    od;
    gone++
}

proctype Submitter(byte count) {
    bool any, none;
    byte other;
    do
    :: count > 0 ->  /*= list_.push_back(added); size_.store(list_.size(), std::memory_order_seq_cst); */
        count--;
        accepted++;
#ifdef MUTANT_RELAXED_PUSH
        d_step { any = searching > 0; none = sleeping == 0 };
        ready++;
        signal_by_counts()
#else
        ready++;  /*= me ? me->local.push(runnable) : ready_.push(runnable); } arrivals_.notify(); signal_work(); */
        signal_work()
#endif
    :: else -> break
    od
}

inline wake_all(me) {  // Under the lock.
    if
    :: in_list[me] ->
        d_step { in_list[me] = false; sleeping--; searching++ };
        woken[me] = true
    :: else
    fi
}

active proctype Closer() {
    ended == tasks;
#ifndef MUTANT_QUITS_AFTER_WAKE
    quitting = true;  /*= quitting_.store(true, std::memory_order_seq_cst); idle_workers_.wake(ThreadWorkers::most); */
#endif
    lock();
    wake_all(0);  /*= for (; count > 0 && sleepers_; --count) pop()->wake(); */
    wake_all(1);
    unlock();
#ifdef MUTANT_QUITS_AFTER_WAKE
    quitting = true
#endif
}

init {
    atomic {
        searching = 1;  // start_first()
        run Worker(0);
        run Submitter(1);
        run Submitter(2)
    }
}

active proctype Monitor() {
end: do
    :: timeout -> assert(ended == tasks && ready == 0 && gone == live); break
    od
}
