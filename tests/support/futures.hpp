// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <muster/promise.hpp>
#include <utility>

namespace muster::test {

/// A future that has its value already.
template <typename T>
Future<T> ready(T value) {
    Promise<T> promise;
    promise.set_result(std::move(value));
    return promise.get_future();
}
inline Future<void> ready() {
    Promise<void> promise;
    promise.set_result();
    return promise.get_future();
}

template <typename T, typename E>
Future<T> failed(E error) {
    Promise<T> promise;
    promise.set_exception(std::make_exception_ptr(std::move(error)));
    return promise.get_future();
}

template <typename T>
Future<T> cancelled() {
    Promise<T> promise;
    promise.get_future().cancel();
    return promise.get_future();
}

template <typename T>
Promise<T> running_promise() {
    Promise<T> promise;
    promise.set_running_or_notify_cancel();
    return promise;
}

}  // namespace muster::test
