// SPDX-License-Identifier: MIT
// Two translation units include everything and meet in one program: nothing is defined twice.
#include <muster/muster.hpp>

#include <cstdio>
#include <string>

#include "exception.hpp"

int square_in_b(int x);
int square_in_a_process_of_b(int x);

namespace {

int square(int x) {
    if (x > 100) throw TooLarge("a");
    return x * x;
}

/// What the exception says that a task throws, if it comes back as what it is.
template <typename Task>
std::string refusal(Task task) {
    try {
        return std::to_string(task());
    } catch (const TooLarge& error) {
        return error.what();
    }
}

}  // namespace

int main() {
    muster::entry_guard();
    muster::ThreadPoolExecutor pool{1};
    int here = pool.submit([](int x) { return x * x; }, 7).result();
    if (here != square_in_b(7)) return 1;

    muster::ProcessPoolExecutor processes{1};
    here = processes.submit(square, 7).result();
    if (here != 49 || here != square_in_a_process_of_b(7)) return 2;
    if (refusal([&] { return processes.submit(square, 101).result(); }) != "a") return 3;
    if (refusal([] { return square_in_a_process_of_b(101); }) != "b") return 4;
    std::puts("ok");
}
