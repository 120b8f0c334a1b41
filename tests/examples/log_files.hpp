// SPDX-License-Identifier: MIT
// Small log files for the tests of the log analyzer.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

namespace log_files {

/// A folder of the test's own, which goes with it.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "muster-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
        path_ = name;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }

    [[nodiscard]] std::string path(const std::string& name) const { return path_ / name; }
    [[nodiscard]] std::string file(const std::string& name, const std::string& text) const {
        std::ofstream(path(name), std::ios::binary) << text;
        return path(name);
    }

  private:
    std::filesystem::path path_;
};

inline std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline constexpr std::string_view common =
    R"(10.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326)";

/// Everything that makes splitting and counting hard, in a few lines.
inline std::string odd_log() {
    const std::string line{common};
    return line + "\r\n" +  // CRLF
           "\n\r\n" +       // Two empty lines.
           "::1 - - [01/Jan/2024:00:00:00 +0000] \"GET /\\\"q\\\" HTTP/1.1\" 404 -\n" +  //
           line + " \"-\" \"" + std::string(700, 'x') + "\" 1.5\n" +  // Longer than most chunks.
           "nonsense\n" + line + " 0.25\n" + line + " \"-\" \"a broken tail\n" +
           "m\xC3\xBCller.example - - [29/Feb/2024:23:59:60 +0530] \"-\" 408 0\n" + line;
}

}  // namespace log_files
