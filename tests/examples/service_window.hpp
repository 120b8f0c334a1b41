// SPDX-License-Identifier: MIT
// The embedded service for the tests that use it: the program with its window, and clients.
#pragma once

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "log_files.hpp"
#include "support/program.hpp"

namespace service_window {

using log_files::read_file;
using log_files::TemporaryFolder;
using muster::test::children_of;
using muster::test::patience_ms;
using muster::test::Program;

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

inline bool is_free(std::uint16_t port) { return Socket().listen(port); }

/// Another one each time, and none that the system gives to who connects.
inline std::uint16_t free_port() {
    static std::uint16_t next = static_cast<std::uint16_t>(20'000 + ::getpid() % 10'000);
    while (!is_free(++next)) {
    }
    return next;
}

inline std::string request(std::uint16_t port, const std::string& text) {
    const Socket socket;
    REQUIRE(socket.connect(port));
    socket.send(text);
    return socket.receive();
}
inline std::string get(std::uint16_t port) {
    return request(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

inline std::string answer(const std::string& status, const std::string& body,
                          const std::string& more = "") {
    return "HTTP/1.1 " + status + "\r\nContent-Type: text/plain; charset=utf-8" +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n" +
           more + "\r\n" + body;
}
inline std::string hello_from(::pid_t pid) {
    return answer("200 OK", "hello from process " + std::to_string(pid) + "\n");
}

/// How the service is run, and in which form its program comes.
struct Way {
    std::string kind;  ///< "thread" or "process".
    bool packed = false;
    bool deleted = false;  ///< While it runs; otherwise when it has ended.
};
inline std::vector<Way> all_ways() {
    std::vector<Way> all;
    for (const std::string kind : {"thread", "process"}) {
        all.push_back({.kind = kind});
        all.push_back({.kind = kind, .packed = true});
        all.push_back({.kind = kind, .packed = true, .deleted = true});
    }
    return all;
}
inline std::ostream& operator<<(std::ostream& out, const Way& way) {
    return out << "in a " << way.kind << (way.packed ? ", packed" : "")
               << (way.deleted ? ", its folder deleted while it runs" : "");
}

/// The program; its user is the test.
class Window {
  public:
    Window(std::uint16_t port, const Way& way)
        : port_{port}, way_{way}, program_{in_shell(way.packed ? packed() : plain())} {
        REQUIRE(line() == opened);
        if (way.packed) REQUIRE(unpacked().size() == 1);
        if (way.deleted) std::filesystem::remove_all(unpacked().front());
    }
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;
    ~Window() { ::close(keyboard_); }

    [[nodiscard]] std::uint16_t port() const { return port_; }

    /// The next line that it prints.
    std::string line() {
        const std::string text = program_.line();
        printed_ += text + "\n";
        return text;
    }
    /// The line with which it answers to a command.
    std::string operator()(const std::string& command) {
        const std::string text = command + "\n";
        REQUIRE(::write(keyboard_, text.data(), text.size()) ==
                static_cast<::ssize_t>(text.size()));
        return line();
    }
    /// All that it still prints when it is closed, or has ended.
    std::string close() {
        ::close(std::exchange(keyboard_, -1));
        const std::string text = program_.rest();
        printed_ += text;
        return text;
    }
    /// When it has ended. What was packed says it as shells do.
    int exit_code() { return program_.exit_code(); }
    std::string errors() { return read_file(folder_.path("errors")); }

    /// How many a main has opened, in this process or in any other: it is the first that one does.
    [[nodiscard]] int windows() const {
        int count = 0;
        for (std::size_t at = 0; (at = printed_.find(opened, at)) != printed_.npos; ++at) ++count;
        return count;
    }
    /// The folders that packed programs have unpacked and not deleted yet.
    [[nodiscard]] std::vector<std::filesystem::path> unpacked() const {
        std::vector<std::filesystem::path> all;
        for (const auto& entry : std::filesystem::directory_iterator(folder_.path("")))
            if (entry.is_directory()) all.push_back(entry);
        return all;
    }

    [[nodiscard]] std::string answers() const {
        return "the service answers at http://127.0.0.1:" + std::to_string(port_) + "/";
    }
    [[nodiscard]] std::string taken() const {
        return "port " + std::to_string(port_) + " is taken: another program listens there";
    }
    /// The program itself, which the script has as a child.
    [[nodiscard]] ::pid_t pid() const {
        return way_.packed ? child_of(program_.pid()) : program_.pid();
    }
    /// Where the service runs.
    [[nodiscard]] ::pid_t service() const { return child_of(pid()); }

  private:
    /// The only child, or the process itself if it has none.
    static ::pid_t child_of(::pid_t pid) {
        const auto children = children_of(std::to_string(pid));
        REQUIRE(children.size() <= 1);
        return children.empty() ? pid : children.front();
    }

    static std::vector<std::string> plain() { return {EMBEDDED_SERVICE_PATH}; }

    /// One file that unpacks the program, runs it, and deletes it.
    [[nodiscard]] std::vector<std::string> packed() const {
        const std::string script =
            "folder=$(mktemp -d) || exit 1\n"
            "tail -n +8 \"$0\" >\"$folder/app\"\n"
            "chmod +x \"$folder/app\"\n"
            "\"$folder/app\" \"$@\"\n"
            "code=$?\n"
            "rm -rf \"$folder\"\n"
            "exit $code\n";
        return {"/bin/sh", folder_.file("packed.sh", script + read_file(EMBEDDED_SERVICE_PATH))};
    }

    /// The shell opens the window's files, and becomes the program.
    [[nodiscard]] std::vector<std::string> in_shell(const std::vector<std::string>& command) {
        REQUIRE(::mkfifo(folder_.path("keyboard").c_str(), 0600) == 0);
        // For both, so that neither waits for the other; the program's end has only this writer.
        keyboard_ = ::open(folder_.path("keyboard").c_str(), O_RDWR | O_CLOEXEC);
        REQUIRE(keyboard_ != -1);
        std::vector<std::string> words{"/bin/sh", "-c",
                                       "export TMPDIR=\"$1\"; shift; exec \"$@\" "
                                       "<\"$TMPDIR/keyboard\" 2>\"$TMPDIR/errors\"",
                                       "sh", folder_.path("")};
        words.insert(words.end(), command.begin(), command.end());
        const std::vector<std::string> options{"--in", way_.kind, "--port", std::to_string(port_)};
        words.insert(words.end(), options.begin(), options.end());
        return words;
    }

    static constexpr const char* opened = "the window is open: start, stop, restart or quit?";

    std::uint16_t port_;
    Way way_;
    TemporaryFolder folder_;
    int keyboard_ = -1;
    std::string printed_;
    Program program_;
};

}  // namespace service_window
