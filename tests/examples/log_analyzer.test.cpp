// SPDX-License-Identifier: MIT
// The log analyzer as its users run it, on small files.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>
#include <string>

#include "../../examples/log_analyzer/options.hpp"
#include "../../examples/log_analyzer/report.hpp"
#include "../../examples/log_analyzer/summary.hpp"
#include "log_files.hpp"

namespace examples_log_analyzer_test {

using namespace log_analyzer;
using namespace log_files;
using namespace std::string_literals;

namespace {

std::string json_of(const Summary& summary) {
    std::ostringstream out;
    print_json(out, summary);
    return out.str();
}

struct Outcome {
    int exit_code;
    std::string out;
    std::string err;
};

/// Runs the program; its arguments are words for the shell.
Outcome run(const TemporaryFolder& folder, const std::string& arguments) {
    const std::string command =
        "'" LOG_ANALYZER_PATH "' 2>'" + folder.path("stderr") + "' " + arguments;
    FILE* pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string out;
    for (int c = ::fgetc(pipe); c != EOF; c = ::fgetc(pipe)) out += static_cast<char>(c);
    const int status = ::pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, out, read_file(folder.path("stderr"))};
}

}  // namespace

TEST_CASE("all executors and chunk sizes print the same JSON") {
    const TemporaryFolder folder;
    const std::string path = folder.file("access.log", odd_log());
    const std::string expected = json_of(summarize(odd_log()));
    for (const std::string executor : {"inline", "threads", "processes"}) {
        for (const std::string chunk : {"7", "100", "1K", "1G"}) {
            const Outcome outcome = run(
                folder, path + " --json --workers 2 --executor " + executor + " --chunk " + chunk);
            CAPTURE(executor);
            CAPTURE(chunk);
            CHECK(outcome.exit_code == 0);
            CHECK(outcome.out == expected);
            CHECK(outcome.err == "");
        }
    }
}

TEST_CASE("an empty file is a log without lines") {
    const TemporaryFolder folder;
    const std::string path = folder.file("empty.log", "");
    for (const std::string executor : {"inline", "threads", "processes"}) {
        const Outcome outcome = run(folder, path + " --json --executor " + executor);
        CHECK(outcome.exit_code == 0);
        CHECK(outcome.out == json_of({}));
    }
    CHECK(run(folder, path).exit_code == 0);
    CHECK(run(folder, "--compare " + path).exit_code == 0);
}

TEST_CASE("the report goes to standard output, and a pipe sees no progress bar") {
    const TemporaryFolder folder;
    const Outcome outcome = run(folder, folder.file("access.log", odd_log()) + " --chunk 64");
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.out.find("Requests per hour\n") != std::string::npos);
    CHECK(outcome.out.find("\n  404           1    14.3 %\n") != std::string::npos);
    CHECK(outcome.out.find("Mean response time: 0.875000 s over 2 lines\n") != std::string::npos);
    CHECK(outcome.out.find("8 lines, 1 malformed\n") != std::string::npos);
    CHECK(outcome.out.find('\r') == std::string::npos);
    CHECK(outcome.err == "");
}

TEST_CASE("a terminal sees a progress bar, which is wiped at the end") {
    const TemporaryFolder folder;
    const int screen = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(screen != -1);
    REQUIRE(::grantpt(screen) == 0);
    REQUIRE(::unlockpt(screen) == 0);
    const std::string terminal = ::ptsname(screen);
    // Open here too, so that what was written is still there when the program has ended.
    const int kept = ::open(terminal.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);

    CHECK(
        run(folder, folder.file("access.log", odd_log()) + " --chunk 64 2>" + terminal).exit_code ==
        0);

    std::string shown;
    ::pollfd more{screen, POLLIN, 0};
    char c = 0;
    while (!shown.ends_with("\033[K") && ::poll(&more, 1, 200'000) == 1 &&
           ::read(screen, &c, 1) == 1)
        shown += c;
    CHECK(shown.starts_with("\r["));
    CHECK(shown.find("\r[" + std::string(50, '#') + "] 100 %") != std::string::npos);
    CHECK(shown.ends_with("\r\033[K"));
    ::close(kept);
    ::close(screen);
}

TEST_CASE("what can't be done is one line on standard error and exit code 2") {
    const TemporaryFolder folder;
    const std::string log = folder.file("access.log", odd_log());
    for (const std::string& arguments :
         {""s, "--fast " + log, log + " --workers none", log + " --executor gpu", log + " " + log,
          folder.path("missing.log"), folder.path(""), "--compare " + folder.path("missing.log"),
          "/dev/null"s, "--generate 1M " + folder.path("no/such/folder"), log + " >/dev/full"}) {
        CAPTURE(arguments);
        const Outcome outcome = run(folder, arguments);
        CHECK(outcome.exit_code == 2);
        CHECK(outcome.out == "");
        CHECK(outcome.err.starts_with("log_analyzer: "));
        CHECK(outcome.err.find('\n') == outcome.err.size() - 1);
    }
    CHECK(run(folder, folder.path("missing.log")).err == "log_analyzer: cannot read '" +
                                                             folder.path("missing.log") +
                                                             "': No such file or directory\n");
    CHECK(run(folder, "/").err == "log_analyzer: cannot read '/': Is a directory\n");
}

TEST_CASE("help is no error") {
    const TemporaryFolder folder;
    const Outcome outcome = run(folder, "--help");
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.out == usage);
}

TEST_CASE("compare runs all executors and finds their results identical") {
    const TemporaryFolder folder;
    const std::string path = folder.path("access.log");
    REQUIRE(run(folder, "--generate 2M " + path).exit_code == 0);
    const Outcome outcome = run(folder, "--compare " + path + " --workers 2 --chunk 100K");
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.err == "");
    for (const std::string word :
         {"inline ", "threads ", "processes ", "All results are identical.\n"})
        CHECK(outcome.out.find(word) != std::string::npos);
}

#ifndef TEST_SANITIZED
TEST_CASE("resident memory is bounded by the chunks, not the file") {
    const TemporaryFolder folder;
    const std::string path = folder.path("access.log");
    REQUIRE(run(folder, "--generate 128M " + path).exit_code == 0);
    for (const std::string executor : {"inline", "threads", "processes"})
        REQUIRE(
            run(folder, path + " --json --workers 2 --chunk 1M --executor " + executor).exit_code ==
            0);

    ::rusage children{};
    REQUIRE(::getrusage(RUSAGE_CHILDREN, &children) == 0);
    CHECK(children.ru_maxrss < 64 * 1024);  // In units of 1 KiB: the largest of all processes.
}
#endif

}  // namespace examples_log_analyzer_test
