// SPDX-License-Identifier: MIT
//
// Analyses a web server's access log with all cores: the file is cut into chunks, an executor
// analyses them, and their summaries are merged. The same code runs inline, on threads and on
// processes; only analyze_with() knows which.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <muster/muster.hpp>

#include "log_analyzer/chunks.hpp"
#include "log_analyzer/generator.hpp"
#include "log_analyzer/options.hpp"
#include "log_analyzer/progress_bar.hpp"
#include "log_analyzer/report.hpp"
#include "log_analyzer/summary.hpp"

using namespace log_analyzer;

/// Merges the summaries as they arrive. Only a few chunks are under way at any time.
template <muster::Executor Pool>
Summary analyze(Pool& pool, const Chunks& chunks) {
    Summary total;
    ProgressBar progress(chunks.count());
    for (const Summary& part : pool.map(analyze_chunk, chunks)) {
        total.merge(part);
        progress.advance();
    }
    return total;
}

/// Threads or processes? The only place that knows.
Summary analyze_with(std::string_view executor, std::size_t workers, const Chunks& chunks) {
    if (executor == "inline") {
        muster::InlineExecutor pool;
        return analyze(pool, chunks);
    }
    if (executor == "threads") {
        muster::ThreadPoolExecutor pool({.max_workers = workers});
        return analyze(pool, chunks);
    }
    muster::ProcessPoolExecutor pool({.max_workers = workers});
    return analyze(pool, chunks);
}

/// Reads a file once for nothing, so that the first of several analyses doesn't wait for the disk.
void warm_up(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<char> buffer(1024 * 1024);
    while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()))) {
    }
}

/// Runs all executors on the same file and prints how they did:
///
///     executor      seconds      MB/s  speed-up
///     inline          2.512     427.4      1.00
///     threads         1.298     827.2      1.94
///     processes       1.305     822.7      1.92
///     All results are identical.
///
/// False if an executor's result differs from the first one's.
bool compare(std::size_t workers, const Chunks& chunks) {
    warm_up(chunks.path());
    std::cout << "executor      seconds      MB/s  speed-up\n" << std::fixed;

    Summary expected;
    Seconds inline_time{};
    for (const std::string executor : {"inline", "threads", "processes"}) {
        const auto start = std::chrono::steady_clock::now();
        const Summary summary = analyze_with(executor, workers, chunks);
        const Seconds elapsed = std::chrono::steady_clock::now() - start;

        if (executor == "inline") {
            expected = summary;
            inline_time = elapsed;
        } else if (summary != expected) {
            std::cout << "The result of " << executor << " differs from that of inline.\n";
            return false;
        }
        std::cout << std::left << std::setw(11) << executor << std::right << std::setprecision(3)
                  << std::setw(10) << elapsed.count() << std::setprecision(1) << std::setw(10)
                  << static_cast<double>(chunks.file_size()) / 1e6 / elapsed.count()
                  << std::setprecision(2) << std::setw(10) << inline_time / elapsed << '\n';
    }
    std::cout << "All results are identical.\n";
    return true;
}

/// Does what the command line asks for, and says with which exit code to end.
int run(const Options& options) {
    if (options.action == Options::Action::help) {
        std::cout << usage;
        return 0;
    }
    if (options.action == Options::Action::generate) {
        generate_log(options.file, options.generated_size);
        return 0;
    }
    const Chunks chunks(options.file, file_size(options.file), options.chunk_size);
    const std::size_t workers =
        options.workers.value_or(muster::ThreadPoolOptions().max_workers);  // One per usable CPU.
    if (options.action == Options::Action::compare) return compare(workers, chunks) ? 0 : 1;

    const auto start = std::chrono::steady_clock::now();
    const Summary summary = analyze_with(options.executor, workers, chunks);
    const Seconds elapsed = std::chrono::steady_clock::now() - start;
    if (options.json)
        print_json(std::cout, summary);
    else
        print_report(std::cout, summary, chunks.file_size(), elapsed);
    return 0;
}

int main(int argc, char** argv) {
    muster::entry_guard();
    try {
        const int exit_code = run(parse_options({argv + 1, argv + argc}));
        if (!std::cout.flush()) throw std::runtime_error("cannot write to standard output");
        return exit_code;
    } catch (const std::exception& error) {
        std::cerr << "log_analyzer: " << error.what() << '\n';
        return 2;
    }
}
