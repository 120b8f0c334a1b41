// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>
#include <utility>

namespace muster::detail {

/// Owns one reference to an object that counts its own references (`retain`, `release`).
template <typename T>
class Ref {
  public:
    Ref() noexcept = default;

    /// Takes over a reference that somebody counted already.
    static Ref adopt(T* counted) noexcept {
        Ref ref;
        ref.object_ = counted;
        return ref;
    }
    /// Counts one more.
    static Ref share(T* object) noexcept {
        if (object) object->retain();
        return adopt(object);
    }

    Ref(const Ref& other) noexcept : object_{other.object_} {
        if (object_) object_->retain();
    }
    Ref(Ref&& other) noexcept : object_{std::exchange(other.object_, nullptr)} {}
    template <typename Derived>
        requires(!std::is_same_v<Derived, T> && std::is_convertible_v<Derived*, T*>)
    Ref(Ref<Derived> other) noexcept : object_{other.detach()} {}
    Ref& operator=(Ref other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~Ref() {
        if (object_) object_->release();
    }

    [[nodiscard]] T* get() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }

    /// Gives the reference away, uncounted.
    [[nodiscard]] T* detach() noexcept { return std::exchange(object_, nullptr); }

    friend bool operator==(const Ref&, const Ref&) noexcept = default;

  private:
    T* object_ = nullptr;
};

}  // namespace muster::detail
