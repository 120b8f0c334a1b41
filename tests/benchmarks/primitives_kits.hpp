// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include <muster/muster.hpp>

#ifdef BENCHMARK_BOOST
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#endif

namespace muster::benchmark {

using Action = std::function<void()>;
using Item = std::array<char, 64>;

inline constexpr std::size_t bound = 1'000;  ///< Of queues that have one.
inline constexpr unsigned patience = 120;    ///< In seconds: what takes longer hangs, and is ended.

/// An object that copies of this process share with it. It stays for good.
template <typename T, typename... Args>
T& shared(Args&&... args) {
    void* const pages =
        ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    return *new (pages) T(std::forward<Args>(args)...);
}

/// Runs something in a copy of this process, as std::thread does in this one.
class Copy {
  public:
    explicit Copy(const Action& action) : pid_{::fork()} {
        if (pid_ == -1) throw std::system_error(errno, std::generic_category(), "fork");
        if (pid_ != 0) return;
        ::alarm(patience);
        [&]() noexcept { action(); }();
        ::_exit(0);
    }
    void join() const { (void)::waitpid(pid_, nullptr, 0); }

  private:
    pid_t pid_;
};

struct MusterThreads : muster::Threads {
    using Other = std::thread;
    using Queue = muster::threading::Queue<Item>;
};
struct MusterProcesses : muster::Processes {
    using Other = Copy;
    using Queue = muster::multiprocessing::Queue<Item>;
    using Value = muster::multiprocessing::Value<long>;
};

/// The system's own means, with nothing around them.
class RobustMutex {
  public:
    RobustMutex() {
        ::pthread_mutexattr_t attributes;
        ::pthread_mutexattr_init(&attributes);
        ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        ::pthread_mutex_init(&mutex_, &attributes);
        ::pthread_mutexattr_destroy(&attributes);
    }
    ~RobustMutex() { ::pthread_mutex_destroy(&mutex_); }
    void lock() { ::pthread_mutex_lock(&mutex_); }
    void unlock() { ::pthread_mutex_unlock(&mutex_); }

  private:
    ::pthread_mutex_t mutex_;
};

class PosixSemaphore {
  public:
    explicit PosixSemaphore(unsigned permits) { ::sem_init(&semaphore_, 1, permits); }
    void acquire() { ::sem_wait(&semaphore_); }
    void release() { ::sem_post(&semaphore_); }

  private:
    ::sem_t semaphore_;
};

/// A futex word, and how many may sleep on it.
class FutexEvent {
  public:
    void set() {
        word_ = 1;
        if (sleepers_ != 0) detail::os::wake_all(word_, sharing);
    }
    void clear() { word_ = 0; }
    void wait() {
        if (word_ != 0) return;
        ++sleepers_;
        while (word_ == 0) (void)detail::os::sleep_on(word_, 0, std::nullopt, sharing);
        --sleepers_;
    }

  private:
    static constexpr auto sharing = detail::os::Sharing::processes;
    std::atomic<std::uint32_t> word_{0};
    std::atomic<std::uint32_t> sleepers_{0};
};

struct ThreadFloors {
    using Other = std::thread;
    using Lock = std::mutex;
    using RLock = std::recursive_mutex;
    using Semaphore = PosixSemaphore;
    using Event = FutexEvent;
};
struct ProcessFloors {
    using Other = Copy;
    using Lock = RobustMutex;
    using Semaphore = PosixSemaphore;
    using Event = FutexEvent;
};

#ifdef BENCHMARK_BOOST
struct BoostProcesses {
    using Other = Copy;
    using Lock = boost::interprocess::interprocess_mutex;

    struct Semaphore : boost::interprocess::interprocess_semaphore {
        using interprocess_semaphore::interprocess_semaphore;
        void acquire() { wait(); }
        void release() { post(); }
    };

    /// As one makes it of a mutex and a condition.
    struct Event {
        void set() {
            const std::scoped_lock held(mutex);
            is_set = true;
            changed.notify_all();
        }
        void clear() {
            const std::scoped_lock held(mutex);
            is_set = false;
        }
        void wait() {
            std::unique_lock held(mutex);
            while (!is_set) changed.wait(held);
        }
        boost::interprocess::interprocess_mutex mutex;
        boost::interprocess::interprocess_condition changed;
        bool is_set = false;
    };

    /// It always has a bound, and a name, which is free again as soon as copies have the queue.
    struct Queue {
        explicit Queue(std::size_t maxsize = bound)
            : queue(boost::interprocess::create_only, name, maxsize, sizeof(Item)) {
            boost::interprocess::message_queue::remove(name);
        }
        void put(const Item& item) { queue.send(item.data(), item.size(), 0); }
        Item get() {
            Item item;
            boost::interprocess::message_queue::size_type size = 0;
            unsigned priority = 0;
            queue.receive(item.data(), item.size(), size, priority);
            return item;
        }
        static constexpr const char* name = "muster-benchmark";
        boost::interprocess::message_queue queue;
    };
};
#endif

}  // namespace muster::benchmark
