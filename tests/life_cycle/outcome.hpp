// SPDX-License-Identifier: MIT
#pragma once

#include <muster/future.hpp>

#include <exception>
#include <string>
#include <vector>

namespace muster::test {

/// What becomes of a few tasks of a new pool: "works", or what the error says.
template <typename Pool>
std::string outcome() {
    try {
        Pool pool(2);
        std::vector<Future<int>> futures;
        for (int i = 0; i < 4; ++i) futures.push_back(pool.submit([](int x) { return x; }, i));
        int sum = 0;
        for (const auto& future : futures) sum += future.result();
        return sum == 6 ? "works" : "a wrong result";
    } catch (const std::exception& error) {
        return error.what();
    }
}

}  // namespace muster::test
