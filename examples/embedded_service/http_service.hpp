// SPDX-License-Identifier: MIT
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <muster/stop_token.hpp>

// As much of an HTTP server as the example needs; in your program, a library stands here. Whichever
// it is, two things matter to whom it is embedded in: it stops when it is asked to, whatever its
// clients do, and a port that is taken is an error.

namespace embedded_service {

using Clock = std::chrono::steady_clock;

/// Throws: `std::system_error` if the system call of that name has failed.
inline int check(int result, const char* call) {
    if (result == -1) throw std::system_error(errno, std::generic_category(), call);
    return result;
}

/// Owns one file descriptor and closes it once. An empty Fd holds -1.
class Fd {
  public:
    explicit Fd(int raw = -1) noexcept : raw_{raw} {}
    Fd(Fd&& other) noexcept : raw_{std::exchange(other.raw_, -1)} {}
    Fd& operator=(Fd other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~Fd() {
        if (raw_ != -1) ::close(raw_);
    }
    [[nodiscard]] int get() const noexcept { return raw_; }

  private:
    int raw_;
};

/// Ends a `poll` that waits for it, from another thread.
class Bell {
  public:
    Bell() {
        int ends[2] = {-1, -1};
        check(::pipe2(ends, O_CLOEXEC), "pipe2");
        out_ = Fd(ends[0]);
        in_ = Fd(ends[1]);
    }
    void ring() const noexcept { (void)!::write(in_.get(), "!", 1); }  // An empty pipe has room.
    /// Readable once it has rung.
    [[nodiscard]] int fd() const noexcept { return out_.get(); }

  private:
    Fd out_, in_;
};

/// What a path is answered with.
struct Response {
    std::string status = "200 OK";
    std::string body;
};
using Handler = Response (*)(std::string_view path);

/// The answer to a request, as it goes over the wire.
inline std::string answer(std::string_view request, Handler handler) {
    const auto compose = [](const Response& response, std::string_view more, bool with_body) {
        return "HTTP/1.1 " + response.status + "\r\nContent-Type: text/plain; charset=utf-8" +
               "\r\nContent-Length: " + std::to_string(response.body.size()) +
               "\r\nConnection: close\r\n" + std::string(more) + "\r\n" +
               (with_body ? response.body : "");
    };
    const std::string_view line = request.substr(0, request.find("\r\n"));
    const std::size_t after_method = line.find(' ');
    const std::size_t after_target = line.rfind(' ');
    if (after_method == after_target || !line.substr(after_target).starts_with(" HTTP/1."))
        return compose({"400 Bad Request", "this is no HTTP\n"}, "", true);

    const std::string_view method = line.substr(0, after_method);
    if (method != "GET" && method != "HEAD")
        return compose({"405 Method Not Allowed", "only GET and HEAD\n"}, "Allow: GET, HEAD\r\n",
                       true);
    const std::string_view target = line.substr(after_method + 1, after_target - after_method - 1);
    return compose(handler(target.substr(0, target.find('?'))), "", method == "GET");
}

/// A client: one request, and its answer. Never blocks.
///
/// | state    | waits for                    | then                   |
/// |----------|------------------------------|------------------------|
/// | reading  | the empty line after headers | writing                |
/// | writing  | room for the answer          | draining               |
/// | draining | the client to close          | over                   |
///
/// Draining, because to close a socket that has something to read tells the client to forget the
/// answer. Whatever happens, it is over after ten seconds.
class Client {
  public:
    explicit Client(Fd socket) : socket_{std::move(socket)} {}

    [[nodiscard]] int fd() const noexcept { return socket_.get(); }
    /// What to `poll` for.
    [[nodiscard]] short events() const noexcept {
        return state_ == State::writing ? POLLOUT : POLLIN;
    }
    [[nodiscard]] Clock::time_point deadline() const noexcept { return deadline_; }
    [[nodiscard]] bool is_over() const noexcept { return state_ == State::over; }

    /// Goes on, after `poll` has found it ready.
    void proceed(Handler handler) {
        if (state_ != State::writing) read(handler);
        if (state_ == State::writing) write();
    }

  private:
    enum class State { reading, writing, draining, over };
    static constexpr std::size_t longest_request = 8192;

    void read(Handler handler) {
        char buffer[4096];
        const auto size = ::recv(fd(), buffer, sizeof buffer, 0);
        if (size <= 0) {
            if (size == 0 || !would_block()) state_ = State::over;
            return;
        }
        if (state_ == State::draining) return;
        request_.append(buffer, static_cast<std::size_t>(size));
        const bool whole = request_.find("\r\n\r\n") != request_.npos;
        if (!whole && request_.size() < longest_request) return;
        unsent_ = whole ? answer(request_, handler) : answer("", handler);
        state_ = State::writing;
    }

    void write() {
        // The signal that a lost client would cause is the whole program's.
        const auto size = ::send(fd(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
        if (size == -1) {
            if (!would_block()) state_ = State::over;
            return;
        }
        unsent_.erase(0, static_cast<std::size_t>(size));
        if (!unsent_.empty()) return;
        ::shutdown(fd(), SHUT_WR);
        state_ = State::draining;
    }

    static bool would_block() noexcept {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    }

    Fd socket_;
    State state_ = State::reading;
    Clock::time_point deadline_ = Clock::now() + std::chrono::seconds(10);
    std::string request_;
    std::string unsent_;
};

/// Answers HTTP requests on the loopback address, one a connection, in the thread that calls `run`.
///
///     HttpService service(8123);
///     service.run(stop, [](std::string_view path) { return Response{.body = "hello\n"}; });
class HttpService {
  public:
    /// Listens from now on; port 0 is any that is free.
    ///
    /// Throws: `std::system_error`, with `std::errc::address_in_use` when the port is taken.
    explicit HttpService(std::uint16_t port)
        : listener_{
              check(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket")} {
        // What the last service has left closing doesn't keep the port. Never SO_REUSEPORT, with
        // which two services share it, and neither is told.
        const int yes = 1;
        check(::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes),
              "setsockopt");
        ::sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        auto* const generic = reinterpret_cast<::sockaddr*>(&address);
        ::socklen_t size = sizeof address;
        check(::bind(listener_.get(), generic, size), "bind");
        check(::listen(listener_.get(), SOMAXCONN), "listen");
        check(::getsockname(listener_.get(), generic, &size), "getsockname");
        port_ = ntohs(address.sin_port);
    }

    [[nodiscard]] std::string url() const {
        return "http://127.0.0.1:" + std::to_string(port_) + "/";
    }

    /// Serves until it is asked to stop; sleeps when there is nothing to do. Clients that are not
    /// done by then are dropped.
    ///
    /// Throws: `std::system_error` if the system cannot go on, and what the handler throws.
    void run(const muster::StopToken& stop, Handler handler) const {
        const Bell bell;
        const std::stop_callback ring(stop, [&bell] { bell.ring(); });
        std::vector<Client> clients;  // The oldest first.
        while (!stop.stop_requested()) {
            const bool room = clients.size() < most_clients;
            std::vector<::pollfd> watched{{bell.fd(), POLLIN, 0}};
            for (const Client& client : clients)
                watched.push_back({client.fd(), client.events(), 0});
            if (room) watched.push_back({listener_.get(), POLLIN, 0});
            wait_for_any(watched, clients);

            for (std::size_t i = 0; i < clients.size(); ++i)
                if (watched[i + 1].revents != 0) clients[i].proceed(handler);
            std::erase_if(clients, [now = Clock::now()](const Client& client) {
                return client.is_over() || client.deadline() <= now;
            });
            if (room && watched.back().revents != 0) accept_one(clients);
        }
    }

  private:
    static constexpr std::size_t most_clients = 100;

    /// Until one is ready, or the oldest client's time is up.
    static void wait_for_any(std::vector<::pollfd>& watched, const std::vector<Client>& clients) {
        using std::chrono::milliseconds;
        int timeout = -1;
        if (!clients.empty()) {
            const auto left = clients.front().deadline() - Clock::now();
            timeout = std::max(0, static_cast<int>(std::chrono::ceil<milliseconds>(left).count()));
        }
        if (::poll(watched.data(), watched.size(), timeout) == -1 && errno != EINTR)
            check(-1, "poll");
    }

    void accept_one(std::vector<Client>& clients) const {
        Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (socket.get() != -1)
            clients.emplace_back(std::move(socket));
        else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            check(-1, "accept4");
    }

    Fd listener_;
    std::uint16_t port_ = 0;
};

}  // namespace embedded_service
