// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// What the fuzzers have in common. A fuzzer defines `fuzz_one` and `write_seeds`; main.cpp makes a
/// program of them:
///
///     fuzz_deserialize --seeds=corpus                        fills a folder with seeds, and ends
///     fuzz_deserialize corpus -max_len=4096 -timeout=10      looks for what does harm
///     fuzz_deserialize crash-0123                            does once more what did harm
namespace fuzz {

using Bytes = std::vector<std::byte>;
using Input = std::span<const std::byte>;

/// Ends the program, at which libFuzzer keeps the input, unless `holds`.
inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "fuzz: not so: %s\n", what);
    std::abort();
}

/// How many bytes this thread has allocated so far, freed ones included. Counted in main.cpp.
inline thread_local std::size_t allocated = 0;

/// Sees to it that what is done while it lives allocates no more than `size` bytes of input warrant.
///
/// An element takes at least one byte. The largest that a fuzzer knows has about 300 bytes as an
/// object, and a container that grows takes up to three times that; a smaller one in a node of its
/// own is far below that. The constant is for exceptions and what they say.
class Budget {
  public:
    explicit Budget(std::size_t size, std::size_t constant = 32768) noexcept
        : most_{allocated + constant + 1024 * size} {}
    Budget(const Budget&) = delete;
    Budget& operator=(const Budget&) = delete;
    ~Budget() { require(allocated <= most_, "no allocation is larger than the input warrants"); }

  private:
    std::size_t most_;
};

/// Hands out an input from its beginning to its end, and zeros behind that.
class Reader {
  public:
    explicit Reader(Input input) noexcept : rest_{input} {}

    [[nodiscard]] std::uint64_t number(std::size_t bytes) noexcept {
        std::uint64_t value = 0;
        for (const std::byte byte : take(bytes))
            value = value << 8 | std::to_integer<unsigned>(byte);
        return value;
    }
    /// The next bytes, or as many as there are.
    [[nodiscard]] Input take(std::size_t bytes) noexcept {
        const Input taken = rest_.first(bytes < rest_.size() ? bytes : rest_.size());
        rest_ = rest_.subspan(taken.size());
        return taken;
    }
    [[nodiscard]] bool ended() const noexcept { return rest_.empty(); }

  private:
    Input rest_;
};

/// Writes what the fuzzer begins with. What was found the last time is removed, so that the same is
/// done each time.
class Seeds {
  public:
    explicit Seeds(std::filesystem::path folder) : folder_{std::move(folder)} {
        std::filesystem::create_directories(folder_);
        for (const auto& old : std::filesystem::directory_iterator(folder_))
            if (old.is_regular_file()) std::filesystem::remove(old);
    }

    void add(Input seed) {
        std::ofstream file(folder_ / ("seed-" + std::to_string(count_++)), std::ios::binary);
        file.exceptions(std::ios::failbit | std::ios::badbit);
        file.write(reinterpret_cast<const char*>(seed.data()),
                   static_cast<std::streamsize>(seed.size()));
        file.close();
    }

  private:
    std::filesystem::path folder_;
    std::size_t count_ = 0;
};

/// Makes bytes that `accepts`, where any first part of such bytes can be told from the whole: grows
/// them by zeros and ones, of which counts and flags are. Empty if it did not come to an end.
template <typename Accepts>
Bytes grow(std::uint64_t& state, Accepts accepts) {
    Bytes bytes;
    while (bytes.size() < 300) {
        if (accepts(Input(bytes))) return bytes;
        state = state * 6364136223846793005U + 1442695040888963407U;
        bytes.push_back(static_cast<std::byte>(state >> 61 < 3 ? 1 : 0));
    }
    return {};
}

// Every fuzzer defines these two.

/// Does with the input what may do no harm.
void fuzz_one(Input input);

void write_seeds(Seeds& seeds);

}  // namespace fuzz
