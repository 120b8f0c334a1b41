// SPDX-License-Identifier: MIT
//
// A function runs in a process of its own, which has a name, an id and an exit code.
#include <iostream>
#include <stdexcept>
#include <string>

#include <muster/muster.hpp>

namespace mp = muster::multiprocessing;

void greet(std::string who) {
    std::cout << "hello " << who << " from " << mp::current_process().name() << '\n';
}

void give_up() { throw std::runtime_error("no paper"); }

int main() {
    muster::entry_guard();

    mp::Process greeter({.name = "greeter"}, greet, "world");
    greeter.start();
    const bool other_process = greeter.pid() != mp::current_process().pid();
    greeter.join();
    std::cout << std::boolalpha << "another process: " << other_process << '\n'
              << "exit code " << *greeter.exit_code() << '\n';

    mp::Process printer({.name = "printer"}, give_up);  // Prints a line about that to stderr.
    printer.start();
    printer.join();
    std::cout << "exit code " << *printer.exit_code() << '\n';
}

// Output:
// hello world from greeter
// another process: true
// exit code 0
// exit code 1
