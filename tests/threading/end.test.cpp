// SPDX-License-Identifier: MIT
// ctest: concurrency
// How threads end: by exceptions, with the process, or not at all. The names in brackets are those
// of the cases of CPython's test_threading.py.
#include <doctest/doctest.h>
#include <pthread.h>
#include <unistd.h>

#include <muster/thread_pool_executor.hpp>
#include <muster/threading/event.hpp>
#include <muster/threading/thread.hpp>
#include <muster/threading/timer.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "support/in_copy.hpp"

namespace threading_end_test {

namespace {

using muster::StopToken;
using muster::test::in_copy;
using muster::threading::Event;
using muster::threading::Thread;
using muster::threading::ThreadOptions;
using muster::threading::Timer;
using namespace std::chrono_literals;

// What `child` writes to stderr in a copy of this process, and its exit code.
struct Output {
    std::string text = {};
    int code = 0;
};
template <typename Child>
Output output_of(Child child) {
    std::FILE* const file = std::tmpfile();
    Output output;
    output.code = in_copy([&] {
        ::dup2(::fileno(file), 2);
        return child();
    });
    std::rewind(file);
    std::array<char, 4096> bytes{};
    output.text.assign(bytes.data(), std::fread(bytes.data(), 1, bytes.size(), file));
    std::fclose(file);
    return output;
}

}  // namespace

TEST_CASE(
    "an exception ends its thread with a line on stderr [test_print_exception, "
    "test_excepthook]") {
    const Output output = output_of([] {
        const Thread named({.name = "reader"}, [] { throw std::runtime_error("no more"); });
        named.start();
        named.join();
        const Thread other({.name = "writer"}, [] { throw 1; });
        other.start();
        other.join();
        const Timer timer{0s, [] { throw std::runtime_error("late"); }};
        timer.start();
        timer.join();
        return named.is_alive() || other.is_alive() ? 1 : 0;
    });
    CHECK(output.code == 0);
    CHECK(output.text.starts_with(
        "muster: thread 'reader' ended by an exception: no more\n"
        "muster: thread 'writer' ended by an exception: an exception that is not a "
        "std::exception\n"
        "muster: thread 'Thread-"));
    CHECK(output.text.ends_with("' ended by an exception: late\n"));
}

TEST_CASE(
    "a static thread is asked to stop and joined at the end of the program "
    "[test_join_nondaemon_on_shutdown]") {
    const Output output = output_of([] {
        static std::optional<Thread> thread;
        const Event begun;
        thread.emplace([begun](StopToken stop) {
            begun.set();
            while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
            std::this_thread::sleep_for(20ms);
            std::fputs("joined\n", stderr);
        });
        thread->start();
        begun.wait();
        return 5;
    });
    CHECK(output.code == 5);
    CHECK(output.text == "joined\n");
}

TEST_CASE("a daemon does not keep the program [test_daemon_threads_shutdown_stdout_deadlock]") {
    CHECK(in_copy([] {
              static std::optional<Thread> thread;
              const Event begun;
              thread.emplace(ThreadOptions{.daemon = true}, [begun] {
                  begun.set();
                  for (;;) std::this_thread::sleep_for(1h);
              });
              thread->start();
              begun.wait();
              return 6;
          }) == 6);
}

#ifdef __cpp_lib_jthread  // Its stop_callback is called within the request.

namespace {

/// Says so when it is asked to stop, and stays.
Thread start_daemon(const Event& asked = Event()) {
    const Event begun;
    Thread daemon({.daemon = true}, [begun, asked](StopToken stop) {
        const std::stop_callback request(stop, [&] {
            std::fputs("asked\n", stderr);
            asked.set();
        });
        begun.set();
        for (;;) std::this_thread::sleep_for(1h);
    });
    daemon.start();
    begun.wait();
    return daemon;
}

}  // namespace

TEST_CASE("exit asks the daemons to stop, wherever their handles are") {
    using Keeper = void (*)();
    for (const Keeper keep_and_exit : {
             Keeper([] {
                 const Thread on_stack = start_daemon();
                 std::exit(7);
             }),
             Keeper([] {
                 static const auto* const lost = new Thread(start_daemon());
                 std::exit(lost->is_alive() ? 7 : 1);
             }),
         }) {
        const Output output = output_of([&] {
            keep_and_exit();
            return 1;
        });
        CHECK(output.code == 7);
        CHECK(output.text == "asked\n");
    }
}

TEST_CASE("exit asks the daemons when pools have finished what they have") {
    const Output output = output_of([] {
        static auto* const pool = new muster::ThreadPoolExecutor(1);
        static const Event exiting, asked;
        pool->post([] {
            exiting.wait();
            (void)asked.wait_for(50ms);  // Not before this has finished.
            std::fputs("finished\n", stderr);
        });
        static const auto* const daemon = new Thread(start_daemon(asked));
        std::atexit([] { exiting.set(); });
        return daemon->is_alive() ? 7 : 1;
    });
    CHECK(output.code == 7);
    CHECK(output.text == "finished\nasked\n");
}

TEST_CASE("a copy of the process does not ask the daemons of the original") {
    const Output output = output_of([] {
        const Thread daemon = start_daemon();
        if (in_copy([] { return 5; }) != 5) return 1;
        std::fputs("the copy has ended\n", stderr);
        std::exit(7);
    });
    CHECK(output.code == 7);
    CHECK(output.text == "the copy has ended\nasked\n");
}

#endif

TEST_CASE("a thread that could not be started may be started later") {
    CHECK(in_copy([] {
              bool ran = false;
              const Thread thread{[&](std::unique_ptr<int> x) { ran = *x == 1; },
                                  std::make_unique<int>(1)};
              ::pthread_attr_t attributes;
              ::pthread_attr_t before;
              ::pthread_getattr_default_np(&before);
              ::pthread_attr_init(&attributes);
              ::pthread_attr_setstacksize(&attributes, std::size_t{1} << 47);  // Not to be had.
              ::pthread_setattr_default_np(&attributes);
              int refused = 0;
              for (int i = 0; i < 2; ++i) {
                  try {
                      thread.start();
                  } catch (const std::system_error&) {
                      refused += thread.is_alive() ? 0 : 1;
                  }
              }
              ::pthread_setattr_default_np(&before);
              if (refused != 2) return 1;
              thread.start();
              thread.join();
              return ran ? 0 : 2;
          }) == 0);
}

}  // namespace threading_end_test
