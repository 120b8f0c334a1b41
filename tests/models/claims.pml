// SPDX-License-Identifier: MIT
// headers: detail/process/protocol.hpp detail/process/worker_handle.hpp detail/process/worker_main.hpp detail/process/result_writer.hpp detail/process/dispatcher.hpp
// mutants: HEAD_FIRST READ_BEFORE_CLAIM RECORD_AFTER_OFFER RECALL_STORES NO_HEAD_CHECK SLEEPS_AFTER_LOOK NO_SECOND_LOOK RELAXED_HEAD RELAXED_QUIT BEGINS_BY_STORE SKIPS_BY_STORE OFFERS_BY_STORE BEGUN_LATE DEATH_BEFORE_RESULTS
//
// The tasks on their way to a worker process and back: TaskRing, the claim words, and the sleep of
// the worker, with WorkerHandle::hand_out(), fill_hole(), recall(), wake(), running() on the parent's
// side, whose threads take turns under locks, and WorkerMain::wait_for(), claim() on the worker's.
// The ring has two slots and there are three tasks, so turns use a slot again; the parent may recall
// what has not begun, once; the worker may be killed at any instruction.
//
// Proved: no task runs twice, each gets one outcome, the one that was lost with the worker included;
// what was published is not lost; the worker does not sleep while a task is there for it or while it
// is to quit; and who sees that a task has begun sees since when. The bell that tells the parent of results is in results.pml: here it looks all the time.
//
// A relaxed operation takes effect after the next load of another word: what a store buffer does.

#define slots 2
#define tasks 3
#define none 255

// A claim word is a turn and a claim.
#define word(turn, claim) ((turn) * 4 + (claim))
#define offered 0
#define begun 1
#define recalled 2
#define skipped 3
byte claims[slots] = 255;
byte records[slots] = none;  // In the ring: which task.
byte ring_head;
bool quit;
byte asleep;       // WorkerPage::asleep
bool in_system;    // The worker sleeps on that word.
byte published;
byte results[tasks];  // The result ring: which task; large enough, see result_ring.pml for its room.
byte result_turns[tasks];
byte begun_at;     // WorkerPage::begun_ns: the clock is the turn.
bool dead, ended;

byte ran[tasks], outcomes[tasks];

active proctype Worker() {
    byte number, record, seen;
    bool look;
    {
        do
        :: true ->
            // wait_for()
            do  /*= while (!either()) if (!spin_until(either)) sleep_until_rung(page_, either); return handed_out(); */
            :: true ->
                look = ring_head != number || quit;  /*= const auto handed_out = [&] { return ring_.head.load(std::memory_order_seq_cst) != number; }; const auto quits = [&] { return ring_.quit.load(std::memory_order_seq_cst) != 0; }; const auto either = [&] { return handed_out() || quits(); }; */
                if
                :: look -> break
                :: else
                fi;
#ifdef MUTANT_SLEEPS_AFTER_LOOK
                look = ring_head != number || quit;
                asleep = 1;
#else
                asleep = 1;  /*= page.asleep.store(1, std::memory_order_seq_cst); if (!ready()) os::sleep_on(page.asleep, 1, std::nullopt, os::Sharing::processes); */
#ifndef MUTANT_NO_SECOND_LOOK
                look = ring_head != number || quit;
#endif
#endif
                if
                :: !look ->
                    d_step { in_system = asleep == 1 };
end_asleep:         !in_system
                :: else
                fi;
                asleep = 0  /*= page.asleep.store(0, std::memory_order_relaxed); */
            od;
            if
            :: ring_head == number -> break  // It quits.
            :: else
            fi;
            // claim()
#ifdef MUTANT_READ_BEFORE_CLAIM
            record = records[number % slots];
#endif
#ifndef MUTANT_BEGUN_LATE
            begun_at = number + 1;  /*= page_.begun_ns.store(now(), std::memory_order_relaxed); std::atomic<std::uint64_t>& word = page_.claims[number % ring_slots]; */
#endif
            do
            :: true ->
#ifdef MUTANT_BEGINS_BY_STORE
                seen = claims[number % slots];
                if
                :: seen == word(number, offered) -> claims[number % slots] = word(number, begun)
                :: else
                fi;
#else
                d_step {
                    seen = claims[number % slots];
                    if
                    :: seen == word(number, offered) -> claims[number % slots] = word(number, begun)  /*= if (word.compare_exchange_strong(seen, claim_word(number, Claim::begun), std::memory_order_seq_cst)) return true; */
                    :: else
                    fi
                };
#endif
                if
                :: seen == word(number, offered) -> break
                :: else
                fi;
#ifdef MUTANT_SKIPS_BY_STORE
                claims[number % slots] = word(number, skipped);
#else
                d_step {
                    if
                    :: claims[number % slots] == seen -> claims[number % slots] = word(number, skipped)  /*= if (word.compare_exchange_strong(seen, claim_word(number, Claim::skipped), std::memory_order_seq_cst)) return false; */
                    :: else -> seen = none
                    fi
                };
#endif
                if
                :: seen != none -> break
                :: else
                fi
            od;
#ifdef MUTANT_BEGUN_LATE
            begun_at = number + 1;
#endif
            if
            :: seen == word(number, offered) ->
#ifndef MUTANT_READ_BEFORE_CLAIM
                record = records[number % slots];  /*= if (claim(number)) run(number, at<Record>(ring_.records[number % ring_slots])); */
#endif
                d_step { assert(record != none); ran[record]++; assert(ran[record] == 1) };
                d_step { results[published] = record; result_turns[published] = number };
                published++  /*= page_.published.store(written_, std::memory_order_seq_cst); */
            :: else
            fi;
            number++
        od
    } unless { dead };
    in_system = false;
    ended = true
}

// What is behind the locks of the parent. `slot_task` is WorkerHandle::slots_, with numbers.
byte head, received;
byte slot_task[slots] = none, slot_turn[slots];
bool hole[8];  // By turn.
bool waiting[tasks] = true;
byte left = tasks;  // Tasks without an outcome.
byte recalls = 1;

inline settle(task) {
    outcomes[task]++;
    assert(outcomes[task] == 1);
    left--
}

inline take(turn) {
    slot_task[(turn) % slots] = none
}

/*= return page().claims[number % ring_slots].load(std::memory_order_acquire) == claim_word(number, Claim::recalled); */
#define is_recalled(turn) (claims[(turn) % slots] == word(turn, recalled))
#define free_head (slot_task[head % slots] == none && (head < slots || !is_recalled(head - slots)))  /*= return !slots_[head_ % ring_slots].task && (head_ < ring_slots || !is_recalled(head_ - ring_slots)); */

inline recall_turn() {
    recalls--;
    hole[turn] = true;
#ifdef MUTANT_RECALL_STORES
    done = claims[turn % slots] == word(turn, offered);
    if
    :: done -> claims[turn % slots] = word(turn, recalled)
    :: else
    fi;
#else
    d_step {
        done = claims[turn % slots] == word(turn, offered);
        if
        :: done -> claims[turn % slots] = word(turn, recalled)  /*= if (!page().claims[number % ring_slots].compare_exchange_strong( offered, claim_word(number, Claim::recalled), std::memory_order_seq_cst)) { */
        :: else
        fi
    };
#endif
    if
    :: done -> d_step { waiting[slot_task[turn % slots]] = true; take(turn) }
    :: else -> hole[turn] = false; assert(begun_at > turn)  /*= if (!task || !task->timeout || !begun(task->number)) continue; const Deadline limit = later_by(began(), *task->timeout); */
    fi
}

inline receive_one() {
    d_step {
        // What is not in its slot was taken away: nobody recalls what has begun.
        assert(slot_task[turn % slots] == task && slot_turn[turn % slots] == turn);
        take(turn);
        settle(task);
        received++
    }
}

// Only to look at fewer states: else hand_out() changes nothing.
#define may_have_room (free_head || hole[0] || hole[1] || hole[2] || hole[3] || hole[4])

active proctype Parent() {
    byte task, turn, seen;
    bool done;
    do
    // hand_out()
    :: atomic { left > 0 && !dead && (waiting[0] || waiting[1] || waiting[2]) && may_have_room ->
            if
            :: waiting[0] -> task = 0
            :: waiting[1] -> task = 1
            :: waiting[2] -> task = 2
            fi
        };
        done = false;
        turn = 0;
        // fill_hole(): the first hole behind all tasks that it has.
        do
        :: turn < head && !done ->
            d_step {
                seen = hole[turn] && is_recalled(turn) &&
                       slot_task[turn % slots] == none;
                if
                :: slot_task[0] != none && slot_turn[0] > turn -> seen = 0
                :: else
                fi;
                if
                :: slot_task[1] != none && slot_turn[1] > turn -> seen = 0
                :: else
                fi
            };
            if
            :: seen ->
                hole[turn] = false;
#ifndef MUTANT_RECORD_AFTER_OFFER
                records[turn % slots] = task;  /*= place(number, handle); std::uint64_t recalled = claim_word(number, Claim::recalled); */
#endif
#ifdef MUTANT_OFFERS_BY_STORE
                done = is_recalled(turn);
                if
                :: done -> claims[turn % slots] = word(turn, offered)
                :: else
                fi;
#else
                d_step {
                    done = is_recalled(turn);
                    if
                    :: done -> claims[turn % slots] = word(turn, offered)  /*= if (page().claims[number % ring_slots].compare_exchange_strong( recalled, claim_word(number, Claim::offered), std::memory_order_seq_cst)) { */
                    :: else
                    fi
                };
#endif
#ifdef MUTANT_RECORD_AFTER_OFFER
                records[turn % slots] = task;
#endif
                if
                :: done -> d_step { slot_task[turn % slots] = task; slot_turn[turn % slots] = turn }
                :: else
                fi
            :: else
            fi;
            turn++
        :: else -> break
        od;
        if
#ifdef MUTANT_NO_HEAD_CHECK
        :: !done && head < 7 && slot_task[head % slots] == none ->
#else
        :: !done && head < 7 && free_head ->  /*= if (!head_is_free()) return false; */
#endif
            d_step { slot_task[head % slots] = task; slot_turn[head % slots] = head };
#ifdef MUTANT_HEAD_FIRST
            ring_head = head + 1;
#endif
            records[head % slots] = task;  /*= place(head_, handle); */
            claims[head % slots] = word(head, offered);  /*= page().claims[head_ % ring_slots].store(claim_word(head_, Claim::offered), std::memory_order_relaxed); */
#ifdef MUTANT_RELAXED_HEAD
            seen = asleep;
#endif
            ring_head = head + 1;  /*= ring_.head.store(++head_, std::memory_order_seq_cst); */
            d_step { head++; done = true }
        :: else
        fi;
        if
        :: done ->
            waiting[task] = false;
#ifndef MUTANT_RELAXED_HEAD
            seen = asleep;  /*= if (page().asleep.load(std::memory_order_seq_cst) == 0) return; */
#endif
            if  /*= if (task.timeout) limit = earlier(limit, deadline_after(*task.timeout)); worker.wake(); */
            :: seen != 0 ->
                asleep = 0;  /*= page().asleep.store(0, std::memory_order_seq_cst); os::wake_one(page().asleep, os::Sharing::processes); */
                in_system = false
            :: else
            fi
        :: else
        fi
    // recall()
    :: atomic { recalls > 0 && !dead && slot_task[0] != none -> turn = slot_turn[0] };
        recall_turn()
    :: atomic { recalls > 0 && !dead && slot_task[1] != none -> turn = slot_turn[1] };
        recall_turn()
    // receive()
    :: atomic { published != received -> task = results[received]; turn = result_turns[received] };
        receive_one()
    // The death is seen: what had been published comes first.
    :: ended && left > 0 ->
#ifndef MUTANT_DEATH_BEFORE_RESULTS
        do
        :: published != received ->
            task = results[received];
            turn = result_turns[received];
            receive_one()
        :: else -> break
        od;
#endif
        turn = 0;
        do
        :: turn < slots ->
            if
            :: slot_task[turn] == none
            :: else ->
                task = slot_task[turn];
                // begun(): WorkerCrashed. Others run what had not begun: they are counted in `ran`.
                if
                :: claims[turn] == word(slot_turn[turn], begun) -> assert(received == published && begun_at > slot_turn[turn])  /*= return page().claims[number % ring_slots].load(std::memory_order_acquire) == claim_word(number, Claim::begun); */
                :: else -> d_step { ran[task]++; assert(ran[task] == 1) }
                fi;
                skip;
                d_step { slot_task[turn] = none; settle(task) }
            fi;
            turn++
        :: else -> break
        od;
        skip;
        d_step {
            turn = 0;
            do
            :: turn < tasks ->
                if
                :: waiting[turn] -> waiting[turn] = false; ran[turn]++; assert(ran[turn] == 1); settle(turn)
                :: else
                fi;
                turn++
            :: else -> break
            od
        };
        assert(left == 0);
        break
    :: left == 0 ->
#ifdef MUTANT_RELAXED_QUIT
        seen = asleep;
        quit = true;
#else
        quit = true;  /*= ring_.quit.store(1, std::memory_order_seq_cst); wake(); */
        seen = asleep;
#endif
        if
        :: seen != 0 -> asleep = 0; in_system = false
        :: else
        fi;
        break
    od
}

active proctype Killer() {
    if
    :: dead = true
    :: true
    fi
}

active proctype Monitor() {
end: do
    :: timeout -> assert(left == 0 && ended && !in_system); break
    od
}
