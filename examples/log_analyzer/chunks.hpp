// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "file_window.hpp"
#include "summary.hpp"

namespace log_analyzer {

/// The work of one task: the lines whose first byte lies in [begin, end). Where it points to stays
/// in the file; only these few words travel to a worker.
struct Chunk {
    std::string path;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t file_size = 0;  ///< What a server appends after the analysis began is left out.
};

/// A file, cut into chunks of equal size. They are made while someone iterates, never all at once.
class Chunks {
  public:
    class Iterator {
      public:
        using value_type = Chunk;
        using difference_type = std::ptrdiff_t;

        Iterator() noexcept = default;
        explicit Iterator(const Chunks& chunks) noexcept : chunks_{&chunks} {}

        Chunk operator*() const {
            const std::uint64_t size = chunks_->file_size_;
            return {chunks_->path_, begin_, begin_ + std::min(chunks_->chunk_size_, size - begin_),
                    size};
        }
        Iterator& operator++() noexcept {
            begin_ += std::min(chunks_->chunk_size_, chunks_->file_size_ - begin_);
            return *this;
        }
        Iterator operator++(int) noexcept {
            Iterator before = *this;
            ++*this;
            return before;
        }
        bool operator==(const Iterator&) const noexcept = default;
        bool operator==(std::default_sentinel_t) const noexcept {
            return begin_ == chunks_->file_size_;
        }

      private:
        const Chunks* chunks_ = nullptr;
        std::uint64_t begin_ = 0;
    };

    /// Requires: `chunk_size` is not zero.
    Chunks(std::string path, std::uint64_t file_size, std::uint64_t chunk_size)
        : path_{std::move(path)}, file_size_{file_size}, chunk_size_{chunk_size} {}

    [[nodiscard]] Iterator begin() const noexcept { return Iterator{*this}; }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::uint64_t file_size() const noexcept { return file_size_; }
    [[nodiscard]] std::uint64_t count() const noexcept {
        return file_size_ / chunk_size_ + (file_size_ % chunk_size_ != 0);
    }

  private:
    std::string path_;
    std::uint64_t file_size_;
    std::uint64_t chunk_size_;
};

/// The first place in [position, limit) at which a line begins, or `limit` if there is none.
inline std::uint64_t find_line(const std::string& path, std::uint64_t position,
                               std::uint64_t limit) {
    if (position == 0) return 0;
    constexpr std::uint64_t step = 64 * 1024;
    for (std::uint64_t at = position - 1; at < limit; at += step) {
        const FileWindow window(path, at, std::min(at + step, limit));
        const std::size_t line_feed = window.text().find('\n');
        if (line_feed != std::string_view::npos) return at + line_feed + 1;
    }
    return limit;
}

/// The task: an ordinary function, whose argument and result can cross to another process.
inline Summary analyze_chunk(const Chunk& chunk) {
    const std::uint64_t begin = find_line(chunk.path, chunk.begin, chunk.end);
    if (begin == chunk.end) return {};  // In the middle of a line that is longer than the chunk.
    const std::uint64_t end = find_line(chunk.path, chunk.end, chunk.file_size);
    return summarize(FileWindow(chunk.path, begin, end).text());
}

}  // namespace log_analyzer
