// SPDX-License-Identifier: MIT
// headers: detail/family/shared_condition.hpp detail/family/sweep.hpp detail/family/arena.hpp
// mutants: TURN_AFTER_UNLOCK NO_TURN LOOKS_BEFORE_TURN GIVES_UP_UNLOOKED LEAVES_IN_TWO NOT_HANDED_ON WAKES_NOBODY BURIAL_UNGUARDED
//
// SharedCondition: enter(), wait(), notify(), and what is done for the dead: sweep_process(),
// bury(), bury_waiter(). Two threads wait, one of them with a deadline, a third one comes, and one
// notifies as many as it likes or all. Each is a process of its own, and one of them may be killed
// at any instruction.
//
// Proved: a notification that found a waiter is taken by one, or handed on as long as there is one;
// who was notified does not sleep on, and that is everybody who waited before notify_all(); nothing
// is written to a block that its waiter has left; whoever gets the guard finds the list whole; all
// memory is given back.
//
// That what was noted happens wholly or not at all: see journal.pml. So here all that a change
// notes is one step, and all that it carries out is another; who was killed between these has it
// carried out again. Blocks are taken and given back in one step: whose they are is looked at only
// after the arena's guard was locked. Each thread has a block that it always gets. What else lies
// in a block does not look like the condition's offset. Turns do not wrap round.
// Who sees to what the dead leave behind does not die, and somebody keeps the condition: it is not
// taken apart.

#define waiters 3
#define notifier 3
#define sweeper 4
#define nobody 255
#define starting 254
#define limited 2

// The words of the condition's guard, by number. Blocks have the numbers 1 to `blocks`; 0 is none.
#define blocks 3
#define head 0
#define tail 1
#define next_of(block) (1 + (block))
#define previous_of(block) (4 + (block))
#define linked_of(block) (7 + (block))
#define condition_of(block) (10 + (block))
#define block_of(place) (1 + ((place) - 2) % blocks)
byte word[14];

byte owner[blocks + 1] = nobody;  // Of a block; nobody: it is free.
bool is_waiter[blocks + 1];       // Its kind.
bool looked[blocks + 1];          // Somebody knows its turn, which has not changed since.
bool asleep[blocks + 1];          // Somebody sleeps on its turn.

byte holder = nobody;
byte journal_count, journal_word[5], journal_value[5];
bool dead[4];
byte victim = starting;  // Nobody does anything before the beginning is there.
byte deaths = 1;

// What no thread looks at: notifications that found a waiter which has not taken them yet, and
// whether there was one to hand that of a dead waiter on to, who did not get it.
short pending;
bool in_hand;

hidden byte i, n, last;  // Of one step.

inline check() {
    n = 0;
    i = word[head];
    last = 0;
    do
    :: i != 0 ->
        n++;
        assert(n <= blocks && owner[i] != nobody && is_waiter[i]);
        assert(word[linked_of(i)] && word[condition_of(i)] && word[previous_of(i)] == last);
        last = i;
        i = word[next_of(i)]
    :: else -> break
    od;
    assert(last == word[tail]);
    assert(n == word[linked_of(1)] + word[linked_of(2)] + word[linked_of(3)])
}

inline carry_out() {
    i = 0;
    do
    :: i < journal_count ->
        assert(journal_word[i] <= tail || owner[block_of(journal_word[i])] != nobody);
        word[journal_word[i]] = journal_value[i];
        i++
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
    :: holder != nobody -> carry_out(); clear()
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

inline unlink(block) {
    set((word[previous_of(block)] == 0 -> head : next_of(word[previous_of(block)])), word[next_of(block)]);  /*= const ArenaOffset next = content.next.load(); const ArenaOffset previous = content.previous.load(); change.set(previous == 0 ? head : content_of(memory, previous).next, next); */
    set((word[next_of(block)] == 0 -> tail : previous_of(word[next_of(block)])), word[previous_of(block)]);  /*= change.set(next == 0 ? tail : content_of(memory, next).previous, previous); */
    set(linked_of(block), 0)  /*= change.set(content.linked, 0); */
}

inline change_turn(block) {
    assert(owner[block] != nobody && is_waiter[block] && word[condition_of(block)]);
    looked[block] = false
}

// Notifies the first one, if there is one.
inline notify_first() {
    d_step {
        lock();
        first = word[head];
        if
        :: first != 0 ->  /*= if (head.load() == 0) return; */
            unlink(first);  /*= first = &content_of(memory, head.load()); unlink(change, memory, *first); change.commit(); first->turn.fetch_add(1); } wake(*first); */
            pending++
        :: else
        fi
    };
    if
    :: d_step { first == 0 -> unlock() }
    :: d_step { first != 0 -> carry_out() };
#ifdef MUTANT_TURN_AFTER_UNLOCK
       d_step { unlock() };
       d_step { change_turn(first) };
#else
       d_step {
#ifndef MUTANT_NO_TURN
           change_turn(first);
#endif
           unlock()
       };
#endif
       asleep[first] = false  /*= os::wake_all(content.turn, os::Sharing::processes); */
    fi
}

inline free(block) {
    d_step {
        assert(owner[block] == me && !word[linked_of(block)] && !word[condition_of(block)]);
        owner[block] = nobody;
        word[next_of(block)] = 0;
        word[previous_of(block)] = 0;
        looked[block] = false
    }
}

active [waiters] proctype Waiter() provided (victim == nobody || victim == _pid) {
    byte me = _pid;
    byte own = _pid + 1;
    bool notified;
    {
        if
        :: owner[own] == me
        :: owner[own] == nobody ->
            d_step { owner[own] = me; is_waiter[own] = false };
            is_waiter[own] = true;  /*= Block& waiter = allocate_block(memory, sizeof(WaiterContent)); auto& content = *new (&waiter.content<WaiterContent>()) WaiterContent; waiter.kind.store(static_cast<std::uint64_t>(BlockKind::waiter)); */
            d_step {
                lock();
                last = word[tail];
                set((last == 0 -> head : next_of(last)), own);  /*= change.set(last == 0 ? head : content_of(memory, last).next, offset); change.set(content.previous, last); change.set(content.condition, own); change.set(content.linked, 1); change.set(tail, offset); change.commit(); return waiter; */
                set(previous_of(own), last);
                set(condition_of(own), 1);
                set(linked_of(own), 1);
                set(tail, own)
            };
            d_step { carry_out() };
            d_step { unlock() }
        fi;

        do
        :: true ->
#ifndef MUTANT_LOOKS_BEFORE_TURN
            looked[own] = true;  /*= for (bool in_time = true; in_time && content.linked.load() != 0;) { const std::uint32_t seen = content.turn.load(); if (content.linked.load() != 0) in_time = os::sleep_on(content.turn, seen, deadline, os::Sharing::processes); */
#endif
            if
            :: !word[linked_of(own)] -> break
            :: else
            fi;
#ifdef MUTANT_LOOKS_BEFORE_TURN
            looked[own] = true;
#endif
            // The system compares and begins the sleep in one step.
            d_step { asleep[own] = looked[own]; looked[own] = false };
end_asleep: if
            :: !asleep[own]
            :: me == limited && asleep[own] -> asleep[own] = false; break
            fi
        od;
        looked[own] = false;
#ifdef MUTANT_GIVES_UP_UNLOOKED
        notified = !word[linked_of(own)];
#endif
        d_step {
            lock();
#ifndef MUTANT_GIVES_UP_UNLOOKED
            notified = !word[linked_of(own)];  /*= notified = content.linked.load() == 0; if (!notified) unlink(change, memory, content); change.set(content.condition, 0); change.commit(); } free_block(memory, waiter); return notified; */
#endif
            if
            :: word[linked_of(own)] -> unlink(own)
            :: else
            fi;
#ifdef MUTANT_LEAVES_IN_TWO
            skip
#else
            set(condition_of(own), 0);
            pending = pending - notified
#endif
        };
        d_step { carry_out() };
#ifdef MUTANT_LEAVES_IN_TWO
        d_step { clear(); set(condition_of(own), 0); pending = pending - notified };
        d_step { carry_out() };
#endif
        d_step { unlock() };
        atomic { free(own); notified = false };
end:    false
    } unless {
        // The system forgets that it sleeps.
        d_step {
            victim == me ->
            asleep[own] = false;
            looked[own] = false;
            notified = false;
            dead[me] = true;
            victim = nobody
        }
    }
}

active proctype Notifier() provided (victim == nobody || victim == _pid) {
    byte me = notifier;
    byte first;
    {
        do
        :: notify_first();
           if
           :: first == 0 -> break
           :: first != 0
           :: first != 0 -> break
           fi
        od;
        first = 0;
end:    false
    } unless {
        d_step { victim == me -> first = 0; dead[me] = true; victim = nobody }
    }
}

inline bury() {
    d_step { lock(); unlock() };  /*= { const GuardedChange carried_out(guard); } */
    block = 1;
    do
    :: block <= blocks ->
        if
        :: is_waiter[block] ->  /*= if (block.block_kind() != BlockKind::waiter) return; */
#ifdef MUTANT_BURIAL_UNGUARDED
            found = owner[block] != nobody && is_waiter[block] && word[condition_of(block)];
#endif
            d_step {
                lock();
#ifndef MUTANT_BURIAL_UNGUARDED
                found = owner[block] != nobody && is_waiter[block] && word[condition_of(block)];  /*= const bool waits = block.owner.load() != 0 && block.block_kind() == BlockKind::waiter && content.condition.load() == own; if (!waits) return; content.turn.fetch_add(1); } wake(content); */
#endif
                if
                :: found -> change_turn(block)
                :: else
                fi;
                unlock()
            };
#ifdef MUTANT_WAKES_NOBODY
            found = false
#else
            d_step {
                if
                :: found -> asleep[block] = false; found = false
                :: else
                fi
            }
#endif
        :: else
        fi;
        block++
    :: else -> break
    od
}

inline bury_waiter() {
    d_step {
        lock();
        if
        :: word[linked_of(block)] -> unlink(block)  /*= if (content.linked.load() != 0) unlink(change, memory, content); */
        :: else -> assert(pending > 0); pending--; in_hand = word[head] != 0;
#ifndef MUTANT_NOT_HANDED_ON
            first = word[head];
            if
            :: first != 0 -> unlink(first); pending++; in_hand = false  /*= else if (head.load() != 0) unlink(change, memory, *(heir = &content_of(memory, head.load()))); */
            :: else
            fi
#endif
        fi;
        set(condition_of(block), 0);  /*= change.set(content.condition, 0); change.commit(); if (heir) heir->turn.fetch_add(1); } if (heir) wake(*heir); */
        carry_out();
        if
        :: first != 0 -> change_turn(first)
        :: else
        fi;
        unlock()
    };
    d_step { asleep[first] = false; first = 0 }  // Nobody sleeps at 0.
}

active proctype Sweeper() provided (victim == nobody) {
    byte me = sweeper;
    byte slot, block, first;
    bool found;
end: do
    :: atomic {
           dead[0] || dead[limited] || dead[notifier] ->
           slot = (dead[0] -> 0 : (dead[limited] -> limited : notifier))
       };
       bury();  /*= return object.content<SharedCondition>().bury(memory, target); */
       block = 1;
       do
       :: block <= blocks ->
           if
           :: owner[block] == slot && is_waiter[block] && word[condition_of(block)] ->  /*= if (block.owner.load() != slot || block.block_kind() != BlockKind::waiter) return; if (const ArenaOffset waited_for = block.content<WaiterContent>().condition.load()) memory.block(waited_for).content<SharedCondition>().bury_waiter(memory, block); */
               bury_waiter()
           :: else
           fi;
           if
           :: owner[block] == slot -> owner[block] = me; free(block)
           :: else
           fi;
           block++
       :: else -> break
       od;
       skip;
       d_step { block = 0; dead[slot] = false; slot = 0 }
    od
}

active proctype Killer() {
end: do
    :: atomic { victim == nobody && deaths > 0 -> deaths--; victim = 0 }
    :: atomic { victim == nobody && deaths > 0 -> deaths--; victim = limited }
    :: atomic { victim == nobody && deaths > 0 -> deaths--; victim = notifier }
    od
}

active proctype Monitor() {
    // Two wait already.
    d_step {
        owner[2] = 1;
        is_waiter[2] = true;
        word[condition_of(2)] = 1;
        word[linked_of(2)] = 1;
        word[head] = 2;
        word[next_of(2)] = 3;
        owner[3] = 2;
        is_waiter[3] = true;
        word[condition_of(3)] = 1;
        word[linked_of(3)] = 1;
        word[previous_of(3)] = 2;
        word[tail] = 3;
        victim = nobody
    };
end: do
    :: timeout ->
        assert(pending == 0 && !in_hand);
        assert(holder == nobody);
        assert((owner[1] == nobody) == !asleep[1] && (!asleep[1] || word[linked_of(1)]));
        assert((owner[2] == nobody) == !asleep[2] && (!asleep[2] || word[linked_of(2)]));
        assert((owner[3] == nobody) == !asleep[3] && (!asleep[3] || word[linked_of(3)]));
        break
    od
}
