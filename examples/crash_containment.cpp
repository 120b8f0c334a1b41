// SPDX-License-Identifier: MIT
//
// A worker that dies costs the one task it was running: the others finish, in the other workers and
// in the one that takes its place.
#include <cstdlib>
#include <iostream>
#include <vector>

#include <muster/muster.hpp>

/// Stands for a library that can't take every input.
int decode(int picture) {
    if (picture == 3) std::_Exit(42);  // As sudden as a crash: no exception, no destructor.
    return picture * picture;
}

int main() {
    muster::entry_guard();

    muster::ProcessPoolExecutor pool({.max_workers = 2});
    std::vector<muster::Future<int>> decoded;
    for (int picture = 1; picture <= 5; ++picture) decoded.push_back(pool.submit(decode, picture));

    for (const auto& picture : decoded) {
        try {
            const int pixels = picture.result();
            std::cout << "decoded: " << pixels << '\n';
        } catch (const muster::WorkerCrashed& crash) {
            std::cout << "its worker died with exit code " << crash.exit_code().value_or(-1)
                      << '\n';
        }
    }
}

// Output:
// decoded: 1
// decoded: 4
// its worker died with exit code 42
// decoded: 16
// decoded: 25
