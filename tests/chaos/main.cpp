// SPDX-License-Identifier: MIT
//
// Proves what the library promises while all goes wrong: pools and primitives work under load, and a
// process outside kills and stops workers and has system calls fail:
//
//     chaos --seconds 60 --seed 7 --start-method forkserver
//
// Prints a page on what was done; exits with 1 if a promise was broken. The seed repeats the choices,
// as far as the machine's timing allows.
#include "faulty_calls.hpp"

#include <muster/entry_guard.hpp>

#include <cstdio>
#include <optional>

#include "board.hpp"
#include "options.hpp"
#include "subject.hpp"
#include "supervisor.hpp"

int main(int argc, char** argv) {
    muster::entry_guard();
    const std::optional<chaos::Options> options = chaos::Options::parse(argc, argv);
    if (!options) {
        std::fputs(chaos::Options::usage, stderr);
        return 2;
    }
    if (chaos::Board* const board = chaos::Board::own())
        return chaos::run_subject(*options, *board);
    return chaos::supervise(*options, argv);
}
