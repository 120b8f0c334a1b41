// SPDX-License-Identifier: MIT
// ctest: skip=thread skip=address
// AddressSanitizer: it takes for leaked what an unloaded library leaves to the end of the process.
// ThreadSanitizer: it has too few addresses for the memory that each load reserves.
// Pools that are globals of a library end when that is unloaded, and begin again with it.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "support/program.hpp"

namespace life_cycle_plugin_test {

namespace {

using muster::test::Program;
using muster::test::say;

int exit_code_of_copy() {
    const ::pid_t pid = ::fork();  // Calls what unloaded libraries may have left to be called.
    if (pid == 0) ::_exit(7);
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("program: loads and unloads" * doctest::skip()) {
    const std::string kind = muster::test::argument_of_program();
    const std::string path = std::string(TEST_PROGRAMS) + "/life_cycle_plugin.so";
    for (int round = 0; round < 3; ++round) {
        void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!library) return say(::dlerror());
        const auto use = reinterpret_cast<int (*)(const char*)>(::dlsym(library, "use"));
        if (!use) return say(::dlerror());
        const int result = use(kind.c_str());
        ::dlclose(library);
        say(std::to_string(result));
        if (exit_code_of_copy() != 7) say("a copy ends otherwise");
        if (!muster::test::children_of().empty()) say("processes are left");
    }
}

TEST_CASE("a library with pools is unloaded, and loaded again, as often as one likes") {
    for (const std::string kind : {"threads", "processes", "process"}) {
        CAPTURE(kind);
        Program program = Program::test_case("loads and unloads", kind);
        const std::string result = kind == "threads" ? "1" : kind == "processes" ? "2" : "3";
        CHECK(program.rest() == result + '\n' + result + '\n' + result + '\n');
        CHECK(program.exit_code() == 0);
    }
}

}  // namespace life_cycle_plugin_test
