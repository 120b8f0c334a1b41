// SPDX-License-Identifier: MIT
// headers: detail/posix/robust_list.hpp detail/posix/robust_mutex.hpp
// mutants: LOCK_UNANNOUNCED UNLOCK_UNANNOUNCED ANNOUNCED_NONE_BEFORE_ADD ANNOUNCED_NONE_BEFORE_FREE FREED_BEFORE_REMOVED HEAD_BEFORE_NODE NEIGHBOUR_NOT_TOLD
//
// RobustList, as RobustMutex uses it: three mutexes, and two threads that lock and unlock them in any
// order, as often as they like; an attempt may also be for what the thread has already, or the other
// one. Either may be killed at any instruction, as often as the Killer likes; then another begins,
// which has the dead one's id. See robust_mutex.pml for the word and the sleep.
//
// Proved: whenever the system follows a dead thread's list, it finds there mutexes of that thread
// alone and comes to the end; with what is announced these are all that the thread has. The other
// thread may lock what was freed, and lay its own links there, while the system is still under way.
//
// The system reads a node before it frees it. What is free has no links here: nobody may follow those
// that it had.

#define threads 2
#define mutexes 3
#define nobody 255
#define none 255

#define id (me + 1)
byte word[mutexes];

// Nodes have the numbers of their mutexes, then come the heads of the threads' lists.
#define head (mutexes + me)
byte next[mutexes + threads] = none;
byte before[mutexes] = none;
byte announced[threads] = none;
byte victim = nobody;

inline tell_neighbour(node, left) {
#ifndef MUTANT_NEIGHBOUR_NOT_TOLD
    if
    :: node != head -> before[node] = left  /*= if (node != &head_->list) reinterpret_cast<::robust_list**>(node)[-1] = before; */
    :: else
    fi
#else
    skip
#endif
}

inline free(mutex) {
    d_step {
        word[mutex] = 0;
        next[mutex] = none;
        before[mutex] = none
    }
}

inline add() {  /*= static void in_this_order() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); } */
#ifdef MUTANT_HEAD_BEFORE_NODE
    first = next[head];
    next[head] = m;
#else
    first = next[head];  /*= ::robust_list* const first = head_->list.next; */
#endif
    next[m] = first;  /*= links.node.next = first; */
    before[m] = head;  /*= links.before = &head_->list; */
    tell_neighbour(first, m);  /*= tell_neighbour(first, &links.node); in_this_order(); */
#ifndef MUTANT_HEAD_BEFORE_NODE
    next[head] = m;  /*= head_->list.next = &links.node; */
#endif
    first = 0
}

inline remove() {
    tell_neighbour(next[m], before[m]);  /*= tell_neighbour(links.node.next, links.before); */
    next[before[m]] = next[m]  /*= without_mark(links.before)->next = links.node.next; in_this_order(); */
}

inline lock() {  /*= head_->list_op_pending = &links.node; in_this_order(); */
#ifndef MUTANT_LOCK_UNANNOUNCED
    announced[me] = m;  /*= own.announce(links_); const Locked got = take(own, 0); own.announce_none(); */
#endif
    if
    :: d_step { word[m] == 0 -> word[m] = id };
#ifdef MUTANT_ANNOUNCED_NONE_BEFORE_ADD
       announced[me] = none;
#endif
       add()  /*= own.add(links_); */
    :: word[m] != 0
    fi;
    announced[me] = none  /*= in_this_order(); head_->list_op_pending = nullptr; */
}

inline unlock() {
#ifndef MUTANT_UNLOCK_UNANNOUNCED
    announced[me] = m;  /*= own.announce(links_); own.remove(links_); */
#endif
#ifdef MUTANT_FREED_BEFORE_REMOVED
    word[m] = 0;
    remove();
#else
    remove();
#ifdef MUTANT_ANNOUNCED_NONE_BEFORE_FREE
    announced[me] = none;
#endif
    free(m);  /*= const std::uint32_t seen = word().exchange(0, std::memory_order_release); */
#endif
    announced[me] = none
}

// What the system does for a dead thread.
inline end_thread() {
    d_step { victim = nobody; m = next[head] };
    do
    :: m != head ->
        d_step { assert(m < mutexes && word[m] == id); first = next[m] };
        if
        :: m != announced[me] -> free(m)
        :: else
        fi;
        d_step { m = first; first = 0 }
    :: else -> break
    od;
    if
    :: announced[me] != none ->
        m = announced[me];
        if
        :: word[m] == id -> free(m)
        :: else
        fi
    :: else
    fi;
    d_step {
        assert(word[0] != id && word[1] != id && word[2] != id);
        announced[me] = none;
        next[head] = head;
        m = 0;
        first = 0
    }
}

active [threads] proctype Thread() provided (victim == nobody || victim == _pid) {
    byte me = _pid;
    byte m, first;
    next[head] = head;
begin:
    {
        if
        :: m = 0
        :: m = 1
        :: m = 2
        fi;
        if
        :: lock()
        :: word[m] == id -> unlock()
        fi;
        m = 0;
        goto begin
    } unless { victim == me -> end_thread(); goto begin }
}

active proctype Killer() {
    do
    :: atomic { victim == nobody -> victim = 0 }
    :: atomic { victim == nobody -> victim = 1 }
    od
}
