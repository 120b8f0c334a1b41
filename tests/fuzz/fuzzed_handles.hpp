// SPDX-License-Identifier: MIT
#pragma once

#include <fuzz/fuzzed_types.hpp>
#include <fuzz/fuzzing.hpp>

#include <muster/multiprocessing.hpp>
#include <muster/serialization.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// The handles that fuzz_deserialize reads, and the objects in the family's memory that they find.
namespace fuzz {

namespace mp = muster::multiprocessing;

using Big = std::array<char, 4096>;

inline constexpr std::byte filling{'a'};

inline Big filled(char letter) {
    Big big;
    big.fill(letter);
    return big;
}

struct Values {
    mp::Value<char> letter;
    mp::Value<Big> big;
};

struct Desk {
    std::string name;
    std::vector<mp::Lock> locks;
    std::optional<mp::Queue<int>> inbox;
};

using Handles =
    Types<mp::Lock, mp::RLock, mp::Semaphore, mp::BoundedSemaphore, mp::Event, mp::Condition,
          mp::Barrier, mp::Queue<int>, mp::Queue<Json>, mp::Value<char>, mp::Value<Big>,
          mp::SharedArray<char>, mp::SharedArray<Big>, mp::SharedMemory, mp::Connection, mp::Client,
          mp::Listener, Values, Desk, std::vector<mp::Value<Big>>>;

/// One object of each kind. They have the same names in every run, and in the one that writes seeds.
class Family {
  public:
    static const Family& own() {
        static const Family& family = *new Family;
        return family;
    }

    /// Their handles, as bytes.
    [[nodiscard]] std::vector<Bytes> handles() const {
        const auto all = [](const auto&... each) {
            return std::vector<Bytes>{muster::serialize(each)...};
        };
        return all(lock_, recursive_, semaphore_, event_, condition_, barrier_, queue_,
                   values_.letter, values_.big, array_, memory_, ends_.first, ends_.second);
    }
    [[nodiscard]] std::vector<Bytes> structs() const {
        return {muster::serialize(values_), muster::serialize(Desk{"first", {lock_}, queue_}),
                muster::serialize(std::vector<mp::Value<Big>>(2, values_.big))};
    }

  private:
    Family() {
        std::fill(array_.begin(), array_.end(), std::to_integer<char>(filling));
        std::fill_n(memory_.data(), memory_.size(), filling);
    }

    /// First of all: the number of a family is a random one.
    struct Fixed {
        Fixed() { muster::detail::FamilyMemory::for_objects()->header().family = 0x4d41'464d; }
    } fixed_;
    mp::Lock lock_;
    mp::RLock recursive_;
    mp::Semaphore semaphore_{2};
    mp::Event event_;
    mp::Condition condition_;
    mp::Barrier barrier_{2};
    mp::Queue<int> queue_{2};
    Values values_{mp::Value<char>('v'), mp::Value<Big>(filled('w'))};
    mp::SharedArray<char> array_{5000};
    mp::SharedMemory memory_{64};
    std::pair<mp::Connection, mp::Connection> ends_ = mp::Pipe();
};

// What is read is used, so that it is told when it is not what it was read as. Nothing is changed.

// Others may have a lock with a name.
inline void use(const mp::Lock& lock) { (void)lock.locked(); }
inline void use(const mp::RLock& lock) { (void)lock.locked(); }
inline void use(const mp::Semaphore& semaphore) {
    require(semaphore.try_acquire(), "nobody has a permit");
    semaphore.release();
}
inline void use(const mp::Event& event) { require(!event.is_set(), "nobody has set an event"); }
inline void use(const mp::Condition& condition) { condition.notify_all(); }
inline void use(const mp::Barrier& barrier) {
    require(barrier.parties() == 2 && !barrier.broken(), "a barrier is the one there is");
}
template <typename T>
void use(const mp::Queue<T>& queue) {
    require(queue.empty() && !queue.full(), "a queue is the one there is");
}
inline void use(const mp::Value<char>& value) {
    require(value.get() == 'v', "a value is the one there is");
}
inline void use(const mp::Value<Big>& value) {
    require(value.get() == filled('w'), "a large value is the one there is");
}
inline void require_filled(Input bytes) {
    require(std::all_of(bytes.begin(), bytes.end(), [](std::byte each) { return each == filling; }),
            "there is no more memory than was made");
}
template <typename T>
void use(const mp::SharedArray<T>& array) {
    require_filled(std::as_bytes(array.span()));
}
inline void use(const mp::SharedMemory& memory) {
    // With a name it is another program's.
    if (memory.name().empty()) require_filled(memory.span());
}
inline void use(const mp::Connection& connection) {
    require(!connection.poll(), "nobody has sent anything");
}
inline void use(const mp::Listener&) {}
inline void use(const Values& values) {
    use(values.letter);
    use(values.big);
}
inline void use(const Desk& desk) {
    for (const mp::Lock& lock : desk.locks) use(lock);
    if (desk.inbox) use(*desk.inbox);
}
template <typename T>
void use(const std::vector<T>& handles) {
    for (const T& handle : handles) use(handle);
}

}  // namespace fuzz
