// SPDX-License-Identifier: MIT
#pragma once

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <muster/detail/posix/fork_generation.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <muster/detail/posix/thread_id.hpp>

namespace muster::detail::posix {

/// What ties a mutex to the others that its holder has. The C library's, which may be among them,
/// have the same.
struct RobustLinks {
    ::robust_list* before = nullptr;
    ::robust_list node{};  ///< The system follows these.
};

/// The mutexes that the calling thread holds, which the system frees when the thread ends, however it
/// ends. A thread can show the system one such list, and does so in the C library: this is that one.
///
/// A thread may be killed between any two instructions: so it announces a mutex before it takes it,
/// and until it has freed it. The system then looks whether the thread has it.
///
/// Thread safety: each thread has its own.
class RobustList {
  public:
    /// From the node of a mutex to the word that says who holds it: the same for all in the list.
#ifdef __GLIBC__
    static constexpr long word_distance = -32;
#else
    static constexpr long word_distance = -28;
#endif

    /// **Throws**: `std::system_error` when the system has no such lists, or the C library another
    /// kind of them; never in a thread of this process that has called it before.
    static RobustList& own() {
        static thread_local constinit RobustList list;
        const std::uint64_t generation = fork_generation();
        if (list.generation_ != generation) list.find(generation);
        return list;
    }

    /// The calling thread, as the word of a mutex that it holds says it.
    [[nodiscard]] std::uint32_t thread() const noexcept { return thread_; }

    void announce(RobustLinks& links) noexcept {
        head_->list_op_pending = &links.node;
        in_this_order();
    }
    void announce_none() noexcept {
        in_this_order();
        head_->list_op_pending = nullptr;
    }

    /// Adds what is announced and taken.
    void add(RobustLinks& links) noexcept {
        ::robust_list* const first = head_->list.next;
        links.node.next = first;
        links.before = &head_->list;
        tell_neighbour(first, &links.node);
        in_this_order();
        head_->list.next = &links.node;
    }

    /// Takes out what is announced, and is to be freed.
    void remove(RobustLinks& links) noexcept {
        tell_neighbour(links.node.next, links.before);
        without_mark(links.before)->next = links.node.next;
        in_this_order();
    }

  private:
    constexpr RobustList() = default;

    /// None but the thread itself looks at its list, and the system when the thread is no more.
    static void in_this_order() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

    /// The C library marks its mutexes that inherit priorities, in what points to them.
    static ::robust_list* without_mark(::robust_list* node) noexcept {
        return reinterpret_cast<::robust_list*>(reinterpret_cast<std::uintptr_t>(node) &
                                                ~std::uintptr_t{1});
    }
    void tell_neighbour(::robust_list* marked, ::robust_list* before) const noexcept {
        static_assert(offsetof(RobustLinks, node) == sizeof(::robust_list*));
        ::robust_list* const node = without_mark(marked);
        if (node != &head_->list) reinterpret_cast<::robust_list**>(node)[-1] = before;
    }

    void find(std::uint64_t generation) {
        ::robust_list_head* head = known_to_system();
        if (!head) {  // Some C libraries tell when a thread first needs it.
            lock_one_of_the_library();
            head = known_to_system();
        }
        if (!head || head->futex_offset != word_distance)
            throw_error(ENOTSUP, "get_robust_list: this C library keeps other lists of mutexes");
        head_ = head;
        thread_ = static_cast<std::uint32_t>(thread_id());
        generation_ = generation;
    }

    static ::robust_list_head* known_to_system() {
        ::robust_list_head* head = nullptr;
        std::size_t size = 0;
        check(MUSTER_SYSCALL(syscall)(SYS_get_robust_list, 0, &head, &size), "get_robust_list");
        return head;
    }

    static void lock_one_of_the_library() {
        ::pthread_mutexattr_t robust;
        ::pthread_mutex_t mutex;
        check_error(::pthread_mutexattr_init(&robust), "pthread_mutexattr_init");
        (void)::pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
        (void)::pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
        const int error = ::pthread_mutex_init(&mutex, &robust);
        (void)::pthread_mutexattr_destroy(&robust);
        check_error(error, "pthread_mutex_init");
        (void)::pthread_mutex_lock(&mutex);
        (void)::pthread_mutex_unlock(&mutex);
        (void)::pthread_mutex_destroy(&mutex);
    }

    std::uint64_t generation_ = 0;  // Of the process, or copy of it, that the rest is of; 0: none.
    ::robust_list_head* head_ = nullptr;
    std::uint32_t thread_ = 0;
};

}  // namespace muster::detail::posix
