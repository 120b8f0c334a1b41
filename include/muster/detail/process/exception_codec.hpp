// SPDX-License-Identifier: MIT
#pragma once

#include <muster/serialization.hpp>

#include <atomic>
#include <exception>
#include <string>
#include <string_view>

namespace muster::detail {

/// How the exceptions of one type go to another process.
///
/// The name, as a C++ programmer writes it, is that of the exact type: what is derived from it is
/// another type, and never sliced to this one.
struct ExceptionCodec {
    std::string_view name;

    /// Writes what the exception holds besides what(). False if it holds something that cannot be
    /// rebuilt; then what it wrote is dropped. Null if there is nothing to write.
    bool (*write)(Encoder& out, const std::exception_ptr& error);

    /// Makes the exception again from its what() and from what `write` wrote.
    std::exception_ptr (*rebuild)(const std::string& what, Decoder& in);
};

template <typename E>
std::exception_ptr make_with_text(const std::string& what, Decoder&) {
    return std::make_exception_ptr(E(what));
}

template <typename E>
std::exception_ptr make_default(const std::string&, Decoder&) {
    return std::make_exception_ptr(E());
}

/// For a type that holds its what() and nothing more.
template <typename E>
constexpr ExceptionCodec text_codec(std::string_view name) {
    return {name, nullptr, &make_with_text<E>};
}

/// For a type whose what() is always the same.
template <typename E>
constexpr ExceptionCodec plain_codec(std::string_view name) {
    return {name, nullptr, &make_default<E>};
}

/// Calls `write` with the exception as what it is.
template <typename E, auto write>
bool write_as(Encoder& out, const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const E& exception) {
        return write(out, exception);
    }
}

/// Gives an exception the text that another one had, where its constructor would add to the text.
template <typename Base, typename E>
E with_text(E exception, const std::string& what) {
    static_cast<Base&>(exception) = Base(what);
    return exception;
}

/// A codec that is known as long as this object lives: a variable of the module that wants it.
///
/// A module (the program, a shared library) may have its own list or share one, as its compiler
/// flags for visibility have it. Who encodes or decodes asks the list of its own module: that of the
/// code which submits the task, on both sides. A type that the list does not know arrives as
/// `RemoteError`.
///
/// Thread safety: find() may run beside anything.
class RegisteredCodec {
  public:
    explicit RegisteredCodec(const ExceptionCodec& codec)
        : entry_{*new Entry{codec, entries.load(std::memory_order_relaxed)}} {
        while (!entries.compare_exchange_weak(entry_.next, &entry_, std::memory_order_release,
                                              std::memory_order_relaxed)) {
        }
    }
    RegisteredCodec(const RegisteredCodec&) = delete;
    RegisteredCodec& operator=(const RegisteredCodec&) = delete;
    ~RegisteredCodec() { entry_.alive.store(false, std::memory_order_relaxed); }

    /// The codec for this name; null if there is none.
    static const ExceptionCodec* find(std::string_view name) noexcept {
        // Acquire: pairs with the release in the constructor, so that the entry is seen whole.
        for (const Entry* entry = entries.load(std::memory_order_acquire); entry != nullptr;
             entry = entry->next) {
            if (entry->alive.load(std::memory_order_relaxed) && entry->codec.name == name)
                return &entry->codec;
        }
        return nullptr;
    }

  private:
    /// Never freed, so that nobody has to wait for a reader: a library that is unloaded leaves it.
    struct Entry {
        ExceptionCodec codec;
        const Entry* next;
        std::atomic<bool> alive{true};
    };

    static inline constinit std::atomic<const Entry*> entries{nullptr};

    Entry& entry_;
};

}  // namespace muster::detail
