// SPDX-License-Identifier: MIT
// headers: detail/family/shared_queue.hpp detail/family/queue_item.hpp detail/family/arena.hpp detail/family/journal.hpp detail/family/shared_gate.hpp detail/family/sweep.hpp
// mutants: OWNER_LATER CLAIM_LATER NOT_CARRIED_OUT SWEPT_BEFORE_BURIAL WAKES_NOBODY NOTIFIES_FIRST FULL_UNGUARDED NO_ROOM_TOLD DONE_UNTOLD
//
// SharedQueue: put(), get(), task_done(), join(), and what is done for the dead: sweep_process()
// with bury(). The queue has room for one item, and has one. Two processes each put one more; one
// of them has a deadline, the other one then waits until all is done. Two take items, and call them
// done, as long as there are any. One of all may be killed at any instruction.
//
// Proved: whoever gets the guard finds the list whole and within its bound; an item whose put has
// become valid is taken once, none other is; who reads an item has it alone; in the end nobody
// sleeps while there is an item, or room, or all is done, and all memory is given back.
//
// That what was noted happens wholly or not at all: see journal.pml. So here all that a change
// notes is one step, and all that it carries out is another; who was killed between these has it
// carried out again. Gates: see shared_gate.pml; here they don't count who sleeps. Blocks are taken
// and given back in one step: whose they are is looked at only after the arena's guard was locked.
// Each producer has a block that it always gets.
// Who sees to what the dead leave behind does not die. The queue is not shut down, and somebody
// keeps it: it is not taken apart.

#define maxsize 1
#define producers 2
#define processes 4
#define limited 0
#define sweeper 4
#define shared 5
#define nobody 255
#define starting 254

// The words of the queue's guard, by number. Blocks have the numbers 1 to `blocks`; 0 is none.
#define blocks 3
#define head 0
#define tail 1
#define size 2
#define unfinished 3
#define next_of(block) (3 + (block))
#define owner_of(block) (6 + (block))
#define claim_of(process) (10 + (process))
byte word[14];

byte holder = nobody;
byte journal_count, journal_word[6], journal_value[6];
bool dead[processes];
byte deaths = 1;
byte victim = starting;  // Nobody does anything before the beginning is there.

// Gates, and on which one a process sleeps; 0: none.
#define not_empty 1
#define not_full 2
#define all_done 3
byte looked[processes];  // At the turn of this gate, which has not changed since; 0: of none.
byte asleep[processes];

// What no process looks at.
bool put[blocks + 1], taken[blocks + 1];

hidden byte i, n;  // Of one step.

inline check() {
    n = 0;
    i = word[head];
    do
    :: i != 0 ->
        n++;
        assert(n <= maxsize && word[owner_of(i)] == shared && put[i] && !taken[i]);
        if
        :: i == word[tail] -> break
        :: else -> i = word[next_of(i)]
        fi
    :: else -> assert(word[tail] == 0); break
    od;
    assert(i == word[tail] && n == word[size])
}

inline carry_out() {
    i = 0;
    do
    :: i < journal_count -> word[journal_word[i]] = journal_value[i]; i++
    :: else -> break
    od
}

inline clear() {
    do
    :: journal_count != 0 ->
        journal_count--; journal_word[journal_count] = 0; journal_value[journal_count] = 0
    :: else -> break
    od
}

// First in a step, in which the change is noted, too.
inline lock() {
    holder == nobody || (holder < sweeper && dead[holder]) ->
    if
    :: holder != nobody ->
#ifndef MUTANT_NOT_CARRIED_OUT
        carry_out();  /*= if (got == os::Locked::after_death) guard.carry_out(); */
#endif
        clear()
    :: else
    fi;
    holder = me;
    check()
}

inline unlock() {
    clear(); holder = nobody
}

// In one step all of the notes become valid.
inline set(place, value) {
    journal_word[journal_count] = place;
    journal_value[journal_count] = value;
    journal_count++
}

// Carries out what is valid. Others see no difference between the end of that and the unlocking.
inline finish() {
    d_step { carry_out() };
    d_step { unlock() }
}

inline free(block) {
    assert(word[owner_of(block)] == me);
    word[owner_of(block)] = 0;
    word[next_of(block)] = 0
}

#define no_more(what, gate) what = (what == gate -> 0 : what)
inline change_turn(gate) {
    for (i : 0 .. processes - 1) { no_more(looked[i], gate) }; i = 0
}
inline wake_all(gate) {
    for (i : 0 .. processes - 1) { no_more(asleep[i], gate) }; i = 0
}

// Those two may sleep there; it wakes one of them.
inline notify_one(gate, one, other) {
    d_step { change_turn(gate) };  /*= turns_.fetch_add(1, std::memory_order_seq_cst); */
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
    asleep[me] = 0;
    looked[me] = 0;
    dead[me] = true;
    victim = nobody
}

inline attempt_put() {
#ifdef MUTANT_FULL_UNGUARDED
    no_room = word[size] >= maxsize;
    d_step {
        lock();
#else
    d_step {
        lock();
        no_room = word[size] >= maxsize;  /*= return maxsize.load() != 0 && size.load() >= maxsize.load(); */
#endif
        if
        :: no_room -> unlock()  /*= if (is_full()) return false; */
        :: else ->
            set((word[tail] == 0 -> head : next_of(word[tail])), own);  /*= change.set(tail.load() == 0 ? head : memory.block(tail.load()).next, offset); change.set(tail, offset); */
            set(tail, own);
            set(size, word[size] + 1);  /*= change.set(size, size.load() + 1); change.set(unfinished, unfinished.load() + 1); */
            set(unfinished, word[unfinished] + 1);
#ifndef MUTANT_OWNER_LATER
            set(owner_of(own), shared);  /*= change.set(item.owner, Block::shared); change.commit(); return true; */
#endif
            put[own] = true
        fi
    };
    if
    :: no_room
    :: !no_room ->
#ifdef MUTANT_OWNER_LATER
        d_step { carry_out() };
        d_step { clear(); set(owner_of(own), shared) };
#endif
        finish()
    fi
}

active [producers] proctype Producer() provided (victim == nobody || victim == _pid) {
    byte me = _pid;
    byte own = _pid + 2;
    bool no_room;
    {
        word[owner_of(own)] = me;  /*= use(allocate_block(memory, expected, BlockKind::item)); */
#ifdef MUTANT_NOTIFIES_FIRST
        notify_one(not_empty, 2, 3);
#endif
        do
        :: true ->
            looked[me] = not_full;  /*= seen = turns_.load(std::memory_order_seq_cst); if (attempt()) return true; */
            attempt_put();
            if
            :: !no_room -> break
            :: no_room
            fi;
            begin_sleep(not_full);
            if
            :: asleep[me] == 0
            :: me == limited && asleep[me] != 0 ->
                asleep[me] = 0;
                attempt_put();  /*= case os::Awake::too_late: return attempt(); */
                break
            fi
        od;
        looked[me] = 0;
        if
        :: d_step { no_room -> free(own); no_room = false }  /*= if (!block_) return; try { free_item(memory_, *block_); */
        :: !no_room ->
#ifndef MUTANT_NOTIFIES_FIRST
            notify_one(not_empty, 2, 3)  /*= if (done) not_empty.notify(1); return done; */
#endif
        fi;
        do
        :: me != limited ->
            looked[me] = all_done;
            if
            :: word[unfinished] == 0 -> break  /*= return all_done.wait_until([&] { return unfinished.load() == 0; }, deadline); */
            :: else
            fi;
            begin_sleep(all_done);
            asleep[me] == 0
        :: me == limited -> break
        od;
        looked[me] = 0;
end:    false
    } unless {
        d_step {
            victim == me ->
            no_room = false;
            die()
        }
    }
}

active [processes - producers] proctype Consumer() provided (victim == nobody || victim == _pid) {
    byte me = _pid;
    byte item;
    bool last;
    {
end:    do
        :: true ->
            looked[me] = not_empty;
            d_step {
                lock();
                item = word[head];  /*= const ArenaOffset first = head.load(); if (first == 0) return nullptr; */
                if
                :: item == 0 -> unlock()
                :: else ->
                    set(head, word[next_of(item)]);  /*= change.set(head, item.next.load()); if (first == tail.load()) change.set(tail, 0); change.set(size, size.load() - 1); change.set(item.owner, memory.slot()); */
                    if
                    :: item == word[tail] -> set(tail, 0)
                    :: else
                    fi;
                    set(size, word[size] - 1);
                    set(owner_of(item), me);
#ifndef MUTANT_CLAIM_LATER
                    set(claim_of(me), word[claim_of(me)] + 1);  /*= change.set(reference.claim, reference.claim.load() + 1); change.commit(); return true; */
#endif
                    taken[item] = true
                fi
            };
            if
            :: item == 0 ->
                begin_sleep(not_empty);
end_asleep:     asleep[me] == 0
            :: item != 0 ->
#ifdef MUTANT_CLAIM_LATER
                d_step { carry_out() };
                d_step { clear(); set(claim_of(me), word[claim_of(me)] + 1) };
#endif
                finish();
                looked[me] = 0;
#ifndef MUTANT_NO_ROOM_TOLD
                notify_one(not_full, 0, 1);  /*= if (item && maxsize.load() != 0) not_full.notify(1); return item; */
#endif
                d_step { free(item); item = 0 };  /*= free_item(memory_, item_); */
                d_step {
                    lock();
                    assert(word[unfinished] != 0);  /*= if (unfinished.load() == 0) throw InvalidStateError( */
                    last = word[unfinished] == 1;  /*= last = unfinished.load() == 1; change.set(unfinished, unfinished.load() - 1); */
                    set(unfinished, word[unfinished] - 1);
                    if
                    :: word[claim_of(me)] != 0 -> set(claim_of(me), word[claim_of(me)] - 1)  /*= if (reference.claim.load() != 0) change.set(reference.claim, reference.claim.load() - 1); */
                    :: else
                    fi
                };
                finish();
                if
                :: last ->
                    last = false;
#ifndef MUTANT_DONE_UNTOLD
                    d_step { change_turn(all_done) };
                    d_step { wake_all(all_done) }  /*= if (last) all_done.notify_all(); */
#endif
                :: else
                fi
            fi
        od
    } unless {
        d_step {
            victim == me ->
            item = 0;
            last = false;
            die()
        }
    }
}

inline sweep_blocks() {
    d_step {
        for (i : 1 .. blocks) {
            if
            :: word[owner_of(i)] == slot -> word[owner_of(i)] = me; free(i)
            :: else
            fi
        };
        i = 0
    }
}

active proctype Sweeper() provided (victim == nobody) {
    byte me = sweeper;
    byte slot;
end: do
    :: atomic {
           dead[0] || dead[1] || dead[2] -> slot = (dead[0] -> 0 : (dead[1] -> 1 : 2))
       };
#ifdef MUTANT_SWEPT_BEFORE_BURIAL
       sweep_blocks();
#endif
       d_step {
           lock();
           n = (word[unfinished] > word[size] -> word[unfinished] - word[size] : 0);  /*= const std::uint64_t taken = unfinished.load() - std::min(unfinished.load(), size.load()); */
           n = (n < word[claim_of(slot)] -> n : word[claim_of(slot)]);
           set(unfinished, word[unfinished] - n);  /*= change.set(unfinished, unfinished.load() - std::min(taken, reference.claim.load())); change.set(reference.claim, 0); */
           set(claim_of(slot), 0);
           carry_out();
           unlock()
       };
#ifndef MUTANT_WAKES_NOBODY
       d_step { change_turn(not_empty); wake_all(not_empty) };  /*= not_empty.notify_all(); not_full.notify_all(); all_done.notify_all(); */
       d_step { change_turn(not_full); wake_all(not_full) };
       d_step { change_turn(all_done); wake_all(all_done) };
#endif
#ifndef MUTANT_SWEPT_BEFORE_BURIAL
       sweep_blocks();
#endif
       d_step { dead[slot] = false; slot = 0 }
    od
}

active proctype Killer() {
end: do
    :: atomic { victim == nobody && deaths > 0 -> deaths--; victim = limited }
    :: atomic { victim == nobody && deaths > 0 -> deaths--; victim = 1 }
    :: atomic { victim == nobody && deaths > 0 -> deaths--; victim = producers }
    od
}

active proctype Monitor() {
    d_step {
        word[head] = 1;
        word[tail] = 1;
        word[size] = 1;
        word[unfinished] = 1;
        word[owner_of(1)] = shared;
        put[1] = true;
        victim = nobody
    };
end: do
    :: timeout ->
        assert(holder == nobody && word[size] == 0 && word[unfinished] == 0);
        assert(put[1] == taken[1] && put[2] == taken[2] && put[3] == taken[3]);
        assert(word[owner_of(1)] == 0 && word[owner_of(2)] == 0 && word[owner_of(3)] == 0);
        assert(word[claim_of(2)] == 0 && word[claim_of(3)] == 0);
        assert(asleep[0] == 0 && asleep[1] == 0);
        break
    od
}
