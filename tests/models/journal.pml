// SPDX-License-Identifier: MIT
// headers: detail/family/journal.hpp
// mutants: COUNT_FIRST CLEARED_FIRST NOT_CARRIED_OUT RELATIVE PAST_THE_JOURNAL
//
// Guard and GuardedChange, around a list of items such as the family's queues and pipes have: each
// change is of up to five words. Three processes each append an item of their own and then take one;
// two of them may be killed at any instruction, the second one also while it carries out what the first
// one left.
//
// Proved: whoever has locked the guard finds the list whole: every item is in it once or belongs to
// one process, its size is right, and what is unfinished is what waits and what was taken.
//
// After a death all that the dead process had stored is visible, in the order of the program as the
// compiler left it. So a relaxed count is the same as one that is stored too early: COUNT_FIRST.
// That a robust mutex tells its next owner of the death: see robust_mutex.pml.

#define processes 3
#define none 255
#define shared_owner 9

// The shared words, by number. Items have the numbers 1 to `processes`; 0 is no item.
#define head 0
#define tail 1
#define size 2
#define unfinished 3
#define next_of(item) (3 + (item))
#define owner_of(item) (6 + (item))
#define claim_of(process) (10 + (process))
byte word[13];

byte holder = none;
bool dead[processes];
byte deaths = 2;
byte journal_count, journal_word[5], journal_value[5];

inline check() {
    d_step {
        i = word[head];
        n = 0;
        do
        :: i != 0 ->
            n++;
            assert(n <= processes && word[owner_of(i)] == shared_owner);
            if
            :: word[next_of(i)] == 0 || i == word[tail] -> assert(i == word[tail]); break
            :: else -> i = word[next_of(i)]
            fi
        :: else -> assert(word[tail] == 0); break
        od;
        assert(n == word[size]);
        n = word[size] + word[claim_of(0)] + word[claim_of(1)] + word[claim_of(2)];
        assert(n == word[unfinished]);
        n = (word[owner_of(1)] == shared_owner) + (word[owner_of(2)] == shared_owner) +
            (word[owner_of(3)] == shared_owner);
        assert(n == word[size]);
        i = 0;
        n = 0
    }
}

inline carry_out() {
    n = journal_count;  /*= const std::size_t count = count_.load(std::memory_order_acquire); */
#ifdef MUTANT_CLEARED_FIRST
    journal_count = 0;
#endif
    i = 0;
    do
    :: i < n ->
#ifdef MUTANT_RELATIVE
        d_step {
            word[journal_word[i]] =
                (journal_word[i] == size || journal_word[i] == unfinished ->
                     word[journal_word[i]] + journal_value[i] - word_before[journal_word[i] - size] :
                     journal_value[i]);
            i++
        }
#else
        d_step { word[journal_word[i]] = journal_value[i]; i++ }  /*= entries_[i].distance.load(std::memory_order_relaxed); reinterpret_cast<SharedWord*>(place)->store( entries_[i].value.load(std::memory_order_relaxed), std::memory_order_release); */
#endif
    :: else -> break
    od;
    skip;
#ifndef MUTANT_CLEARED_FIRST
    d_step { journal_count = 0; n = 0; i = 0 }  /*= count_.store(0, std::memory_order_release); */
#else
    d_step { n = 0; i = 0 }
#endif
}

inline lock() {
    if
    :: atomic { holder == none -> holder = me }
    :: atomic { holder != none && dead[holder] -> holder = me };
#ifndef MUTANT_NOT_CARRIED_OUT
        carry_out()  /*= if (got == os::Locked::after_death) guard.carry_out(); */
#endif
    fi;
    skip;
    check()
}

inline set(place, value) {
    d_step { journal_word[count] = place; journal_value[count] = value; count++ };  /*= Guard::Entry& entry = guard_.entries_[count_++]; entry.distance.store( reinterpret_cast<std::byte*>(&word) - reinterpret_cast<std::byte*>(&guard_), std::memory_order_relaxed); entry.value.store(value, std::memory_order_relaxed); */
#ifdef MUTANT_COUNT_FIRST
    journal_count = count;
#endif
#ifdef MUTANT_RELATIVE
    word_before[(place == size || place == unfinished -> place - size : 2)] = word[place];
#endif
}

inline commit() {
    d_step { journal_count = count; count = 0 };  /*= guard_.count_.store(std::exchange(count_, 0), std::memory_order_release); guard_.carry_out(); */
    carry_out()
}

#ifdef MUTANT_RELATIVE
byte word_before[3];
#endif

active [processes] proctype Process() {
    byte me = _pid;
    byte count, i, n, item;
    {
        lock();
        set((word[tail] == 0 -> head : next_of(word[tail])), me + 1);
        set(tail, me + 1);
#ifdef MUTANT_PAST_THE_JOURNAL
        word[size] = word[size] + 1;
#else
        set(size, word[size] + 1);
#endif
        set(unfinished, word[unfinished] + 1);
        set(owner_of(me + 1), shared_owner);
        commit();
        holder = none;

        lock();
        item = word[head];
        if
        :: item != 0 ->
            set(head, word[next_of(item)]);
            if
            :: item == word[tail] -> set(tail, 0)
            :: else
            fi;
            set(size, word[size] - 1);
            set(owner_of(item), me);
            set(claim_of(me), word[claim_of(me)] + 1);
            commit()
        :: else
        fi;
        holder = none
    } unless { dead[me] }
}

active proctype Killer() {
    do
    :: deaths > 0 -> deaths--; dead[0] = true; break
    :: break
    od;
    do
    :: deaths > 0 -> deaths--; dead[1] = true; break
    :: break
    od
}
