// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <muster/detail/connection/channel.hpp>
#include <muster/multiprocessing/connection.hpp>

namespace muster::detail {

/// Makes the public handle of a channel.
struct MakeConnection {
    static multiprocessing::Connection of(std::shared_ptr<Channel> channel) {
        return multiprocessing::Connection(std::move(channel));
    }
};

}  // namespace muster::detail
