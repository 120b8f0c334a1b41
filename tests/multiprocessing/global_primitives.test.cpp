// SPDX-License-Identifier: MIT
// ctest: concurrency
// Locks and queues that a program has at namespace scope: they are made before the guard, in workers
// and in the fork server too.
#include <doctest/doctest.h>

#include <string>

#include "support/program.hpp"

namespace multiprocessing_global_primitives_test {

TEST_CASE(
    "a lock and a queue at namespace scope work with every start method "
    "[TestNamedResource.test_global_named_resource_spawn]") {
    for (const std::string method : {"spawn", "fork", "forkserver"}) {
        CAPTURE(method);
        muster::test::Program program({std::string(TEST_PROGRAMS) + "/global_primitives", method});
        CHECK(program.line() == "pool: 3, 4");
        CHECK(program.line() == "process: 5, 6");
        // One that was started afresh has its own; copies have those of what they are copies of.
        const std::string left = method == "spawn" ? "0" : "7";
        CHECK(program.line() == "left by another process: " + left);
        CHECK(program.rest().empty());
        CHECK(program.exit_code() == 0);
    }
}

}  // namespace multiprocessing_global_primitives_test
