// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <iostream>
#include <string>

#if __has_include(<unistd.h>)
#include <unistd.h>
#else
#include <io.h>
#endif

namespace log_analyzer {

#if __has_include(<unistd.h>)
inline bool stderr_is_terminal() noexcept { return ::isatty(2) == 1; }
#else
inline bool stderr_is_terminal() noexcept { return ::_isatty(2) != 0; }
#endif

/// Shows how much of a job is done, if standard error is a terminal; otherwise does nothing.
///
///     [##############################--------------------]  60 %
class ProgressBar {
  public:
    explicit ProgressBar(std::uint64_t total) : total_{total}, shown_{stderr_is_terminal()} {}
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    /// Wipes the bar, so that what is printed next begins on a clean line.
    ~ProgressBar() {
        if (shown_) std::cerr << "\r\033[K" << std::flush;
    }

    void advance() {
        ++done_;
        const std::uint64_t percent = 100 * done_ / total_;
        if (!shown_ || percent == percent_) return;
        percent_ = percent;

        const std::string filled(percent / 2, '#');
        const std::string empty(50 - filled.size(), '-');
        std::cerr << "\r[" << filled << empty << "] " << percent << " %" << std::flush;
    }

  private:
    std::uint64_t total_;
    std::uint64_t done_ = 0;
    std::uint64_t percent_ = 0;
    bool shown_;
};

}  // namespace log_analyzer
