// SPDX-License-Identifier: MIT
// The main of every test program. Workers are this same program, so they enter before doctest does.
// No handlers of signals: workers that are copies of a test would report their crash as the test's.
#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS
#include <doctest/doctest.h>
#include <unistd.h>

#include <ios>
#include <iostream>

#include <muster/entry_guard.hpp>

#ifdef TEST_SANITIZED
// A worker that leaves in the midst of a task has not freed what that holds, and a copy of a process
// not what the threads hold that it has not.
static const ::pid_t original = ::getpid();
extern "C" int __lsan_is_turned_off() {
    return muster::in_worker() || ::getpid() != original ? 1 : 0;
}
#endif

int main(int argc, char** argv) {
    muster::entry_guard();
    std::cout << std::unitbuf;  // For what failed in a test before its time was up.
    return doctest::Context(argc, argv).run();
}
