// SPDX-License-Identifier: MIT
// headers: detail/family/shared_queue.hpp detail/family/queue_item.hpp detail/family/arena.hpp detail/family/journal.hpp detail/family/shared_gate.hpp detail/family/sweep.hpp
// mutants: NO_AWAIT OWNER_LATER RECORD_LATER CLAIM_LATER NOT_CARRIED_OUT PUT_NOT_BURIED SWEPT_BEFORE_BURIAL WAKES_NOBODY NOTIFIES_FIRST FULL_UNGUARDED EMPTY_UNGUARDED NO_ROOM_TOLD
//
// SharedQueue: put(), get(), and what is done for the dead: sweep_process() with bury(). The queue
// has room for one item, each of its segments for one record and the way to the next; it begins at
// the start of one that is not its first. One process puts an item in a block, until a deadline;
// another one a small item. Two take items. One of all may be killed at any instruction.
//
// Proved: the queue stays within its bound; an item whose put has become valid is taken once, none
// other is; a record is written and read only while its segment is the queue's; whose a block is
// changes only as it was noted, though that may be carried out again much later: so who reads an
// item has it alone, and nobody writes into what it has given back; in the end nobody sleeps while
// there is an item, or room, all that was taken is claimed or done, and all memory but the last
// segment is given back.
//
// Words are changed one by one, all of them again if who noted them was killed before they were
// forgotten. That it happens wholly or not at all: see journal.pml. Gates: see shared_gate.pml; here
// they don't count who sleeps, the dead's burial wakes all in one step, and attempts before the turn
// is looked at are left out. Blocks are taken and given back in one step: whose they are is looked at
// only after the arena's guard was locked.
// Who sees to what the dead leave behind does not die. The queue is not shut down, nor taken apart.
// task_done() and join() are left out: so all that is in work is claimed, and their sum says nothing
// more.

#define maxsize 1
#define producers 2
#define processes 4
#define limited 1
#define sweeper 5
#define shared 6
#define nobody 0

// The words of the queue, by number. Blocks have the numbers 1 to `blocks`; 0: the one of the queue.
#define blocks 3
#define puts 0
#define put_at 1
#define gets 2
#define get_at 3
#define get_segment 4
#define dones 5
#define claim_of(process) (5 + (process))
#define owner_of(block) (9 + (block))
byte word[13];
byte puts_seen;

// What is in memory: a segment has two places, an item its number in the first one.
#define bytes 0
#define block 1
#define segment 2
#define says(record) ((record) % 4)
#define number(record) ((record) / 4)
byte place[8];

// The guards. What is noted: the number of a word, and its value.
#define put 0
#define get 1
#define notes 6
byte holder[2], noted[2], carried_out[2];
bool valid[2];
byte note[12];

byte dead = 255;
byte victim = 255;  // Nobody does anything before the beginning is there.

// Gates, and on which one a process sleeps; 0: none.
#define not_empty 1
#define not_full 2
byte looked[processes + 1];  // At the turn of this gate, which has not changed since; 0: of none.
byte asleep[processes + 1];

// What no process looks at.
#define was_put 1
#define was_taken 2
byte item_was[producers + 1];

hidden byte i, n, at, record;  // Of one step.

#define the_queues(where) ((where) == 0 || word[owner_of(where)] == shared)

inline set(guard, place_of, value) {
    note[guard * notes + noted[guard]] = (place_of) * 16 + (value);
    noted[guard]++
}

inline unlock(guard) {
    for (i : guard * notes .. guard * notes + notes - 1) { note[i] = 0 };
    valid[guard] = false; noted[guard] = 0; carried_out[guard] = 0; holder[guard] = nobody
}

// `whose` is who noted it.
inline carry_out_next(guard, whose) {
    n = note[guard * notes + carried_out[guard]] / 16;
    i = note[guard * notes + carried_out[guard]] % 16;
    assert(n <= owner_of(0) || word[n] == i || (word[n] == shared && i == whose) ||
           (word[n] == whose && i == shared));
    word[n] = i;  /*= reinterpret_cast<SharedWord*>(place)->store( */
    carried_out[guard]++
}

#define left(guard) (valid[guard] && carried_out[guard] != noted[guard])
// Others see no difference between forgetting the notes and the unlocking.
inline finish(guard, whose) {
    do
    :: atomic { left(guard) -> d_step { carry_out_next(guard, whose) } }
    :: atomic { !left(guard) -> d_step { unlock(guard) } };  /*= count_.store(0, std::memory_order_release); */
       break
    od
}

// Locks a guard that a dead process held, and unlocks it: then it can be locked as any other.
inline take_over(guard) {
    atomic {
        holder[guard] == dead -> holder[guard] = me; carried_out[guard] = 0;
#ifdef MUTANT_NOT_CARRIED_OUT
        valid[guard] = false
#endif
    };
    finish(guard, dead)  /*= if (got == os::Locked::after_death) guard.carry_out(); */
}

inline allocate(got) {
    got = 1;
    do :: word[owner_of(got)] != nobody -> got++; assert(got <= blocks) :: else -> break od;
    word[owner_of(got)] = me
}

inline free(given) {
    assert(word[owner_of(given)] == me);
    word[owner_of(given)] = nobody; place[2 * given] = 0; place[2 * given + 1] = 0
}

#define no_more(what, gate) what = (what == gate -> 0 : what)
// Those two may sleep there; it wakes one of them.
inline notify_one(gate, one, other) {
    d_step { for (i : 1 .. processes) { no_more(looked[i], gate) }; i = 0 };  /*= turns_.fetch_add(1, std::memory_order_seq_cst); */
    if
    :: atomic { asleep[one] == gate -> asleep[one] = 0 }
    :: atomic { asleep[other] == gate -> asleep[other] = 0 }
    :: asleep[one] != gate && asleep[other] != gate
    fi
}

// The system compares and begins the sleep in one step.
inline begin_sleep(gate) {
    d_step {
        asleep[me] = (looked[me] == gate -> gate : 0);  /*= switch (os::sleep_counted(turns_, seen, deadline, os::Sharing::processes)) { */
        looked[me] = 0
    }
}

inline die() {
    victim == me -> asleep[me] = 0; looked[me] = 0; own = 0; dead = me; victim = nobody
}

#define is_full (word[puts] - word[gets] >= maxsize)
#define own_record (own != 0 -> own * 4 + block : me * 4 + bytes)

// The way to a new segment, and the record: where nobody reads before they are counted.
inline append() {
    at = word[put_at]; assert(the_queues(at / 2));
    if
    :: at % 2 == 1 ->  /*= if (needed + word_bytes > put_end.load() - at) { */
        allocate(n);  /*= Block& next = allocate_block(memory, segment_bytes); */
        place[at] = n * 4 + segment;  /*= RecordWord{Says::segment, memory.offset_of(next)}.write(place(at)); */
        at = 2 * n;
        set(put, owner_of(n), shared)  /*= change.set(next.owner, Block::shared); */
    :: else
    fi;
#ifndef MUTANT_RECORD_LATER
    place[at] = own_record;
#endif
#ifndef MUTANT_OWNER_LATER
    if :: own != 0 -> set(put, owner_of(own), shared) :: else fi;  /*= change.set(item.block->owner, Block::shared); */
#endif
    set(put, put_at, at + 1);  /*= change.set(put_at, at + needed); change.set(puts, puts.load() + 1); */
    set(put, puts, word[puts] + 1)
}

inline attempt_put() {
#ifdef MUTANT_FULL_UNGUARDED
    no_room = is_full;
#endif
    do
    :: atomic {
           holder[put] == nobody ->
           d_step {
#ifndef MUTANT_FULL_UNGUARDED
               no_room = is_full;  /*= for (std::uint64_t taken = gets.load();;) { const std::uint64_t put = puts.load(); if (const std::uint64_t before = std::exchange(taken, gets.load()); before == taken) return put - taken; } } [[nodiscard]] bool is_full() const noexcept { return maxsize.load() != 0 && size() >= maxsize.load(); */
#endif
               if
               :: no_room  /*= if (is_full()) return false; append(change, memory, item); change.commit(); return true; */
               :: else -> holder[put] = me; looked[me] = 0; append()
               fi
           }
       };
       break
    :: take_over(put)
    od;
    if
    :: d_step { !no_room -> valid[put] = true; assert(!is_full); item_was[me] = was_put };
        finish(put, me);
#ifdef MUTANT_RECORD_LATER
        place[word[put_at] - 1] = own_record;
#endif
#ifdef MUTANT_OWNER_LATER
        if :: own != 0 -> word[owner_of(own)] = shared :: else fi
#endif
    :: no_room
    fi
}

active [producers] proctype Producer() provided (victim == nobody || victim == _pid + 1) {
    byte me = _pid + 1;
    byte own;  // The item's block; 0 if it is small.
    bool no_room;
    {
        d_step {
            if :: me == limited -> allocate(own); place[2 * own] = me :: else fi;  /*= Block& bigger = allocate_block(memory_, std::max(at_least, twice), BlockKind::item); */
            looked[me] = not_full  /*= seen = turns_.load(std::memory_order_seq_cst); if (attempt()) return true; switch (os::sleep_counted( */
        };
#ifdef MUTANT_NOTIFIES_FIRST
        notify_one(not_empty, 3, 4);
#endif
        do
        :: true ->
            attempt_put();
            if
            :: !no_room -> break
            :: no_room -> begin_sleep(not_full)
            fi;
            if
            :: atomic { asleep[me] == 0 -> looked[me] = not_full }
            :: me == limited && asleep[me] != 0 ->
                asleep[me] = 0;
                attempt_put();  /*= case os::Awake::too_late: return attempt(); */
                break
            fi
        od;
        if
        :: atomic { no_room -> d_step { free(own); own = 0; no_room = false } }  /*= if (!item_.block) return; try { free_item(memory_, *item_.block); */
        :: !no_room ->
            own = 0;
#ifndef MUTANT_NOTIFIES_FIRST
            notify_one(not_empty, 3, 4)  /*= if (done) not_empty.notify(1); return done; */
#endif
        fi;
end:    false
    } unless {
        d_step { die(); no_room = false }
    }
}

// Waits for who is alive, too, as who locks it for a change does.
inline lock_once(guard) {
    do
    :: holder[guard] == nobody -> break
    :: take_over(guard)
    od
}

inline take_first() {
    at = word[get_at]; record = place[at];
    assert(the_queues(at / 2));
    if
    :: says(record) == segment ->
        old = word[get_segment];
        if :: old != 0 -> set(get, owner_of(old), me) :: else fi;  /*= change.set(item.segment->owner, own); */
        set(get, get_segment, number(record));  /*= change.set(get_segment, next); */
        at = 2 * number(record);
        record = place[at]
    :: else
    fi;
    assert(the_queues(at / 2) && record != 0 && says(record) != segment);
    n = number(record);
    if
    :: says(record) == block ->
        assert(word[owner_of(n)] == shared);
        set(get, owner_of(n), me);  /*= change.set(item.block->owner, own); */
        own = n; n = place[2 * own]
    :: else
    fi;
    set(get, get_at, at + 1);  /*= change.set(get_at, at + record_bytes(item.block ? 0 : item.size)); change.set(gets, taken + 1); return true; */
    set(get, gets, word[gets] + 1);
    assert(item_was[n] == was_put); item_was[n] = was_taken
}

#define next place[word[get_at]]
#define first place[(says(next) == segment -> 2 * number(next) : word[get_at])]

active [processes - producers] proctype Consumer() provided (victim == nobody || victim == _pid + 1) {
    byte me = _pid + 1;
    byte own, old;  // The item's block, and the segment before the one it is in.
    bool none;
    {
end:    do
        :: true ->
            looked[me] = not_empty;
            none = word[gets] == puts_seen && word[gets] == word[puts];  /*= if (gets.load() == puts_seen.load() && size() == 0) return ended; */
            do
            :: none -> break
            :: atomic {
                   !none && holder[get] == nobody ->
                   if :: word[gets] == puts_seen -> puts_seen = word[puts] :: else fi;  /*= if (taken == puts_seen.load()) puts_seen.store(puts.load()); */
#ifndef MUTANT_EMPTY_UNGUARDED
                   none = word[gets] == puts_seen;  /*= if (taken == puts_seen.load()) return false; */
#endif
                   if :: !none -> holder[get] = me; looked[me] = 0 :: else fi
               };
               break
            :: take_over(get)
            od;
            if
            :: none ->
                begin_sleep(not_empty);
end_asleep:     asleep[me] == 0
            :: !none ->
#ifndef MUTANT_NO_AWAIT
                if :: says(first) == block -> lock_once(put) :: else fi;  /*= if (record.says == Says::block) { const GuardedChange carried_out(put_guard); } */
#endif
                skip;
                d_step {
                    take_first();
#ifndef MUTANT_CLAIM_LATER
                    set(get, claim_of(me), word[claim_of(me)] + 1);  /*= taken = take_first(change, memory, item); if (!taken) return ended; claims.add(change, reference, in_work(gets.load() + 1, dones.load())); change.commit(); return true; */
#endif
                    valid[get] = true
                };
                finish(get, me);
#ifdef MUTANT_CLAIM_LATER
                word[claim_of(me)] = word[claim_of(me)] + 1;
#endif
#ifndef MUTANT_NO_ROOM_TOLD
                notify_one(not_full, 1, 2);  /*= if (taken && maxsize.load() != 0) not_full.notify(1); return taken; */
#endif
                skip;
                d_step {
                    if :: old != 0 -> free(old); old = 0 :: else fi;  /*= if (taken.segment) free_block(memory, *taken.segment); if (taken.block) free_item(memory, *taken.block); */
                    if :: own != 0 -> free(own); own = 0 :: else fi
                }
            fi
        od
    } unless {
        d_step { die(); old = 0; none = false }
    }
}

inline sweep_blocks() {
    d_step {
        for (i : 1 .. blocks) {
            if :: word[owner_of(i)] == dead -> word[owner_of(i)] = me; free(i) :: else fi
        }; i = 0
    }
}

active proctype Sweeper() provided (victim == nobody) {
    byte me = sweeper;
end: dead <= processes;
#ifdef MUTANT_SWEPT_BEFORE_BURIAL
    sweep_blocks();
#endif
#ifndef MUTANT_PUT_NOT_BURIED
    lock_once(put);  /*= { const GuardedChange carried_out(put_guard); } { const GuardedChange carried_out(get_guard); } */
#endif
    lock_once(get); skip;
    d_step {
        holder[get] == nobody -> n = (word[gets] > word[dones] -> word[gets] - word[dones] : 0);  /*= const std::uint64_t taken = in_work(gets.load(), dones.load()); */
        n = (n < word[claim_of(dead)] -> n : word[claim_of(dead)]);
        word[dones] = word[dones] + n;  /*= change.set(dones, dones.load() + std::min(taken, claims.forget(change, reference))); */
        word[claim_of(dead)] = 0
    };
#ifndef MUTANT_WAKES_NOBODY
    d_step { for (i : 1 .. processes) { looked[i] = 0; asleep[i] = 0 }; i = 0 };  /*= not_empty.notify_all(); not_full.notify_all(); all_done.notify_all(); */
#endif
#ifndef MUTANT_SWEPT_BEFORE_BURIAL
    sweep_blocks()
#endif
}

active proctype Killer() {
    victim == nobody;
    if :: victim = limited :: victim = producers :: victim = processes :: skip fi
}

active proctype Monitor() {
    d_step {
        word[owner_of(1)] = shared; word[get_segment] = 1; word[get_at] = 2; word[put_at] = 2;
        victim = nobody
    };
end: do
    :: timeout ->
        assert(holder[put] == nobody && holder[get] == nobody);
        assert(word[gets] == word[puts] && word[get_at] == word[put_at]);
        assert(item_was[1] != was_put && item_was[2] != was_put);
        d_step { for (i : 1 .. blocks) { assert(word[owner_of(i)] == (i == word[get_segment] -> shared : nobody)) }; i = 0 };
        assert(word[gets] == word[dones] + word[claim_of(3)] + word[claim_of(4)]);
        assert(asleep[1] == 0 && asleep[2] == 0);
        break
    od
}
