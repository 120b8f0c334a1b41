// SPDX-License-Identifier: MIT
//
// Four ways for a process to end, and the exit code that its parent sees.
#include <cstdlib>
#include <iostream>
#include <stdexcept>

#include <muster/muster.hpp>

namespace mp = muster::multiprocessing;

void succeed() {}
void leave() { std::exit(3); }
void fail() { throw std::runtime_error("no paper"); }  // muster prints a line about it to stderr.
void wait_for_ever() { mp::Event().wait(); }

int main() {
    muster::entry_guard();

    mp::Process success(succeed), early(leave), failure(fail), victim(wait_for_ever);
    std::cout << std::boolalpha;
    for (mp::Process* const process : {&success, &early, &failure, &victim}) process->start();
    std::cout << "while it runs: " << victim.exit_code().has_value() << '\n';
    victim.kill();
    for (mp::Process* const process : {&success, &early, &failure, &victim}) process->join();

    std::cout << "returned:  " << *success.exit_code() << '\n'
              << "exit(3):   " << *early.exit_code() << '\n'
              << "exception: " << *failure.exit_code() << '\n'
              << "killed:    " << *victim.exit_code() << '\n';
}

// Output:
// while it runs: false
// returned:  0
// exit(3):   3
// exception: 1
// killed:    -9
