// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <muster/detail/posix/executable.hpp>
#include <muster/detail/posix/fork_generation.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace posix_executable_test {

using namespace muster::detail::posix;

TEST_CASE("the own executable is the file that runs") {
    struct ::stat by_path {};
    struct ::stat running {};
    REQUIRE(::stat(own_executable().c_str(), &by_path) == 0);
    REQUIRE(::stat("/proc/self/exe", &running) == 0);
    CHECK(by_path.st_ino == running.st_ino);
    CHECK(by_path.st_dev == running.st_dev);
    CHECK(program_run_by_loader().empty());
}

TEST_CASE("the own command line has the program first") {
    const auto arguments = own_command_line();
    REQUIRE_FALSE(arguments.empty());
    CHECK(arguments.front().find("unit_tests") != std::string::npos);
}

TEST_CASE("strings that end with zeros are told apart, empty ones too") {
    using namespace std::string_literals;
    using Strings = std::vector<std::string>;
    CHECK(split_at_zeros("").empty());
    CHECK((split_at_zeros("a\0\0b c\0"s) == Strings{"a", "", "b c"}));
    CHECK((split_at_zeros("a\0cut"s) == Strings{"a", "cut"}));
}

TEST_CASE("the program among a dynamic loader's arguments is found behind the options") {
    CHECK(program_argument({"ld.so", "./app", "--x"}) == 1);
    CHECK(program_argument({"ld.so", "--library-path", "/lib", "./app"}) == 3);
    CHECK(program_argument({"ld.so", "--inhibit-cache", "--argv0", "name", "./app"}) == 4);
    CHECK(program_argument({"ld.so", "--library-path=/lib", "--", "./app"}) == 3);
    CHECK(program_argument({"ld.so", "--library-path"}) == 2);
    CHECK(program_argument({"ld.so"}) == 1);
    CHECK(program_argument({}) == 0);
}

TEST_CASE("a process gets a name of at most 15 bytes, whichever thread asks for it") {
    const std::string before = process_name();
    CHECK_FALSE(before.empty());
    set_process_name("a name that is too long");
    CHECK(process_name() == "a name that is ");
    std::string seen;
    std::thread{[&] {
        set_thread_name("a thread");
        seen = process_name();
    }}.join();
    CHECK(seen == "a name that is ");
    set_process_name(before);
    CHECK(process_name() == before);
}

TEST_CASE("the fork generation stays the same in a process, in all its threads") {
    const auto generation = fork_generation();
    CHECK(generation != 0);
    CHECK(fork_generation() == generation);
    std::uint64_t seen = 0;
    std::thread{[&] { seen = fork_generation(); }}.join();
    CHECK(seen == generation);
    CHECK(process_number() == generation);
}

TEST_CASE("a process lives as long as any of its threads does") {
    const ::pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(60);
        std::thread([number = process_number()] {
            const auto main_thread_ended = [] {
                std::string text;
                std::getline(std::ifstream("/proc/self/stat"), text);
                return text.find(") Z ") != text.npos;
            };
            while (!main_thread_ended()) std::this_thread::yield();
            ::_exit(process_lives(number) ? 0 : 1);
        }).detach();
        ::syscall(SYS_exit, 0);  // Of this thread alone; pthread_exit would unwind the test.
    }
    int status = -1;
    CHECK(::waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
}

TEST_CASE("every copy made by fork has a generation of its own, also a copy's copy") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const auto tell = [&] {
        const auto generation = fork_generation();
        if (::write(ends[1], &generation, sizeof generation) != sizeof generation) ::_exit(1);
    };
    std::set<std::uint64_t> all{fork_generation()};
    const ::pid_t child = ::fork();
    if (child == 0) {
        tell();
        const ::pid_t grandchild = ::fork();
        if (grandchild == 0) {
            tell();
            ::_exit(0);
        }
        ::waitpid(grandchild, nullptr, 0);
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    for (int i = 0; i < 2; ++i) {
        std::uint64_t generation = 0;
        CHECK(::read(ends[0], &generation, sizeof generation) == sizeof generation);
        all.insert(generation);
    }
    CHECK(all.size() == 3);
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("the start time is read behind whatever name the program has") {
    const std::string fields = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 ";
    CHECK(start_time_in("42 (name)" + fields + "777 99") == 777);
    CHECK(start_time_in("42 (a ) b) (c)" + fields + "777\n") == 777);
    CHECK(start_time_in("42 (name) S 1 2") == 0);
    CHECK(start_time_in("") == 0);
}

}  // namespace posix_executable_test
