// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <ios>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace log_analyzer {

inline void append_number(std::string& text, std::uint64_t number) {
    text += std::to_string(number);
}

/// Appends a number with leading zeros, in two digits or more.
inline void append_padded(std::string& text, std::uint64_t number) {
    if (number < 10) text += '0';
    append_number(text, number);
}

/// Random numbers that are the same ones on every platform, unlike those of standard distributions.
class Dice {
  public:
    /// At least 0, less than `limit`.
    std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }

    /// The same, where half of the numbers come from the first quarter of the range or less.
    std::uint64_t mostly_low(std::uint64_t limit) { return below(limit) * below(limit) / limit; }

    bool one_in(std::uint64_t times) { return below(times) == 0; }

    template <typename T, std::size_t count>
    const T& any(const std::array<T, count>& choices) {
        return choices[below(count)];
    }

  private:
    std::mt19937_64 engine_;
};

/// The clock of an imaginary server. By day, requests are up to four times as close as by night.
class ServerClock {
  public:
    /// So many requests take about three days.
    explicit ServerClock(std::uint64_t requests)
        : gap_{std::chrono::nanoseconds{std::chrono::days{3}} /
               static_cast<std::int64_t>(requests + 1)} {}

    /// The moment of the next request, such as `15/Jan/2025:00:00:00 +0000`.
    const std::string& next() {
        static constexpr std::array<int, 24> gaps = {7, 8, 8, 8, 8, 7, 6, 4, 3, 2, 2, 2,
                                                     3, 3, 2, 2, 2, 2, 3, 3, 3, 4, 5, 6};
        now_ += gap_ * gaps[static_cast<std::size_t>(now_ / std::chrono::hours{1} % 24)] / 4;

        const auto second = std::chrono::floor<std::chrono::seconds>(now_);
        if (second != shown_) show(second);
        return text_;
    }

  private:
    void show(std::chrono::seconds second) {
        const auto days = std::chrono::floor<std::chrono::days>(second);
        const std::chrono::hh_mm_ss time{second - days};
        shown_ = second;
        text_ = std::to_string(15 + days.count()) + "/Jan/2025:";
        append_padded(text_, static_cast<std::uint64_t>(time.hours().count()));
        text_ += ':';
        append_padded(text_, static_cast<std::uint64_t>(time.minutes().count()));
        text_ += ':';
        append_padded(text_, static_cast<std::uint64_t>(time.seconds().count()));
        text_ += " +0000";
    }

    std::chrono::nanoseconds gap_;
    std::chrono::nanoseconds now_{};  // Since the first midnight.
    std::chrono::seconds shown_{-1};
    std::string text_;
};

/// Invents the lines of an access log, the same ones each time.
///
/// Requests come from some thousand clients, a few of which are much busier than the others. Lines
/// are of all three formats; one in thousands is malformed, or has a broken tail.
class LogGenerator {
  public:
    explicit LogGenerator(std::uint64_t lines) : clock_{lines} {
        for (std::size_t client = 0; client < 4000; ++client) clients_.push_back(make_address());
    }

    void append_line(std::string& text) {
        if (dice_.one_in(20'000)) {
            text += "\x16\x03\x01 this line was cut\n";
            return;
        }
        text.append(clients_[dice_.mostly_low(clients_.size())]);
        text.append(" - - [").append(clock_.next()).append("] \"");
        text.append(dice_.any(methods)).append(dice_.any(paths));
        append_number(text, dice_.below(100'000));
        text.append(" HTTP/1.1\" ").append(dice_.any(statuses));
        append_number(text, dice_.mostly_low(100'000));

        switch (dice_.below(3)) {
            case 0:
                break;  // Common Log Format.
            case 1:
                append_combined(text);
                break;
            case 2:
                append_response_time(text);
                break;
        }
        text += '\n';
    }

  private:
    std::string make_address() {
        std::string address;
        if (dice_.one_in(20)) {
            address += "2001:db8::";
            append_number(address, dice_.below(10'000));
            return address;
        }
        for (const std::string_view separator : {"", ".", ".", "."}) {
            address += separator;
            append_number(address, 1 + dice_.below(254));
        }
        return address;
    }

    void append_combined(std::string& text) {
        text.append(" \"").append(dice_.any(referrers)).append("\" \"").append(dice_.any(agents));
        if (!dice_.one_in(10'000)) text += '"';
    }

    void append_response_time(std::string& text) {
        text += " 0.0";
        append_padded(text, dice_.mostly_low(100));
    }

    template <std::size_t count>
    using Texts = std::array<std::string_view, count>;

    static constexpr Texts<5> methods = {"GET ", "GET ", "GET ", "POST ", "HEAD "};
    static constexpr Texts<5> paths = {"/index.html?", "/api/users/", "/api/orders/", "/img/",
                                       "/search?q="};
    static constexpr Texts<10> statuses = {"200 ", "200 ", "200 ", "200 ", "200 ",
                                           "200 ", "304 ", "301 ", "404 ", "500 "};
    static constexpr Texts<3> referrers = {"-", "https://example.org/",
                                           R"(https://example.org/search?q=\"muster\")"};
    static constexpr Texts<4> agents = {
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/126.0.0.0 Safari/537.36",
        "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://example.org/bot.html)", "curl/8.5.0"};

    Dice dice_;
    ServerClock clock_;
    std::vector<std::string> clients_;
};

/// Writes a synthetic log: whole lines, of which the last one reaches `bytes`.
///
/// Throws: `std::system_error` if the file can't be written.
inline void generate_log(const std::string& path, std::uint64_t bytes) {
    constexpr std::size_t buffer_size = 1024 * 1024;
    constexpr std::uint64_t typical_line = 127;
    std::ofstream file(path, std::ios::binary);
    LogGenerator generator(bytes / typical_line);
    std::string buffer;
    for (std::uint64_t written = 0; file && written < bytes; written += buffer.size()) {
        buffer.clear();
        while (buffer.size() < buffer_size && written + buffer.size() < bytes)
            generator.append_line(buffer);
        file.write(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    }
    if (file) file.close();
    if (!file)
        throw std::system_error(errno, std::generic_category(), "cannot write '" + path + "'");
}

}  // namespace log_analyzer
