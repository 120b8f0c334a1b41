// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/fork_generation.hpp>
#include <muster/detail/posix/kept_from_copies.hpp>
#include <muster/detail/posix/memory.hpp>
#include <muster/detail/posix/syscall.hpp>

namespace muster::detail::posix {

/// Memory that programs which know nothing of each other find by its name; it goes with the last
/// process that uses it.
///
/// It is a file in /dev/shm, opened there and not by `shm_open`, which older C libraries have in a
/// library of its own. Every process that uses it holds locks of its open file on two bytes (which
/// need not exist): they end with the process, however it ends.
///
/// | byte   | is locked                                     |
/// |--------|-----------------------------------------------|
/// | door   | exclusively, while a process opens or closes  |
/// | in use | shared, as long as a process uses the memory  |
///
/// So who has the door can tell whether the memory is anybody's. If not, it is what dead processes
/// have left: it is removed and made anew, never changed in place, for copies may still map it.
///
/// A copy of the process, made by `fork`, has the memory mapped, but does not count as a user until
/// it calls `hold`: the descriptor, and with it the locks, would be the same as the original's.
/// Thread safety: all members; the bytes are the user's.
class NamedMemory {
    struct Held {
        std::uint64_t generation;  // Of which process, or copy of it, the descriptor is.
        PrivateFd fd;
        Held* before;  // What the original had: in the copy only numbers that stay taken.
    };

  public:
    /// Whether the bytes are to stay although nobody uses them. Of what dead processes have left, too.
    using Outlasts = bool (*)(std::span<std::byte> bytes) noexcept;
    /// What the user knows of the bytes. Those are called while nobody else opens or closes them.
    struct Content {
        void (*make)(std::span<std::byte> zeros);
        Outlasts outlasts;
        void (*before_use)();  ///< Before this process, or a copy of it, becomes a user.
    };

    static constexpr std::size_t longest_name = 200;

    /// Opens what other processes have made, of whichever size; else makes it with `size` bytes, if
    /// given. Names of one `kind` are apart from those of another, and so are those of users.
    ///
    /// Throws: `std::invalid_argument` for a name that no file can have. `std::system_error`: with
    ///         `ENOENT` when there is none and no size, or no /dev/shm; with `ENOSPC` when that
    ///         has no room for it now. (It is taken as the bytes are written to.)
    NamedMemory(const std::string& kind, const std::string& name, std::optional<std::size_t> size,
                Content content)
        : name_{checked(kind, name)}, path_{folder + file_name(kind, name)}, content_{content} {
        content_.before_use();
        PrivateFd fd;
        while (!fd) fd = open(size);
        held_.store(new Held{fork_generation(), std::move(fd), nullptr}, std::memory_order_release);
    }
    NamedMemory(const NamedMemory&) = delete;
    NamedMemory& operator=(const NamedMemory&) = delete;
    ~NamedMemory() {
        Held* held = held_.load(std::memory_order_acquire);
        // In a copy that has not used it there is nothing to give up.
        if (held->generation == fork_generation()) try {
                close(held->fd);
            } catch (...) {  // The system refuses to lock: who opens it next finds it unused.
            }
        while (held) delete std::exchange(held, held->before);
    }

    /// Removes what dead processes have left of a kind, where nobody uses it any more. Waits a little
    /// for who opens or closes it just now, and for nobody else.
    ///
    /// Throws: `std::system_error` when there is no /dev/shm.
    static void remove_unused(const std::string& kind, Outlasts outlasts) {
        const std::string begin = file_name(kind, "");
        const std::unique_ptr<::DIR, int (*)(::DIR*)> files(MUSTER_SYSCALL(opendir)(folder),
                                                            &::closedir);
        if (!files) throw_errno(folder);
        while (const ::dirent* const file = MUSTER_SYSCALL(readdir)(files.get())) {
            if (!std::string_view(file->d_name).starts_with(begin)) continue;
            try {
                remove_if_unused(std::string(folder) + file->d_name, outlasts);
            } catch (const std::system_error&) {  // Another user's; or the next death finds it.
            }
        }
    }

    /// Leaves it open and mapped to the end of the process.
    static void keep(std::unique_ptr<NamedMemory> memory) noexcept {
        static constinit std::atomic<NamedMemory*> kept{nullptr};
        NamedMemory* const first = memory.release();
        first->next_kept_ = kept.load(std::memory_order_relaxed);
        while (!kept.compare_exchange_weak(first->next_kept_, first, std::memory_order_relaxed))
            continue;
    }

    /// Makes sure that this process counts as a user: a copy of one does so from its first call on.
    /// False if the copy comes too late: nobody had the memory any more, and its name is free or
    /// another one's.
    ///
    /// Throws: `std::system_error`.
    [[nodiscard]] bool hold() {
        Held* held = held_.load(std::memory_order_acquire);
        const std::uint64_t generation = fork_generation();
        while (held->generation != generation) {
            PrivateFd fd = open_again();
            if (!fd) return false;
            auto fresh = std::make_unique<Held>(Held{generation, std::move(fd), held});
            if (held_.compare_exchange_strong(held, fresh.get(), std::memory_order_acq_rel))
                held = fresh.release();
        }
        return true;
    }

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_of(mapping_); }

  private:
    static constexpr const char* folder = "/dev/shm/";
    static constexpr ::off_t door = 0;
    static constexpr ::off_t in_use = 1;

    static std::string file_name(const std::string& kind, const std::string& name) {
        return "muster." + std::to_string(MUSTER_SYSCALL(geteuid)()) + "." + kind + "." + name;
    }

    static const std::string& checked(const std::string& kind, const std::string& name) {
        const auto refuse = [&](const std::string& what) {
            throw std::invalid_argument("muster: the name of a shared " + kind + " " + what);
        };
        if (name.empty()) refuse("is empty: give it at least one letter, or leave the name out");
        if (name.find('/') != name.npos) refuse("has a '/': write '.' or '-' instead");
        if (name.find('\0') != name.npos) refuse("has a zero byte: leave it out");
        if (name.size() > longest_name)
            refuse("has " + std::to_string(name.size()) + " bytes: shorten it to " +
                   std::to_string(longest_name));
        return name;
    }

    /// Behind the door. Empty when there is no such file.
    static PrivateFd enter(const std::string& path, int flags, struct ::stat& file,
                           int attempts = 0) {
        Fd raw{retry_interrupted([&] {
            return MUSTER_SYSCALL(open)(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags,
                                        0600);
        })};
        if (!raw && errno == ENOENT) return {};
        if (!raw) throw_errno(path.c_str());
        PrivateFd fd(above_stdio(std::move(raw)));
        check(MUSTER_SYSCALL(fstat)(fd.get(), &file), "fstat");
        // Everybody may write to the folder: another user could cut the file while it is used.
        if (!S_ISREG(file.st_mode) || file.st_uid != MUSTER_SYSCALL(geteuid)())
            throw_error(EACCES, path.c_str());
        lock(fd, door, F_WRLCK, attempts);
        check(MUSTER_SYSCALL(fstat)(fd.get(), &file), "fstat");
        return fd;
    }

    static Mapping map(const PrivateFd& fd, const struct ::stat& file) {
        if (file.st_size == 0) return {};
        return Mapping::read_write(fd.get(), 0, static_cast<std::size_t>(file.st_size));
    }
    static std::span<std::byte> bytes_of(const Mapping& mapping) noexcept {
        return {mapping.data(), mapping.size()};
    }

    /// Empty when what was there is gone, and another attempt is to be made.
    PrivateFd open(std::optional<std::size_t> size) {
        struct ::stat file {};
        PrivateFd fd = enter(path_, size ? O_CREAT : 0, file);
        if (!fd)
            throw std::system_error(ENOENT, std::system_category(),
                                    size ? "muster: there is no folder to make " + path_ + " in"
                                         : "muster: no running program has made " + path_);
        if (file.st_nlink == 0) return {};  // The last one closed it meanwhile.
        mapping_ = map(fd, file);
        if (!used_by_others(fd) && !content_.outlasts(bytes())) {
            if (file.st_size != 0 || !size) {
                remove(path_);
                return {};
            }
            make(fd, *size);
        }
        device_ = file.st_dev;
        inode_ = file.st_ino;
        lock(fd, in_use, F_RDLCK);
        lock(fd, door, F_UNLCK);
        return fd;
    }

    /// The very file that is mapped; empty if it has no name any more.
    PrivateFd open_again() const {
        content_.before_use();
        struct ::stat file {};
        PrivateFd fd = enter(path_, 0, file);
        // Mapped as it is, its number cannot have become another one's.
        if (!fd || file.st_nlink == 0 || file.st_dev != device_ || file.st_ino != inode_) return {};
        lock(fd, in_use, F_RDLCK);
        lock(fd, door, F_UNLCK);
        return fd;
    }

    void make(const PrivateFd& fd, std::size_t size) {
        try {
            resize(fd, size);
            mapping_ = Mapping::read_write(fd.get(), 0, size);
            content_.make(bytes());
        } catch (...) {
            remove(path_);
            throw;
        }
    }

    /// Refuses at once what the folder has no room for: to write to it would end the process.
    void resize(const PrivateFd& fd, std::size_t size) const {
        ::rlimit limit{};
        if (size > static_cast<std::size_t>(std::numeric_limits<::off_t>::max()) ||
            (MUSTER_SYSCALL(getrlimit)(RLIMIT_FSIZE, &limit) == 0 &&
             limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur))
            throw_error(EFBIG, path_.c_str());
        struct ::statvfs room {};
        check(MUSTER_SYSCALL(fstatvfs)(fd.get(), &room), "fstatvfs");
        if (room.f_blocks != 0 && size / room.f_frsize >= room.f_bavail)
            throw_error(ENOSPC, path_.c_str());
        check(retry_interrupted(
                  [&] { return MUSTER_SYSCALL(ftruncate)(fd.get(), static_cast<::off_t>(size)); }),
              path_.c_str());
    }

    void close(const PrivateFd& fd) const {
        lock(fd, door, F_WRLCK);
        struct ::stat file {};
        check(MUSTER_SYSCALL(fstat)(fd.get(), &file), "fstat");
        if (file.st_nlink != 0 && !used_by_others(fd) && !content_.outlasts(bytes())) remove(path_);
        // By hand: a copy made just when the file was opened may have the descriptor, too.
        lock(fd, in_use, F_UNLCK);
        lock(fd, door, F_UNLCK);
    }

    static void remove_if_unused(const std::string& path, Outlasts outlasts) {
        struct ::stat file {};
        // Another user's file may have a lease, for the end of which `open` would wait.
        const PrivateFd fd = enter(path, O_NONBLOCK, file, 10);
        if (!fd || file.st_nlink == 0) return;
        // What was never written to may have no room for that: to look would end this process, too.
        const Mapping mapping = file.st_blocks == 0 ? Mapping{} : map(fd, file);
        if (!used_by_others(fd) && !outlasts(bytes_of(mapping))) remove(path);
        lock(fd, door, F_UNLCK);  // By hand, as in close().
    }

    static void remove(const std::string& path) noexcept {
        (void)MUSTER_SYSCALL(unlink)(path.c_str());
    }

    static struct ::flock range(::off_t byte, short type) noexcept {
        struct ::flock one {};
        one.l_type = type;
        one.l_whence = SEEK_SET;
        one.l_start = byte;
        one.l_len = 1;
        return one;
    }
    /// Waits, or makes so many `attempts` in as many milliseconds.
    static void lock(const PrivateFd& fd, ::off_t byte, short type, int attempts = 0) {
        struct ::flock wanted = range(byte, type);
        const int command = attempts == 0 ? F_OFD_SETLKW : F_OFD_SETLK;
        for (int left = attempts;; --left) {
            const int locked = retry_interrupted(
                [&] { return MUSTER_SYSCALL(fcntl)(fd.get(), command, &wanted); });
            if (locked != -1) return;
            if (left <= 1 || (errno != EAGAIN && errno != EACCES))
                throw_errno("fcntl(F_OFD_SETLK)");
            (void)MUSTER_SYSCALL(poll)(nullptr, 0, 1);
        }
    }
    static bool used_by_others(const PrivateFd& fd) {
        struct ::flock other = range(in_use, F_WRLCK);
        check(MUSTER_SYSCALL(fcntl)(fd.get(), F_OFD_GETLK, &other), "fcntl(F_OFD_GETLK)");
        return other.l_type != F_UNLCK;
    }

    const std::string name_;
    const std::string path_;
    const Content content_;
    Mapping mapping_;
    ::dev_t device_{};
    ::ino_t inode_{};
    std::atomic<Held*> held_{nullptr};
    NamedMemory* next_kept_ = nullptr;
};

}  // namespace muster::detail::posix
