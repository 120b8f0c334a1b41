// SPDX-License-Identifier: MIT
// The parts of the log analyzer: parsing, counting, cutting into chunks, printing, inventing.
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <doctest/doctest.h>

#include "../../examples/log_analyzer/chunks.hpp"
#include "../../examples/log_analyzer/generator.hpp"
#include "../../examples/log_analyzer/json.hpp"
#include "../../examples/log_analyzer/log_line.hpp"
#include "../../examples/log_analyzer/options.hpp"
#include "../../examples/log_analyzer/report.hpp"
#include "../../examples/log_analyzer/summary.hpp"
#include "log_files.hpp"

namespace examples_log_analyzer_parts_test {

using namespace log_analyzer;
using namespace log_files;
using namespace std::string_literals;

namespace {

std::string json_of(const Summary& summary) {
    std::ostringstream out;
    print_json(out, summary);
    return out.str();
}

}  // namespace

TEST_CASE("a line of each format is parsed") {
    const auto plain = parse_log_line(common);
    REQUIRE(plain);
    CHECK(plain->address == "10.0.0.1");
    CHECK(plain->hour == 13);
    CHECK(plain->status == 200);
    CHECK(!plain->response_time);

    const auto combined = parse_log_line(std::string(common) + R"x( "http://a/" "b \"c\" (d)")x");
    REQUIRE(combined);
    CHECK(!combined->response_time);

    const auto timed = parse_log_line(
        R"(192.168.1.100 - - [15/Jan/2025:10:30:45 +0800] "GET /api/users HTTP/1.1" 200 1234 0.052)");
    REQUIRE(timed);
    CHECK(timed->response_time == Microseconds{52'000});

    const auto both = parse_log_line(std::string(common) + R"( "-" "curl" 12)");
    REQUIRE(both);
    CHECK(both->response_time == Microseconds{12'000'000});
}

TEST_CASE("addresses may be of version 6, names and non-ASCII") {
    for (const std::string address :
         {"::1", "2001:db8::8:800:200c:417a", "host.example", "m\xC3\xBC", "\xFF"}) {
        const std::string text = address + " - - [15/Jan/2025:00:00:00 +0000] \"\" 200 -";
        const auto line = parse_log_line(text);
        REQUIRE(line);
        CHECK(line->address == address);
    }
}

TEST_CASE("the request ends at the first quotation mark without a backslash of its own") {
    const auto with_request = [](const std::string& request) {
        return "a - - [15/Jan/2025:00:00:00 +0000] \"" + request + "\" 200 1";
    };
    CHECK(parse_log_line(with_request("")));
    CHECK(parse_log_line(with_request(R"(GET /\"x\" HTTP/1.1)")));
    CHECK(parse_log_line(with_request(R"(GET /\\)")));
    CHECK(!parse_log_line(with_request(R"(GET /\)")));
    CHECK(!parse_log_line(with_request(R"(GET /\\\)")));
    CHECK(!parse_log_line(with_request(R"(GET "x)")));
}

TEST_CASE("what lacks a field is malformed") {
    const auto replaced = [](const std::string& part, const std::string& by) {
        std::string text{common};
        return text.replace(text.find(part), part.size(), by);
    };
    REQUIRE(parse_log_line(replaced("GET", "PUT")));
    CHECK(!parse_log_line("word"));
    CHECK(!parse_log_line(replaced("10.0.0.1", "")));
    CHECK(!parse_log_line(replaced("[", "")));
    CHECK(!parse_log_line(replaced("]", "")));
    CHECK(!parse_log_line(replaced("\"GET", "GET")));
    CHECK(!parse_log_line(replaced(" 200", " 20")));
    CHECK(!parse_log_line(replaced(" 200", " 2000")));
    CHECK(!parse_log_line(replaced(" 200", " 2x0")));
    CHECK(!parse_log_line(replaced(" 2326", "")));
    CHECK(!parse_log_line(replaced("2326", "")));
    CHECK(!parse_log_line(replaced("2326", "12k")));
    CHECK(!parse_log_line(replaced("2326", "-1")));
    for (std::size_t length = 0; length < common.size() - 4; ++length)
        CHECK(!parse_log_line(common.substr(0, length)));
}

TEST_CASE("a time stamp that no clock shows is malformed") {
    const auto at = [](const std::string& time) {
        return parse_log_line("a - - [" + time + "] \"GET /\" 200 1");
    };
    CHECK(at("29/Feb/2024:23:59:60 +1400"));
    CHECK(!at("29/Feb/2023:23:59:59 +0000"));
    CHECK(!at("00/Jan/2024:00:00:00 +0000"));
    CHECK(!at("31/Apr/2024:00:00:00 +0000"));
    CHECK(!at("01/anF/2024:00:00:00 +0000"));
    CHECK(!at("01/jan/2024:00:00:00 +0000"));
    CHECK(!at("01/Jan/2024:24:00:00 +0000"));
    CHECK(!at("01/Jan/2024:00:60:00 +0000"));
    CHECK(!at("01/Jan/2024:00:00:61 +0000"));
    CHECK(!at("01/Jan/2024:00:00:00 +00"));
    CHECK(!at("01/Jan/2024:00:00:00 0000"));
    CHECK(!at("01/Jan/2024:00:00:00 +0060"));
    CHECK(!at("01/Jan/2024 00:00:00 +0000"));
}

TEST_CASE("a broken tail makes no line malformed, but has no response time") {
    for (const std::string tail :
         {" ", " x", " \"-\"", " \"-\" \"cut", " \"-\" 0.1", " 1.", " .5", " 0.1x", " 0.1 0.2",
          " -1", " \"-\" \"-\" ", " \"-\" \"-\" \"0.1\"", " 1234567890"}) {
        CAPTURE(tail);
        const auto line = parse_log_line(std::string(common) + tail);
        REQUIRE(line);
        CHECK(!line->response_time);
    }
}

TEST_CASE("response times are whole microseconds") {
    const auto time = [](const std::string& text) {
        return parse_log_line(std::string(common) + ' ' + text)->response_time;
    };
    CHECK(time("0") == Microseconds{0});
    CHECK(time("0.5") == Microseconds{500'000});
    CHECK(time("1.000001") == Microseconds{1'000'001});
    CHECK(time("0.1234567890123456789012345") == Microseconds{123'456});
    CHECK(time("999999999.9") == Microseconds{999'999'999'900'000});
}

TEST_CASE("a summary counts lines, not empty ones, and malformed ones apart") {
    const Summary summary = summarize(odd_log());
    CHECK(summary.lines == 8);
    CHECK(summary.malformed == 1);
    CHECK(summary.hourly[13] == 5);
    CHECK(summary.hourly[0] == 1);
    CHECK(summary.hourly[23] == 1);
    CHECK(status_codes(summary) == std::vector<Count>{{"200", 5}, {"404", 1}, {"408", 1}});
    CHECK(summary.addresses.size() == 3);
    CHECK(summary.addresses.at("10.0.0.1") == 5);
    CHECK(summary.timed == 2);
    CHECK(summary.response_time == Microseconds{1'750'000});
}

TEST_CASE("a file gives the same summary however it is cut into chunks") {
    const TemporaryFolder folder;
    for (const std::string& text :
         {odd_log(), odd_log() + "\n", "\n\n\n"s, "x"s, std::string(500, 'x')}) {
        const std::string path = folder.file("access.log", text);
        const Summary expected = summarize(text);
        for (std::uint64_t chunk_size = 1; chunk_size <= text.size() + 1;
             chunk_size += chunk_size / 16 + 1) {
            const Chunks chunks(path, text.size(), chunk_size);
            Summary total;
            std::uint64_t count = 0;
            for (const Chunk& chunk : chunks) {
                total.merge(analyze_chunk(chunk));
                ++count;
            }
            CAPTURE(chunk_size);
            CHECK(total == expected);
            CHECK(count == chunks.count());
        }
    }
}

TEST_CASE("lines that are longer than a page and a chunk are found once") {
    const TemporaryFolder folder;
    const std::string long_line =
        std::string(common) + " \"-\" \"" + std::string(300'000, 'x') + "\" 2\n";
    const std::string text = long_line + std::string(common) + "\n" + long_line;
    const std::string path = folder.file("access.log", text);
    for (const std::uint64_t chunk_size : {1'000u, 4'096u, 65'536u, 70'000u, 1'000'000u}) {
        Summary total;
        for (const Chunk& chunk : Chunks(path, text.size(), chunk_size))
            total.merge(analyze_chunk(chunk));
        CHECK(total == summarize(text));
        CHECK(total.timed == 2);
    }
}

TEST_CASE("what is appended after the analysis began is left out") {
    const TemporaryFolder folder;
    const std::string text = std::string(common) + "\n" + std::string(common);
    const std::string path =
        folder.file("access.log", text + " 0.1\n" + std::string(common) + "\n");
    Summary total;
    for (const Chunk& chunk : Chunks(path, text.size(), 50)) total.merge(analyze_chunk(chunk));
    CHECK(total == summarize(text));
}

TEST_CASE("a file that has become shorter is an error, not a crash") {
    const TemporaryFolder folder;
    const std::string path = folder.file("access.log", std::string(common));
    CHECK_THROWS_AS((void)analyze_chunk({path, 0, 1000, 1000}), std::system_error);
    CHECK_THROWS_AS((void)analyze_chunk({path, 5000, 6000, 6000}), std::system_error);
}

TEST_CASE("JSON has the ten busiest addresses, equally busy ones in byte order") {
    Summary summary;
    for (const std::string address :
         {"b", "a", "\xC3\xA4", "c", "d", "e", "f", "g", "h", "i", "B", "z"})
        summary.addresses[address] = address == "z" ? 2 : 1;
    const std::string json = json_of(summary);
    CHECK(json.find(R"("top_ips": [["z", 2], ["B", 1], ["a", 1], ["b", 1], ["c", 1], ["d", 1], )"
                    R"(["e", 1], ["f", 1], ["g", 1], ["h", 1]])") != std::string::npos);
}

TEST_CASE("JSON is one object in one line") {
    Summary summary;
    summary.lines = 3;
    summary.malformed = 1;
    summary.hourly[23] = 2;
    summary.statuses[7] = 1;
    summary.statuses[200] = 1;
    summary.addresses = {{"::1", 2}};
    const std::string before =
        R"({"lines": 3, "malformed": 1, "hourly": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, )"
        R"(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], "status": {"007": 1, "200": 1}, )"
        R"("top_ips": [["::1", 2]], "average_response_time": )";
    CHECK(json_of(summary) == before + "null}\n");
    summary.timed = 2;
    summary.response_time = Microseconds{105'000};
    CHECK(json_of(summary) == before + "0.0525}\n");
}

TEST_CASE("JSON strings are valid whatever the bytes are") {
    CHECK(json_string("a\"b\\c") == R"("a\"b\\c")");
    CHECK(json_string("\x01\x1F\x7F"s + '\0') == "\"\\u0001\\u001f\x7F\\u0000\"");
    CHECK(json_string("\xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80") ==
          "\"\xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80\"");
    CHECK(json_string("\xFF") == R"("\u00ff")");
    CHECK(json_string("\xC3") == R"("\u00c3")");                                // Cut short.
    CHECK(json_string("\xC0\xAF") == R"("\u00c0\u00af")");                      // Overlong.
    CHECK(json_string("\xE0\x80\x80") == R"("\u00e0\u0080\u0080")");            // Overlong.
    CHECK(json_string("\xED\xA0\x80") == R"("\u00ed\u00a0\u0080")");            // A surrogate.
    CHECK(json_string("\xF4\x90\x80\x80") == R"("\u00f4\u0090\u0080\u0080")");  // Beyond Unicode.
}

TEST_CASE("the report has no control characters of an address") {
    Summary summary = summarize("\x1B[2J - - [15/Jan/2025:00:00:00 +0000] \"\" 200 -\n");
    std::ostringstream out;
    print_report(out, summary, 100, Seconds{1});
    CHECK(out.str().find("?[2J") != std::string::npos);
    CHECK(out.str().find('\x1B') == std::string::npos);
}

TEST_CASE("options say what is wrong with them") {
    const auto message = [](const std::vector<std::string>& arguments) {
        try {
            (void)parse_options(arguments);
        } catch (const std::invalid_argument& error) {
            return std::string(error.what());
        }
        return "accepted"s;
    };
    CHECK(message({"f"}) == "accepted");
    CHECK(message({}) == "which file? (try --help)");
    CHECK(message({"f", "g"}) == "one file at a time, not also 'g'");
    CHECK(message({"f", "--fast"}) == "there is no option '--fast' (try --help)");
    CHECK(message({"f", "--workers"}) == "--workers needs a value");
    CHECK(message({"f", "--workers", "0"}) == "--workers needs a number of at least 1, not '0'");
    CHECK(message({"f", "--workers", "-1"}) == "--workers needs a number of at least 1, not '-1'");
    CHECK(message({"f", "--chunk", "1T"}) == "--chunk needs a number of at least 1, not '1T'");
    CHECK(message({"f", "--chunk", "1KM"}) == "--chunk needs a number of at least 1, not '1KM'");
    CHECK(message({"f", "--chunk", "17179869184G"}) == "--chunk: '17179869184G' is too large");
    CHECK(message({"f", "--executor", "gpu"}) ==
          "--executor is inline, threads or processes, not 'gpu'");
    CHECK(message({"--compare", "f", "--json"}) == "--json means nothing beside --compare");
    CHECK(message({"--generate", "1", "f", "--chunk", "1"}) ==
          "--chunk means nothing beside --generate");
}

TEST_CASE("options are read in any order") {
    const Options options = parse_options(
        {"--json", "--chunk", "64K", "access.log", "--workers", "3", "--executor", "threads"});
    CHECK(options.action == Options::Action::analyze);
    CHECK(options.file == "access.log");
    CHECK(options.executor == "threads");
    CHECK(options.workers == 3u);
    CHECK(options.chunk_size == 65536);
    CHECK(options.json);
}

TEST_CASE("a generated log has whole lines of all formats and the size asked for") {
    const TemporaryFolder folder;
    generate_log(folder.path("a"), 3'000'000);
    generate_log(folder.path("b"), 3'000'000);
    const std::string text = read_file(folder.path("a"));
    CHECK(text == read_file(folder.path("b")));
    CHECK(text.size() >= 3'000'000);
    CHECK(text.size() < 3'001'000);
    CHECK(text.back() == '\n');

    const Summary summary = summarize(text);
    CHECK(summary.lines > 20'000);
    CHECK(summary.malformed < summary.lines / 1000);
    CHECK(summary.timed > summary.lines / 4);
    CHECK(summary.timed < summary.lines / 2);
    CHECK(text.find("curl/8.5.0\"\n") != std::string::npos);
    for (const std::uint64_t count : summary.hourly) CHECK(count > 0);
}

}  // namespace examples_log_analyzer_parts_test
