// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>

namespace muster::multiprocessing {

/// What `wait` can wait for: a `Connection`, a `Listener`, a `Process`, or a descriptor, such as a
/// process's `sentinel()`. It refers to what it was made from, which must outlive it.
class Waitable {
  public:
    // Implicit, so that different ones can stand in one list.
    /// **Throws**: `std::invalid_argument` for a negative one. One that is not open counts as ready.
    Waitable(int descriptor) : descriptor_{descriptor} {
        if (descriptor < 0)
            throw std::invalid_argument("muster: wait() for descriptor " +
                                        std::to_string(descriptor) + ", which there cannot be");
    }
    template <typename T>
        requires requires(const T& object) {
            { object.native_handle() } -> std::same_as<int>;
        }
    Waitable(const T& object) : descriptor_{object.native_handle()} {}
    template <typename T>
        requires requires(const T& process) {
            { process.sentinel() } -> std::same_as<int>;
        }
    Waitable(const T& process) : descriptor_{process.sentinel()} {}

    /// What is readable when there is something to do.
    [[nodiscard]] int native_handle() const noexcept { return descriptor_; }

    friend bool operator==(const Waitable&, const Waitable&) = default;

  private:
    int descriptor_;
};

/// Of copyable objects that `wait` can wait for. (Of processes, that is their sentinels.)
template <typename Objects>
concept WaitableRange =
    std::ranges::forward_range<const Objects> &&
    std::copy_constructible<std::ranges::range_value_t<Objects>> &&
    std::convertible_to<std::ranges::range_reference_t<const Objects>, Waitable>;

}  // namespace muster::multiprocessing

namespace muster::detail {

/// Which of `objects` are ready. Blocks: until one is, at most until the deadline; not for none.
template <typename Objects>
auto wait_for_any(const Objects& objects, const Deadline& deadline) {
    using Object = std::ranges::range_value_t<Objects>;
    std::vector<Object> ready;
    os::Watch watch;
    std::size_t place_count = 0;
    for (const auto& object : objects)
        place_count = watch.add(multiprocessing::Waitable(object).native_handle()) + 1;
    if (std::ranges::empty(objects)) return ready;
    for (;;) {
        const bool last = expired(deadline);
        watch.wait(deadline);
        if (watch.refused() != 0)
            throw std::system_error(
                watch.refused(), std::system_category(),
                "muster: wait() for " + std::to_string(place_count) + " objects");
        std::size_t place = 0;
        for (const auto& object : objects)
            if (watch.ready(place++)) ready.push_back(object);
        if (last || !ready.empty()) return ready;
    }
}

}  // namespace muster::detail

namespace muster::multiprocessing {

/// Waits until any of several connections, listeners and processes is ready, and returns those that
/// are: something can be received or accepted, or the process has ended.
///
///     std::vector<muster::multiprocessing::Connection> workers = connections();
///     while (!workers.empty())
///         for (auto& worker : muster::multiprocessing::wait(workers)) {
///             try {
///                 handle(worker.recv<Report>());
///             } catch (const muster::EndOfFile&) {
///                 std::erase(workers, worker);
///             }
///         }
///
/// **Blocks** until one is ready; returns nothing at once for none. Each connection that was waited
/// for once has a descriptor until it is closed. When several threads or processes
/// use the same end, one that was ready may not be so any more.
///
/// **Throws**: `InvalidStateError` for a connection that is closed, or a process that was not started;
/// `std::system_error`.
///
/// Thread safety: any thread.
template <WaitableRange Objects>
[[nodiscard]] std::vector<std::ranges::range_value_t<Objects>> wait(const Objects& objects) {
    return detail::wait_for_any(objects, std::nullopt);
}
/// The same for at most `timeout`; zero or less only looks. Nothing when the time is up.
template <WaitableRange Objects, typename Rep, typename Period>
[[nodiscard]] std::vector<std::ranges::range_value_t<Objects>> wait(
    const Objects& objects, std::chrono::duration<Rep, Period> timeout) {
    return detail::wait_for_any(objects, detail::deadline_after(timeout));
}

/// The same for a list of one kind, as in `wait({a, b}, 1s)`.
template <std::copy_constructible T>
    requires std::convertible_to<const T&, Waitable>
[[nodiscard]] std::vector<T> wait(std::initializer_list<T> objects) {
    return detail::wait_for_any(objects, std::nullopt);
}
template <std::copy_constructible T, typename Rep, typename Period>
    requires std::convertible_to<const T&, Waitable>
[[nodiscard]] std::vector<T> wait(std::initializer_list<T> objects,
                                  std::chrono::duration<Rep, Period> timeout) {
    return detail::wait_for_any(objects, detail::deadline_after(timeout));
}

/// The same for a list of several kinds, as in `wait({connection, process}, 1s)`: compare what is
/// returned with them.
[[nodiscard]] inline std::vector<Waitable> wait(std::initializer_list<Waitable> objects) {
    return detail::wait_for_any(objects, std::nullopt);
}
template <typename Rep, typename Period>
[[nodiscard]] std::vector<Waitable> wait(std::initializer_list<Waitable> objects,
                                         std::chrono::duration<Rep, Period> timeout) {
    return detail::wait_for_any(objects, detail::deadline_after(timeout));
}

}  // namespace muster::multiprocessing
