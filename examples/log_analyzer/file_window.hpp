// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#if __has_include(<sys/mman.h>)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#include <fstream>
#endif

namespace log_analyzer {

/// Throws: `std::system_error` for what is no ordinary file: missing, a directory, a device.
inline std::uint64_t file_size(const std::string& path) {
    std::error_code error;
    const std::uint64_t size = std::filesystem::file_size(path, error);
    if (error) throw std::system_error(error, "cannot read '" + path + "'");
    return size;
}

#if __has_include(<sys/mman.h>)

/// An open file.
class InputFile {
  public:
    explicit InputFile(const std::string& path)
        : handle_{::open(path.c_str(), O_RDONLY | O_CLOEXEC)} {
        if (handle_ == -1)
            throw std::system_error(errno, std::generic_category(), "cannot open '" + path + "'");
    }
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;
    ~InputFile() { ::close(handle_); }

    [[nodiscard]] int handle() const noexcept { return handle_; }

  private:
    int handle_;
};

/// The bytes [begin, end) of a file, mapped into memory for as long as the object lives.
///
/// Requires: nobody cuts the file short meanwhile. The process that reads it would die of SIGBUS:
/// in a process pool that is a worker, and the task's future says so.
class FileWindow {
  public:
    /// Throws: `std::system_error` if the file can't be opened, or has become too short to map.
    FileWindow(const std::string& path, std::uint64_t begin, std::uint64_t end) {
        if (begin == end) return;  // There are no mappings of nothing.
        if (file_size(path) < end)
            throw std::system_error(std::make_error_code(std::errc::io_error),
                                    "'" + path + "' was cut short while it was read");

        const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        const std::uint64_t margin = begin % page;  // A mapping begins where a page does.
        const auto length = static_cast<std::size_t>(end - begin + margin);
        const InputFile file(path);
        void* mapping = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, file.handle(),
                               static_cast<::off_t>(begin - margin));
        if (mapping == MAP_FAILED)
            throw std::system_error(errno, std::generic_category(), "cannot map '" + path + "'");

        mapping_ = mapping;
        mapped_bytes_ = length;
        text_ = {static_cast<const char*>(mapping) + margin, length - margin};
    }
    FileWindow(const FileWindow&) = delete;
    FileWindow& operator=(const FileWindow&) = delete;
    ~FileWindow() {
        if (mapping_ != nullptr) ::munmap(mapping_, mapped_bytes_);
    }

    [[nodiscard]] std::string_view text() const noexcept { return text_; }

  private:
    void* mapping_ = nullptr;
    std::size_t mapped_bytes_ = 0;
    std::string_view text_;
};

#else

/// The bytes [begin, end) of a file, read into memory.
class FileWindow {
  public:
    FileWindow(const std::string& path, std::uint64_t begin, std::uint64_t end)
        : bytes_(static_cast<std::size_t>(end - begin), '\0') {
        std::ifstream file(path, std::ios::binary);
        file.seekg(static_cast<std::streamoff>(begin));
        file.read(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
        if (!file)
            throw std::system_error(std::make_error_code(std::errc::io_error),
                                    "cannot read '" + path + "'");
    }
    FileWindow(const FileWindow&) = delete;
    FileWindow& operator=(const FileWindow&) = delete;

    [[nodiscard]] std::string_view text() const noexcept { return bytes_; }

  private:
    std::string bytes_;
};

#endif

}  // namespace log_analyzer
