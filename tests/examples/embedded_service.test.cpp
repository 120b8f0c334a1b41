// SPDX-License-Identifier: MIT
// The embedded service as its users run it: a window that obeys lines, and a port that answers.
#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "log_files.hpp"
#include "support/program.hpp"

namespace examples_embedded_service_test {

namespace {

using log_files::read_file;
using log_files::TemporaryFolder;
using muster::test::children_of;
using muster::test::ends;
using muster::test::patience_ms;
using muster::test::Program;
using namespace std::string_literals;

/// A TCP socket on the loopback address.
class Socket {
  public:
    Socket() {
        const int yes = 1;
        ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { ::close(fd_); }

    [[nodiscard]] bool listen(std::uint16_t port) const {
        const ::sockaddr_in address = loopback(port);
        return ::bind(fd_, reinterpret_cast<const ::sockaddr*>(&address), sizeof address) == 0 &&
               ::listen(fd_, 1) == 0;
    }
    [[nodiscard]] bool connect(std::uint16_t port) const {
        const ::sockaddr_in address = loopback(port);
        return ::connect(fd_, reinterpret_cast<const ::sockaddr*>(&address), sizeof address) == 0;
    }
    void send(const std::string& text) const {
        REQUIRE(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) ==
                static_cast<::ssize_t>(text.size()));
    }
    /// All that comes until the other side closes.
    [[nodiscard]] std::string receive() const {
        std::string text;
        for (char buffer[4096];;) {
            ::pollfd more{fd_, POLLIN, 0};
            if (::poll(&more, 1, patience_ms) != 1) throw std::runtime_error("no answer");
            const ::ssize_t size = ::recv(fd_, buffer, sizeof buffer, 0);
            if (size == -1) throw std::runtime_error("the connection was reset");
            if (size == 0) return text;
            text.append(buffer, static_cast<std::size_t>(size));
        }
    }

  private:
    static ::sockaddr_in loopback(std::uint16_t port) {
        ::sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        return address;
    }

    int fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

bool is_free(std::uint16_t port) { return Socket().listen(port); }

/// Another one each time, and none that the system gives to who connects.
std::uint16_t free_port() {
    static std::uint16_t next = static_cast<std::uint16_t>(20'000 + ::getpid() % 10'000);
    while (!is_free(++next)) {
    }
    return next;
}

std::string request(std::uint16_t port, const std::string& text) {
    const Socket socket;
    REQUIRE(socket.connect(port));
    socket.send(text);
    return socket.receive();
}
std::string get(std::uint16_t port) { return request(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); }

std::string answer(const std::string& status, const std::string& body,
                   const std::string& more = "") {
    return "HTTP/1.1 " + status + "\r\nContent-Type: text/plain; charset=utf-8" +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n" +
           more + "\r\n" + body;
}
std::string hello_from(::pid_t pid) {
    return answer("200 OK", "hello from process " + std::to_string(pid) + "\n");
}

/// The program; its user is the test.
class Window {
  public:
    Window(std::uint16_t port, const std::string& kind, const std::string& file = "")
        : Window(
              port,
              file.empty() ? std::vector{EMBEDDED_SERVICE_PATH ""s} : std::vector{"/bin/sh"s, file},
              kind) {}
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;
    ~Window() { ::close(keyboard_); }

    [[nodiscard]] std::uint16_t port() const { return port_; }
    Program& program() { return program_; }

    /// The line with which it answers to a command.
    std::string operator()(const std::string& command) {
        const std::string line = command + "\n";
        REQUIRE(::write(keyboard_, line.data(), line.size()) ==
                static_cast<::ssize_t>(line.size()));
        return program_.line();
    }
    /// All that it still prints when it is closed.
    std::string close() {
        ::close(std::exchange(keyboard_, -1));
        return program_.rest();
    }
    std::string errors() { return read_file(folder_.path("errors")); }

    [[nodiscard]] std::string answers() const {
        return "the service answers at http://127.0.0.1:" + std::to_string(port_) + "/";
    }
    [[nodiscard]] std::string taken() const {
        return "port " + std::to_string(port_) + " is taken: another program listens there";
    }
    /// Where the service runs.
    ::pid_t service() {
        const auto children = children_of(std::to_string(program_.pid()));
        return children.empty() ? program_.pid() : children.front();
    }
    [[nodiscard]] const TemporaryFolder& folder() const { return folder_; }

  private:
    Window(std::uint16_t port, std::vector<std::string> command, const std::string& kind)
        : port_{port}, program_{in_shell(std::move(command), port, kind)} {
        REQUIRE(program_.line() == opened);
    }

    /// The shell opens the window's files, and becomes the program.
    std::vector<std::string> in_shell(std::vector<std::string> command, std::uint16_t port,
                                      const std::string& kind) {
        REQUIRE(::mkfifo(folder_.path("keyboard").c_str(), 0600) == 0);
        // For both, so that neither waits for the other; the program's end has only this writer.
        keyboard_ = ::open(folder_.path("keyboard").c_str(), O_RDWR | O_CLOEXEC);
        REQUIRE(keyboard_ != -1);
        std::vector<std::string> words{"/bin/sh", "-c",
                                       "export TMPDIR=\"$1\"; shift; exec \"$@\" "
                                       "<\"$TMPDIR/keyboard\" 2>\"$TMPDIR/errors\"",
                                       "sh", folder_.path("")};
        words.insert(words.end(), command.begin(), command.end());
        for (const std::string& word : {"--in"s, kind, "--port"s, std::to_string(port)})
            words.push_back(word);
        return words;
    }

    static constexpr const char* opened = "the window is open: start, stop, restart or quit?";

    std::uint16_t port_;
    TemporaryFolder folder_;
    int keyboard_ = -1;
    Program program_;
};

const std::string stopped = "the service has stopped";
const std::string closed = "the window is closed\n";

}  // namespace

TEST_CASE("the service answers in its thread or process, stops in time, and the port is free") {
    for (const std::string kind : {"thread", "process"}) {
        CAPTURE(kind);
        Window window(free_port(), kind);
        CHECK(window("start") == window.answers());
        CHECK((window.service() == window.program().pid()) == (kind == "thread"));
        CHECK(get(window.port()) == hello_from(window.service()));
        CHECK(window("start") == "the service is running already");
        CHECK(window("stop") == stopped);
        CHECK(is_free(window.port()));
        CHECK(window.service() == window.program().pid());  // No child is left.
        CHECK(window("stop") == "the service is not running");
        CHECK(window("open") == "there is no command 'open': start, stop, restart or quit");
        CHECK(window("quit") + "\n" == closed);
        CHECK(window.close() == "");
        CHECK(window.program().exit_code() == 0);
        CHECK(window.errors() == "");
    }
}

TEST_CASE("each service that starts again on the same port answers, and one main has run") {
    for (const std::string kind : {"thread", "process"}) {
        CAPTURE(kind);
        Window window(free_port(), kind);
        REQUIRE(window("start") == window.answers());
        for (int i = 0; i < 10; ++i) {
            const Socket kept;  // Open when the service stops.
            CHECK(kept.connect(window.port()));
            CHECK(get(window.port()) == hello_from(window.service()));
            REQUIRE(window("restart") == stopped);
            REQUIRE(window.program().line() == window.answers());
        }
        CHECK(get(window.port()) == hello_from(window.service()));
        CHECK(window.close() == stopped + "\n" + closed);  // No other window was opened.
        CHECK(window.program().exit_code() == 0);
        CHECK(window.errors() == "");
    }
}

TEST_CASE("the service ends with the program, however that ends, and the port is free at once") {
    for (const std::string kind : {"thread", "process"}) {
        for (const int signal : {SIGKILL, SIGTERM}) {
            CAPTURE(kind);
            CAPTURE(signal);
            Window window(free_port(), kind);
            REQUIRE(window("start") == window.answers());
            const Socket half_open;
            CHECK(half_open.connect(window.port()));
            CHECK(get(window.port()) == hello_from(window.service()));
            const ::pid_t service = window.service();
            window.program().kill(signal);
            CHECK(window.program().exit_code() != 1000);
            CHECK(ends(service));
            CHECK(is_free(window.port()));
        }
    }
}

TEST_CASE("a taken port is said in a line, and in the exit code") {
    for (const std::string kind : {"thread", "process"}) {
        CAPTURE(kind);
        Window first(free_port(), kind);
        REQUIRE(first("start") == first.answers());
        Window second(first.port(), kind);
        CHECK(second("start") == second.taken());
        CHECK(second("restart") == second.taken());
        CHECK(second("stop") == "the service is not running");
        CHECK(get(first.port()) == hello_from(first.service()));
        CHECK(second.close() == closed);
        CHECK(second.program().exit_code() == 1);
        CHECK(second.errors() == "");

        Window third(first.port(), kind);
        CHECK(third("start") == third.taken());
        CHECK(first("stop") == stopped);
        CHECK(third("start") == third.answers());
        CHECK(third.close() == stopped + "\n" + closed);
        CHECK(third.program().exit_code() == 0);
    }
}

TEST_CASE("clients that send nothing or half a request hinder neither others nor the stop") {
    for (const std::string kind : {"thread", "process"}) {
        CAPTURE(kind);
        Window window(free_port(), kind);
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
    Window window(free_port(), "thread");
    REQUIRE(window("start") == window.answers());
    const std::uint16_t port = window.port();
    const std::string hello = hello_from(window.program().pid());

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

TEST_CASE("packed into one file that unpacks itself, it serves, and starts again") {
    const TemporaryFolder folder;
    const std::string packed = folder.file("packed.sh",
                                           "folder=$(mktemp -d) || exit 1\n"
                                           "tail -n +8 \"$0\" >\"$folder/app\"\n"
                                           "chmod +x \"$folder/app\"\n"
                                           "\"$folder/app\" \"$@\"\n"
                                           "code=$?\n"
                                           "rm -rf \"$folder\"\n"
                                           "exit $code\n" +
                                               read_file(EMBEDDED_SERVICE_PATH));
    for (const std::string kind : {"thread", "process"}) {
        for (const bool deleted : {false, true}) {
            CAPTURE(kind);
            CAPTURE(deleted);
            Window window(free_port(), kind, packed);
            std::vector<std::filesystem::path> unpacked;
            for (const auto& entry : std::filesystem::directory_iterator(window.folder().path("")))
                if (entry.is_directory()) unpacked.push_back(entry);
            REQUIRE(unpacked.size() == 1);
            REQUIRE(std::filesystem::exists(unpacked[0] / "app"));
            if (deleted) std::filesystem::remove_all(unpacked[0]);

            CHECK(window("start") == window.answers());
            CHECK(get(window.port()).starts_with("HTTP/1.1 200 OK\r\n"));
            CHECK(window("restart") == stopped);
            CHECK(window.program().line() == window.answers());
            CHECK(get(window.port()).starts_with("HTTP/1.1 200 OK\r\n"));
            CHECK(window.close() == stopped + "\n" + closed);
            CHECK(window.program().exit_code() == 0);
            CHECK_FALSE(std::filesystem::exists(unpacked[0]));
            CHECK(is_free(window.port()));
            CHECK(window.errors() == "");
        }
    }
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
