// SPDX-License-Identifier: MIT
// The embedded service as its users run it: a window that obeys lines, and a port that answers.
// What is said of its life holds for a thread and for a process, and for a program that was packed
// into one file that unpacks itself.
#include <doctest/doctest.h>

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <string>

#include "log_files.hpp"
#include "service_window.hpp"
#include "support/program.hpp"

namespace examples_embedded_service_test {

namespace {

using namespace service_window;
using muster::test::ends;
using namespace std::string_literals;

const std::string stopped = "the service has stopped";
const std::string closed = "the window is closed\n";

}  // namespace

TEST_CASE("the service answers in its thread or process, stops in time, and the port is free") {
    for (const Way& way : all_ways()) {
        CAPTURE(way);
        Window window(free_port(), way);
        CHECK(window("start") == window.answers());
        CHECK((window.service() == window.pid()) == (way.kind == "thread"));
        CHECK(get(window.port()) == hello_from(window.service()));
        CHECK(window("start") == "the service is running already");
        CHECK(window("stop") == stopped);
        CHECK(is_free(window.port()));
        CHECK(window.service() == window.pid());  // No child is left.
        CHECK(window("stop") == "the service is not running");
        CHECK(window("open") == "there is no command 'open': start, stop, restart or quit");
        CHECK(window("quit") + "\n" == closed);
        CHECK(window.close() == "");
        CHECK(window.exit_code() == 0);
        CHECK(window.errors() == "");
        CHECK(window.unpacked().empty());
    }
}

TEST_CASE("each service that starts again on the same port answers, and one main has run") {
    for (const Way& way : all_ways()) {
        CAPTURE(way);
        Window window(free_port(), way);
        REQUIRE(window("start") == window.answers());
        for (int i = 0; i < 10; ++i) {
            const Socket kept;  // Open when the service stops.
            CHECK(kept.connect(window.port()));
            CHECK(get(window.port()) == hello_from(window.service()));
            REQUIRE(window("restart") == stopped);
            REQUIRE(window.line() == window.answers());
        }
        CHECK(get(window.port()) == hello_from(window.service()));
        CHECK(window.close() == stopped + "\n" + closed);
        CHECK(window.windows() == 1);  // Of eleven services, none came past the guard.
        CHECK(window.exit_code() == 0);
        CHECK(window.errors() == "");
        CHECK(window.unpacked().empty());
        CHECK(is_free(window.port()));
    }
}

TEST_CASE(
    "the service ends with the program, however that ends, and the next has the port at once") {
    for (const Way& way : all_ways()) {
        for (const int signal : {SIGKILL, SIGTERM}) {
            CAPTURE(way);
            CAPTURE(signal);
            Window window(free_port(), way);
            REQUIRE(window("start") == window.answers());
            const Socket half_open;
            CHECK(half_open.connect(window.port()));
            CHECK(get(window.port()) == hello_from(window.service()));
            const ::pid_t service = window.service();
            REQUIRE(::kill(window.pid(), signal) == 0);
            CHECK(window.exit_code() == (way.packed ? 128 + signal : -signal));
            CHECK(ends(service));
            CHECK(window.close() == "");
            CHECK(window.windows() == 1);
            CHECK(window.unpacked().empty());

            Window next(window.port(), way);
            CHECK(next("start") == next.answers());
            CHECK(next.close() == stopped + "\n" + closed);
        }
    }
}

TEST_CASE("a taken port is said in a line, and in the exit code") {
    for (const Way& way : all_ways()) {
        CAPTURE(way);
        Window first(free_port(), way);
        REQUIRE(first("start") == first.answers());
        Window second(first.port(), way);
        CHECK(second("start") == second.taken());
        CHECK(second("restart") == second.taken());
        CHECK(second("stop") == "the service is not running");
        CHECK(get(first.port()) == hello_from(first.service()));
        CHECK(second.close() == closed);
        CHECK(second.windows() == 1);
        CHECK(second.exit_code() == 1);
        CHECK(second.errors() == "");
        CHECK(second.unpacked().empty());

        Window third(first.port(), way);
        CHECK(third("start") == third.taken());
        CHECK(first("stop") == stopped);
        CHECK(third("start") == third.answers());
        CHECK(third.close() == stopped + "\n" + closed);
        CHECK(third.exit_code() == 0);
    }
}

TEST_CASE("clients that send nothing or half a request hinder neither others nor the stop") {
    for (const std::string kind : {"thread", "process"}) {
        CAPTURE(kind);
        Window window(free_port(), {kind});
        REQUIRE(window("start") == window.answers());
        const Socket silent, half, deaf;
        for (const Socket* const socket : {&silent, &half, &deaf})
            REQUIRE(socket->connect(window.port()));
        half.send("GET / HTTP/1.1\r\nHo");
        deaf.send("GET / HTTP/1.1\r\n\r\n");  // And never reads the answer.
        CHECK(get(window.port()) == hello_from(window.service()));
        CHECK(window("stop") == stopped);
        CHECK(half.receive() == "");
        CHECK(window("start") == window.answers());
        CHECK(window.close() == stopped + "\n" + closed);
    }
}

TEST_CASE("requests in pieces, with bodies or without sense get the answer that is due") {
    Window window(free_port(), {"thread"});
    REQUIRE(window("start") == window.answers());
    const std::uint16_t port = window.port();
    const std::string hello = hello_from(window.pid());

    const Socket slow;
    REQUIRE(slow.connect(port));
    for (const char c : "GET /?q=1 HTTP/1.0\r\n\r\n"s) slow.send({c});
    CHECK(slow.receive() == hello);

    CHECK(request(port, "GET /x HTTP/1.1\r\n\r\n") == answer("404 Not Found", "there is only /\n"));
    CHECK(request(port, "POST / HTTP/1.1\r\n\r\n" + std::string(100'000, 'b')) ==
          answer("405 Method Not Allowed", "only GET and HEAD\n", "Allow: GET, HEAD\r\n"));
    CHECK(request(port, "HEAD / HTTP/1.1\r\n\r\n") == hello.substr(0, hello.find("hello")));
    for (const std::string& text : {"\r\n\r\n"s, "GET\r\n\r\n"s, "GET /\r\n\r\n"s,
                                    "GET / HTTQ/1.1\r\n\r\n"s, std::string(100'000, 'x')})
        CHECK(request(port, text) == answer("400 Bad Request", "this is no HTTP\n"));
    CHECK(window.close() == stopped + "\n" + closed);
}

TEST_CASE("wrong options are one line on standard error and exit code 2, and help is no error") {
    const TemporaryFolder folder;
    for (const std::string arguments :
         {"--fast", "start", "--in", "--in fibre", "--port", "--port none", "--port 65536",
          "--port -1", "--port 80x", "--port ''"}) {
        CAPTURE(arguments);
        Program program({"/bin/sh", "-c",
                         "exec '" EMBEDDED_SERVICE_PATH "' " + arguments + " 2>'" +
                             folder.path("errors") + "'"});
        CHECK(program.rest() == "");
        CHECK(program.exit_code() == 2);
        const std::string errors = read_file(folder.path("errors"));
        CHECK(errors.starts_with("embedded_service: "));
        CHECK(errors.find('\n') == errors.size() - 1);
    }
    Program program({EMBEDDED_SERVICE_PATH, "--help"});
    CHECK(program.rest().starts_with("usage: embedded_service "));
    CHECK(program.exit_code() == 0);
}

}  // namespace examples_embedded_service_test
