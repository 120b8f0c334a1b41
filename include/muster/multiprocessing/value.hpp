// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <muster/detail/family/shared_reference.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/serialization/require.hpp>
#include <muster/errors.hpp>
#include <muster/serialization.hpp>

namespace muster {
namespace detail {

/// A value in the family's memory, twice: the valid one, and the one that is being written. So who
/// dies while writing leaves the old one.
template <typename T>
class SharedValue {
  public:
    explicit SharedValue(const T& value) : values_{value, value} {}

    /// Calls `use` with the valid value, and makes what it returns the valid one, if anything.
    template <typename Use>
    void with(Use use) {
        const Held held(mutex_);
        const std::uint64_t valid = valid_.load(std::memory_order_acquire);
        if (const std::optional<T> next = use(std::as_const(values_[valid]))) {
            values_[1 - valid] = *next;
            valid_.store(1 - valid, std::memory_order_release);
        }
    }

  private:
    class Held {
      public:
        explicit Held(os::RobustMutex& mutex) : mutex_{mutex} {
            // Who died holding it left nothing half changed.
            if (mutex_.lock() == os::Locked::by_caller)
                throw InvalidStateError(
                    "muster: a Value is used inside its own update(): that would wait for ever");
        }
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;
        ~Held() { (void)mutex_.unlock(); }

      private:
        os::RobustMutex& mutex_;
    };

    os::RobustMutex mutex_;
    SharedWord valid_{0};
    std::array<T, 2> values_;
};

}  // namespace detail

namespace multiprocessing {

/// A value that processes share.
///
///     muster::multiprocessing::Value<long> total{0};
///     auto task = pool.submit([](muster::multiprocessing::Value<long> sum) {
///         sum.update([](long& value) { ++value; });
///     }, total);
///
/// Each call sees and leaves a whole value, also when a process dies in the midst of one. A copy is
/// the same value, in other processes too. `T` is copied as bytes: numbers, and structs of them.
///
/// Thread safety: all members.
template <typename T>
class Value {
    static_assert(
        detail::crosses<T, std::is_trivially_copyable_v<T>>,
        "muster: a Value is copied as bytes between processes: hold numbers, or structs of "
        "them; for text use std::array<char, n>, and for what grows a Queue of one item");
    static_assert(detail::crosses<T, (alignof(T) <= 64)>,
                  "muster: a Value may be aligned to at most 64 bytes");

  public:
    /// **Throws**: `std::system_error`, `std::bad_alloc`.
    Value()
        requires std::default_initializable<T>
        : Value(T{}) {}
    explicit Value(const T& value) : handle_{std::in_place, 0, value} {}

    [[nodiscard]] T get() const {
        std::optional<T> copy;
        handle_->with([&copy](const T& value) -> std::optional<T> {
            copy = value;
            return std::nullopt;
        });
        return *copy;
    }
    void set(const T& value) const {
        handle_->with([&value](const T&) { return std::optional<T>(value); });
    }

    /// Changes the value, with no other thread of any process in between, and returns the new one.
    ///
    /// `fn` takes a `T&` and changes it, or takes the old value and returns the new one. If it throws,
    /// the value stays as it was.
    ///
    /// **Throws**: what `fn` throws; `InvalidStateError` when `fn` uses this value.
    template <typename Fn>
        requires std::invocable<Fn, T&>
    T update(Fn&& fn) const {
        std::optional<T> next;
        handle_->with([&](const T& value) {
            next = value;
            if constexpr (std::is_void_v<std::invoke_result_t<Fn, T&>>)
                std::forward<Fn>(fn)(*next);
            else
                next = static_cast<T>(std::forward<Fn>(fn)(*next));
            return next;
        });
        return *next;
    }

  private:
    friend class muster::Access;
    explicit Value(Access::Unread) {}
    template <typename Archive>
    void serialize(Archive& ar) {
        ar(handle_);
    }

    detail::SharedHandle<detail::SharedValue<T>, detail::BlockKind::value> handle_;
};

static_assert(Serializable<Value<long>>);

}  // namespace multiprocessing
}  // namespace muster
