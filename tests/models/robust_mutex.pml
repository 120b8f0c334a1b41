// SPDX-License-Identifier: MIT
// headers: detail/posix/robust_mutex.hpp
// mutants: LOCK_UNANNOUNCED ANNOUNCED_NONE_BEFORE_ADD ANNOUNCED_NONE_BEFORE_WAKE DROPS_NOTE TAKES_WITHOUT_NOTE NO_WAKE DEATH_NOT_TOLD GIVES_UP_WITHOUT_NOTE NO_NAPS
//
// RobustMutex: lock() and unlock() by three threads, each as often as it likes. Any may be killed at
// any instruction, as often as the Killer likes; then another begins, which has the dead one's id.
// Deadlines pass at any time; try_lock() is a lock() whose deadline has passed. Of the list only
// whether the mutex is in it: see robust_list.pml.
//
// Proved: one thread at a time has the mutex; who gets it is told of a death if the one before died
// with it, and only then; no dead thread keeps it; nobody sleeps for ever. And nobody needs the end of
// a nap but when a wake-up was lost: when it came to one that was killed before it could lock the mutex
// or leave a note with who has it.
//
// The system is as its documentation says; where versions differ, as the least helpful of them, which
// wakes nobody for a free mutex whose word tells of a death. Whom it wakes is open.

#define threads 3
#define nobody 255

// The word: the id of who has the mutex, and the bits.
#define id (me + 1)
#define id_of(value) ((value) & 3)
#define waiters 4     // FUTEX_WAITERS, the note that others sleep.
#define owner_died 8  // FUTEX_OWNER_DIED
byte word;

bool announced[threads], listed[threads];
bool asleep[threads], short_nap[threads];
byte victim = nobody;

// What no thread looks at. `user` is inside the lock; `died`: who had the mutex last died with it.
byte user = nobody;
bool died;
// Whether the thread is to see to it that those who sleep are woken: it took the note out of the word,
// or was woken, and since then no note was left with one who has the mutex.
bool in_charge[threads];
bool lost;

// By the system, or because its nap ends when nothing else happens.
inline wake(sleeper) {
    asleep[sleeper] = false;
    short_nap[sleeper] = false;
    in_charge[sleeper] = id_of(word) == 0 || (word & waiters) == 0
}

inline wake_one() {
    atomic {
        if
        :: asleep[0] -> wake(0)
        :: asleep[1] -> wake(1)
        :: asleep[2] -> wake(2)
        :: else
        fi;
        in_charge[me] = false
    }
}

inline note_is_left() {
    in_charge[0] = false;
    in_charge[1] = false;
    in_charge[2] = false;
    lost = false
}

// A comparison that fails has changed nothing, so what counts is the last one.
inline take(sleepers) {
    if
    :: atomic {
           id_of(word) == 0 ->
#ifdef MUTANT_DEATH_NOT_TOLD
           assert(!died);
#else
           assert(died == ((word & owner_died) != 0));  /*= return (seen & FUTEX_OWNER_DIED) != 0 ? Locked::after_death : Locked::yes; */
#endif
           died = false;
           if
           :: sleepers || (word & waiters) != 0 -> note_is_left()
           :: else
           fi;
#ifdef MUTANT_DROPS_NOTE
           word = id | sleepers
#else
           word = id | sleepers | (word & waiters)  /*= !word().compare_exchange_strong(seen, own.thread() | sleepers | (seen & FUTEX_WAITERS), std::memory_order_acquire, std::memory_order_relaxed)) { */
#endif
       };
#ifdef MUTANT_ANNOUNCED_NONE_BEFORE_ADD
       announced[me] = false;
#endif
       listed[me] = true;  /*= own.add(links_); */
       goto locked
    :: id_of(word) != 0  /*= if (holder != 0) return holder == own.thread() ? Locked::by_caller : Locked::no; */
    fi
}

inline sleep() {
    atomic {
        if
        :: word == seen ->  // The system compares and begins the sleep in one step.
            asleep[me] = true;  /*= (void)sleep_on(word(), seen | FUTEX_WAITERS, earlier(Clock::now() + nap, deadline), Sharing::processes); */
            if
#ifndef MUTANT_NO_NAPS
            :: short_nap[me] = true
#endif
            :: true
            fi
        :: else
        fi;
        seen = 0
    };
    atomic {
        !asleep[me] || short_nap[me] ->
        asleep[me] = false;
        short_nap[me] = false
    }
}

inline wait() {
    do
#ifdef MUTANT_GIVES_UP_WITHOUT_NOTE
    :: atomic { true -> in_charge[me] = false; break }
#endif
    :: if
       :: atomic {
              id_of(word) != 0 ->  /*= std::uint32_t seen = word().load(std::memory_order_relaxed); const bool held = (seen & FUTEX_TID_MASK) != 0; if (held && ((seen & FUTEX_WAITERS) != 0 || word().compare_exchange_strong(seen, seen | FUTEX_WAITERS, std::memory_order_relaxed))) { */
              word = word | waiters;
              seen = word;
              note_is_left()
          };
          if
          :: atomic { seen = 0; break }  /*= if (expired(deadline)) return Locked::no; */
          :: sleep()
          fi
       :: id_of(word) == 0
       fi;
#ifdef MUTANT_TAKES_WITHOUT_NOTE
       take(0)
#else
       take(waiters)  /*= const Locked got = take(own, FUTEX_WAITERS); if (got != Locked::no) return got; */
#endif
    od
}

// Goes to `locked`, or gives up.
inline lock() {
#ifndef MUTANT_LOCK_UNANNOUNCED
    announced[me] = true;  /*= own.announce(links_); Locked got = take(own, 0); if (got == Locked::no && !expired(deadline)) got = wait(own, deadline); own.announce_none(); */
#endif
    take(0);
    wait();
    announced[me] = false
}

inline unlock() {
    d_step {
        assert(id_of(word) == id);  /*= if (!held_by(own)) return false; */
        announced[me] = true  /*= own.announce(links_); own.remove(links_); */
    };
    listed[me] = false;
    d_step {
        seen = word;
        word = 0;  /*= const std::uint32_t seen = word().exchange(0, std::memory_order_release); */
        in_charge[me] = (seen & waiters) != 0;
        user = nobody
    };
#ifdef MUTANT_ANNOUNCED_NONE_BEFORE_WAKE
    announced[me] = false;
#endif
#ifndef MUTANT_NO_WAKE
    if
    :: (seen & waiters) != 0 ->  /*= if ((seen & FUTEX_WAITERS) != 0) wake_one(word(), Sharing::processes); own.announce_none(); */
        wake_one()
    :: else
    fi;
#endif
    atomic { seen = 0; announced[me] = false }
}

// What the system does for a dead thread.
inline free_after_death() {
    d_step { seen = word; word = (word & waiters) | owner_died };
    if
    :: (seen & waiters) != 0 -> wake_one()
    :: else
    fi
}

inline end_thread() {
    d_step {
        victim = nobody;
        asleep[me] = false;
        short_nap[me] = false;
        user = (user == me -> nobody : user);
        died = died || id_of(word) == id;
        seen = 0
    };
    if
    :: listed[me] && !announced[me] ->
        assert(id_of(word) == id);
        free_after_death()
    :: else
    fi;
    if
    :: announced[me] ->
        if
        :: word == 0 -> wake_one()
        :: id_of(word) == id -> free_after_death()
        :: atomic { word != 0 && id_of(word) != id -> lost = lost || in_charge[me] }
        fi
    :: else
    fi;
    d_step {
        assert(id_of(word) != id);
        announced[me] = false;
        listed[me] = false;
        in_charge[me] = false;
        seen = 0
    }
}

active [threads] proctype Thread() provided (victim == nobody || victim == _pid) {
    byte me = _pid;
    byte seen;
begin:
    {
        if
        :: lock();
           goto begin
        :: true
        fi;
end:    false;
locked: atomic { assert(user == nobody); user = me; announced[me] = false };
        unlock();
        goto begin
    } unless { victim == me -> end_thread(); goto begin }
}

active proctype Killer() {
    do
    :: atomic { victim == nobody -> victim = 0 }
    :: atomic { victim == nobody -> victim = 1 }
    :: atomic { victim == nobody -> victim = 2 }
    :: break
    od
}

#ifndef MUTANT_NO_NAPS
// When all others sleep or have ended, naps end.
active proctype Naps() {
end: do
    :: atomic {
           timeout && (asleep[0] || asleep[1] || asleep[2]) ->
           assert(lost && id_of(word) == 0);
           lost = false;
           if
           :: asleep[0] -> wake(0)
           :: asleep[1] -> wake(1)
           :: asleep[2] -> wake(2)
           fi
       }
    od
}
#endif
