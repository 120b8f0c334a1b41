// SPDX-License-Identifier: MIT
// ctest: start_methods skip=thread skip=address
// Sanitizers: their own memory and descriptors are limited, too, and they end where these run out.
// Where the system grants no more, a pool does with less or says what is missing. It never hangs,
// leaves nothing behind, and the next one works as soon as there is room.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "life_cycle/outcome.hpp"
#include "posix/descriptors.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"

namespace life_cycle_limits_test {

namespace {

using muster::ThreadPoolExecutor;
using muster::test::argument_of_program;
using muster::test::children_of;
using muster::test::open_descriptors;
using muster::test::outcome;
using muster::test::ProcessPool;
using muster::test::Program;
using muster::test::say;

/// Sets the soft limit, which may be raised again.
class Limit {
  public:
    using Resource = decltype(RLIMIT_NOFILE);
    Limit(Resource resource, ::rlim_t most) : resource_{resource} {
        ::getrlimit(resource_, &before_);
        const ::rlimit limit{most, before_.rlim_max};
        ::setrlimit(resource_, &limit);
    }
    Limit(const Limit&) = delete;
    Limit& operator=(const Limit&) = delete;
    ~Limit() { ::setrlimit(resource_, &before_); }

  private:
    Resource resource_;
    ::rlimit before_{};
};

/// The bytes of address space that this process has taken.
std::size_t address_space() {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Says each outcome that there is under the limits, then what is left, and how it goes without.
template <typename Pool>
void say_outcomes(Limit::Resource resource, const std::vector<::rlim_t>& limits) {
    const auto descriptors = open_descriptors();
    std::set<std::string> outcomes;
    for (const ::rlim_t most : limits) {
        const Limit limit(resource, most);
        outcomes.insert(outcome<Pool>());
    }
    for (const auto& each : outcomes) say(each);
    if (open_descriptors() != descriptors) say("descriptors are left");
    if (!children_of().empty()) say("processes are left");
    say("without: " + outcome<Pool>());
}

}  // namespace

TEST_CASE("program: under a limit" * doctest::skip()) {
    const std::string kind = argument_of_program();
    const auto say_all = [](Limit::Resource resource, const std::vector<::rlim_t>& limits) {
        say("threads");
        say_outcomes<ThreadPoolExecutor>(resource, limits);
        say("processes");
        say_outcomes<ProcessPool>(resource, limits);
    };
    // What is made once for all pools is made now.
    if (outcome<ThreadPoolExecutor>() != "works" || outcome<ProcessPool>() != "works") return;
    std::vector<::rlim_t> limits;
    if (kind == "descriptors") {
        for (::rlim_t most = 3; most < 64; ++most) limits.push_back(most);
        say_all(RLIMIT_NOFILE, limits);
    }
    if (kind == "processes") {
        // Root is exempt. What a program that changes its user has in /proc is root's, unless it
        // says otherwise.
        if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0)
            return say("not permitted");
        ::prctl(PR_SET_DUMPABLE, 1);
        if (::access("/proc/self/exe", X_OK) != 0) return say("not permitted");
        for (::rlim_t most = 1; most < 10; ++most) limits.push_back(most);
        say_all(RLIMIT_NPROC, limits);
    }
    if (kind == "address space") {
        const ::rlim_t now = address_space();
        for (::rlim_t more = 1; more < 1U << 20; more *= 2) limits.push_back(now + more * 65536);
        say_all(RLIMIT_AS, limits);
    }
    if (kind == "file size") {
        for (::rlim_t most = 1; most < 1U << 30; most *= 4) limits.push_back(most);
        say_all(RLIMIT_FSIZE, limits);
    }
}

TEST_CASE("a pool under any limit works or says what is missing, leaves nothing, and works later") {
    const std::map<std::string, std::string> reasons{{"descriptors", "Too many open files"},
                                                     {"processes", "temporarily unavailable"},
                                                     {"address space", "Cannot allocate memory"},
                                                     {"file size", "File too large"}};
    for (const auto& each : reasons) {
        const std::string &kind = each.first, &reason = each.second;
        CAPTURE(kind);
        Program program = Program::test_case("under a limit", kind);
        std::size_t refused = 0, without = 0;
        for (std::string line = program.line(); !line.empty(); line = program.line()) {
            if (line == "not permitted") {
                MESSAGE("this user cannot become another one, to have a limit of processes");
                refused = 1;
                without = 2;
            }
            if (line == "without: works") ++without;
            if (line.find(reason) != line.npos) ++refused;
            const bool known = line == "threads" || line == "processes" || line == "works" ||
                               line == "without: works" || line == "not permitted";
            CHECK_MESSAGE((known || line.find(reason) != line.npos), line);
        }
        CHECK(refused > 0);
        CHECK(without == 2);
        CHECK(program.exit_code() == 0);
    }
}

}  // namespace life_cycle_limits_test
