// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/fork_generation.hpp>
#include <muster/detail/posix/kept_from_copies.hpp>
#include <muster/detail/posix/random.hpp>
#include <muster/detail/posix/syscall.hpp>

// Packets of bytes between processes of one user on one machine, who find each other by an address.

namespace muster::detail::posix {

/// Where a local socket is: a file if there is a '/' in the address; otherwise a name of this user's,
/// which the system forgets with the socket.
class LocalAddress {
  public:
    /// Throws: `std::invalid_argument` for an address that no socket can have.
    explicit LocalAddress(std::string text) : text_{std::move(text)} {
        if (text_.empty()) throw std::invalid_argument("muster: the address of a socket is empty");
        if (text_.find('\0') != text_.npos)
            throw std::invalid_argument("muster: there is a NUL in the address of a socket");
        // An abstract name begins with a NUL, and a path ends with one.
        std::string name = is_path() ? text_ + '\0' : '\0' + prefix() + text_;
        if (name.size() > sizeof address_.sun_path)
            throw std::invalid_argument(
                "muster: the address '" + text_ + "' has " + std::to_string(text_.size()) +
                " bytes; as a " + (is_path() ? "path" : "name") + " it can have " +
                std::to_string(text_.size() + sizeof address_.sun_path - name.size()));
        address_.sun_family = AF_UNIX;
        std::memcpy(address_.sun_path, name.data(), name.size());
        size_ = static_cast<::socklen_t>(offsetof(::sockaddr_un, sun_path) + name.size());
    }

    /// A name that nobody has, nor can guess.
    /// Throws: `std::system_error`.
    static LocalAddress unused() {
        constexpr std::string_view digits = "0123456789abcdef";
        std::string name;
        for (const std::byte each : random_nonce()) {
            name += digits[std::to_integer<std::size_t>(each) / 16];
            name += digits[std::to_integer<std::size_t>(each) % 16];
        }
        return LocalAddress(std::move(name));
    }

    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    [[nodiscard]] bool is_path() const noexcept { return text_.find('/') != text_.npos; }

    [[nodiscard]] const ::sockaddr* get() const noexcept {
        return reinterpret_cast<const ::sockaddr*>(&address_);
    }
    [[nodiscard]] ::socklen_t size() const noexcept { return size_; }

  private:
    static std::string prefix() {
        return "muster." + std::to_string(MUSTER_SYSCALL(geteuid)()) + '.';
    }

    std::string text_;
    ::sockaddr_un address_{};
    ::socklen_t size_ = 0;
};

/// Throws `std::system_error` that says what is wrong with the address.
[[noreturn]] inline void throw_address_error(int error, const LocalAddress& address,
                                             const char* what) {
    throw std::system_error(error, std::system_category(),
                            "muster: '" + address.text() + "': " + what);
}

inline constexpr const char* taken =
    "somebody has this address; choose another one, or end the program that has it";

/// A socket that is not connected. `flags` may be `SOCK_NONBLOCK`.
/// Throws: `std::system_error`.
inline Fd local_socket(int type, int flags = 0) {
    return above_stdio(
        Fd{check(MUSTER_SYSCALL(socket)(AF_UNIX, type | SOCK_CLOEXEC | flags, 0), "socket")});
}

/// Whether the process at the other end is this user's, or root's. Of one that listened or connected
/// and gave the socket to another, it is the former that counts.
///
/// Throws: `std::system_error`.
inline bool is_trusted_peer(int fd) {
    ::ucred peer{};
    ::socklen_t size = sizeof peer;
    check(MUSTER_SYSCALL(getsockopt)(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size),
          "getsockopt(SO_PEERCRED)");
    return peer.uid == 0 || peer.uid == MUSTER_SYSCALL(geteuid)();
}

/// A connection that was tried to be made.
struct ConnectAttempt {
    Fd socket;      ///< Empty when there is none.
    int error = 0;  ///< Why: nobody listens, or who does has no room for more.
};

/// Throws: `std::system_error`; with `EACCES` when another user listens there.
inline ConnectAttempt try_connect(const LocalAddress& address, int flags = 0) {
    Fd socket = local_socket(SOCK_SEQPACKET, flags);
    const int result = retry_interrupted(
        [&] { return MUSTER_SYSCALL(connect)(socket.get(), address.get(), address.size()); });
    if (result == -1) {
        const int error = errno;
        if (error != ENOENT && error != ECONNREFUSED && error != EAGAIN)
            throw_address_error(error, address, "cannot connect");
        return {{}, error};
    }
    if (!is_trusted_peer(socket.get()))
        throw_address_error(EACCES, address, "who listens there is another user");
    return {std::move(socket), 0};
}

/// Connects to who listens at the address. **Blocks** while that has no room for more.
///
/// Throws: `std::system_error`; with `ENOENT` or `ECONNREFUSED` when nobody listens, `EACCES` when
///         another user does.
inline Fd connect_to(const LocalAddress& address) {
    ConnectAttempt attempt = try_connect(address);
    if (!attempt.socket) throw_address_error(attempt.error, address, "nobody listens there");
    return std::move(attempt.socket);
}

/// The same, but **blocks** until somebody listens. Empty when the deadline passed first.
///
/// Throws: `std::system_error`; with `EACCES` when another user listens there.
inline Fd connect_until(const LocalAddress& address, const Deadline& deadline) {
    constexpr std::chrono::milliseconds longest_pause{16};
    // Nothing tells when a name comes into being, so this looks again and again.
    for (std::chrono::milliseconds pause{1};; pause = std::min(2 * pause, longest_pause)) {
        ConnectAttempt attempt = try_connect(address, SOCK_NONBLOCK);
        if (attempt.socket) {
            check(MUSTER_SYSCALL(fcntl)(attempt.socket.get(), F_SETFL, 0), "fcntl(F_SETFL)");
            return std::move(attempt.socket);
        }
        if (expired(deadline)) return {};
        std::this_thread::sleep_until(*earlier(deadline, Clock::now() + pause));
    }
}

/// The file that a socket made at its path, which it removes when it goes.
///
/// Not in a copy of the process made by `fork`, nor when somebody has put another file there.
class [[nodiscard("a SocketFile removes its file at once when it is dropped")]] SocketFile {
  public:
    SocketFile() = default;
    /// What a socket was just bound to. `folder` is that of the path, so that the file is found
    /// after the process has changed its directory.
    /// Throws: `std::system_error`.
    SocketFile(PrivateFd folder, std::string name)
        : folder_{std::move(folder)}, name_{std::move(name)}, generation_{fork_generation()} {
        check(status(made_), "fstatat");
    }
    SocketFile(SocketFile&& other) noexcept = default;
    SocketFile& operator=(SocketFile other) noexcept {
        std::swap(folder_, other.folder_);
        std::swap(name_, other.name_);
        std::swap(made_, other.made_);
        std::swap(generation_, other.generation_);
        return *this;
    }
    ~SocketFile() {
        if (!folder_ || generation_ != fork_generation()) return;
        // Nobody replaces it while the socket is open, whose owner has this removed first.
        struct ::stat found {};
        if (status(found) == 0 && found.st_dev == made_.st_dev && found.st_ino == made_.st_ino)
            (void)MUSTER_SYSCALL(unlinkat)(folder_.get(), name_.c_str(), 0);
    }

  private:
    int status(struct ::stat& to) const noexcept {
        return MUSTER_SYSCALL(fstatat)(folder_.get(), name_.c_str(), &to, AT_SYMLINK_NOFOLLOW);
    }

    PrivateFd folder_;
    std::string name_;
    struct ::stat made_ {};
    std::uint64_t generation_ = 0;
};

/// Whether nobody has the socket that a path leads to: the program that made it was killed.
/// Throws: `std::system_error`.
inline bool is_abandoned(const LocalAddress& address) {
    // Who has it is not disturbed by a connection of the wrong kind: the system refuses that.
    const Fd probe = local_socket(SOCK_DGRAM, SOCK_NONBLOCK);
    return MUSTER_SYSCALL(connect)(probe.get(), address.get(), address.size()) == -1 &&
           errno == ECONNREFUSED;
}

/// Locks a folder against others that would replace a socket in it.
/// Throws: `std::system_error`; when somebody has it locked for a second.
inline PrivateFd lock_folder(const PrivateFd& folder, const LocalAddress& address) {
    constexpr auto longest = std::chrono::seconds(1);
    PrivateFd own{above_stdio(Fd{check(
        MUSTER_SYSCALL(openat)(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "openat")})};
    for (const Deadline deadline = deadline_after(longest);;) {
        if (MUSTER_SYSCALL(flock)(own.get(), LOCK_EX | LOCK_NB) == 0) return own;
        if (errno != EWOULDBLOCK || expired(deadline))
            throw_address_error(errno, address, "cannot lock the folder of an old socket");
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

/// Gives a socket its path. A socket that nobody has any more is replaced.
/// Throws: `std::system_error`; with `EADDRINUSE` when there is something else.
inline SocketFile bind_path(int fd, const LocalAddress& address) {
    const std::size_t slash = address.text().rfind('/');
    const std::string parent = address.text().substr(0, std::max(slash, std::size_t{1}));
    std::string name = address.text().substr(slash + 1);
    const int raw = MUSTER_SYSCALL(open)(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (raw == -1) throw_address_error(errno, address, "cannot open its folder");
    PrivateFd folder{above_stdio(Fd{raw})};

    // The file gets the mode of the socket: nobody else can connect.
    check(MUSTER_SYSCALL(fchmod)(fd, S_IRUSR | S_IWUSR), "fchmod");
    const auto bind = [&] { return MUSTER_SYSCALL(bind)(fd, address.get(), address.size()); };
    if (bind() == -1) {
        if (errno != EADDRINUSE) throw_address_error(errno, address, "cannot make the socket");
        const PrivateFd lock = lock_folder(folder, address);
        struct ::stat found {};
        if (MUSTER_SYSCALL(fstatat)(folder.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) {
            if (!S_ISSOCK(found.st_mode))
                throw_address_error(EADDRINUSE, address,
                                    "there is a file that is no socket; choose another address");
            if (!is_abandoned(address)) throw_address_error(EADDRINUSE, address, taken);
            if (MUSTER_SYSCALL(unlinkat)(folder.get(), name.c_str(), 0) == -1 && errno != ENOENT)
                throw_address_error(errno, address, "cannot replace an old socket");
        }
        if (bind() == -1) throw_address_error(errno, address, taken);
    }
    return {std::move(folder), std::move(name)};
}

/// A socket that listens, and does not block.
struct LocalListener {
    Fd socket;
    SocketFile file;  ///< If it has one.
};

/// Listens at the address.
/// Throws: `std::system_error`; with `EADDRINUSE` when somebody else has it.
inline LocalListener listen_at(const LocalAddress& address) {
    LocalListener made{local_socket(SOCK_SEQPACKET, SOCK_NONBLOCK), {}};
    if (address.is_path())
        made.file = bind_path(made.socket.get(), address);
    else if (MUSTER_SYSCALL(bind)(made.socket.get(), address.get(), address.size()) == -1)
        throw_address_error(errno, address, taken);
    check(MUSTER_SYSCALL(listen)(made.socket.get(), SOMAXCONN), "listen");
    return made;
}

/// The next one that connects to a listening socket; empty if there is none any more.
/// Throws: `std::system_error`.
inline Fd accept_local(int fd) {
    const int raw = retry_interrupted(
        [&] { return MUSTER_SYSCALL(accept4)(fd, nullptr, nullptr, SOCK_CLOEXEC); });
    if (raw == -1 && (errno == EAGAIN || errno == ECONNABORTED)) return {};
    return above_stdio(Fd{check(raw, "accept4")});
}

}  // namespace muster::detail::posix
