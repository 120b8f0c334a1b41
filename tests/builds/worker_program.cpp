// SPDX-License-Identifier: MIT
// One small user of process pools, built and started in many ways; prints "ok".
//
//     worker_program [--plugin FILE] [--executable FILE] [--expect-refusal]
//                    [--delete-self] [--rename-self] [--replace-self-by FILE] [--leave-directory]
#include "worker_library.hpp"

#include <muster/entry_guard.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/thread_pool_executor.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

namespace {

int triple(int x) { return 3 * x; }

int refuse(int) { throw std::out_of_range("no such thing"); }

void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "worker_program: failed: %s\n", what);
    std::exit(1);
}

struct Arguments {
    std::string plugin, executable, replacement;
    bool expect_refusal = false, delete_self = false, rename_self = false, leave_directory = false;
};

Arguments parse(int argc, char** argv) {
    Arguments parsed;
    const std::map<std::string, std::string*> files{{"--plugin", &parsed.plugin},
                                                    {"--executable", &parsed.executable},
                                                    {"--replace-self-by", &parsed.replacement}};
    const std::map<std::string, bool*> flags{{"--expect-refusal", &parsed.expect_refusal},
                                             {"--delete-self", &parsed.delete_self},
                                             {"--rename-self", &parsed.rename_self},
                                             {"--leave-directory", &parsed.leave_directory}};
    for (int i = 1; i < argc; ++i) {
        if (files.contains(argv[i]) && i + 1 < argc) {
            *files.at(argv[i]) = argv[i + 1];
            ++i;
        } else {
            *flags.at(argv[i]) = true;
        }
    }
    return parsed;
}

std::string own_path() {
    char path[PATH_MAX] = {};
    expect(::readlink("/proc/self/exe", path, sizeof path - 1) > 0, "reading its own path");
    return path;
}

// Changes what the file system says about this program, before its first worker starts.
void disturb(const Arguments& arguments) {
    std::string self = own_path();
    if (arguments.leave_directory) expect(::chdir("/") == 0, "chdir");
    if (arguments.delete_self) expect(::unlink(self.c_str()) == 0, "unlink");
    if (arguments.rename_self)
        expect(std::rename(self.c_str(), (self + ".renamed").c_str()) == 0, "rename");
    if (!arguments.replacement.empty())
        expect(std::rename(arguments.replacement.c_str(), self.c_str()) == 0, "replace");
}

void functions_of_every_module(muster::ProcessPoolExecutor& pool, const std::string& plugin) {
    expect(pool.submit(triple, 5).result() == 15, "a static function");
    expect(pool.submit([](int x) { return x - 1; }, 5).result() == 4, "a captureless lambda");
    expect(pool.submit(increment_in_library, 5).result() == 6, "a linked library's function");
    if (plugin.empty()) return;
    // By its name: linkers warn of dlopen in a static program, which has no plugin and comes not here.
    auto* open = reinterpret_cast<decltype(&::dlopen)>(::dlsym(RTLD_DEFAULT, "dlopen"));
    void* library = open(plugin.c_str(), RTLD_NOW);
    expect(library != nullptr, "dlopen");
    auto* answer = reinterpret_cast<int (*)(int)>(::dlsym(library, "answer"));
    expect(answer != nullptr, "dlsym");
    expect(pool.submit(answer, 1).result() == 43, "a dlopen'ed plugin's function");
}

void an_exception_comes_back(muster::ProcessPoolExecutor& pool) {
    try {
        (void)pool.submit(refuse, 1).result();
        expect(false, "an exception");
    } catch (const std::exception& error) {
        expect(std::string(error.what()) == "no such thing", "the exception's message");
    }
}

// The awaited task has not begun and the only worker waits for it: inside a library, it must still run it.
void a_library_waits_on_this_programs_pool() {
    muster::ThreadPoolExecutor pool{1};
    auto outer = pool.submit([&pool] { return wait_in_library(pool.submit(triple, 7)); });
    expect(outer.result() == 21, "waiting in a library");
}

int run(const Arguments& arguments) {
    muster::ProcessPoolOptions options{.max_workers = 1};
    if (!arguments.executable.empty()) options.executable = arguments.executable;
    muster::ProcessPoolExecutor pool(options);
    try {
        functions_of_every_module(pool, arguments.plugin);
    } catch (const muster::EntryGuardError& error) {
        if (!arguments.expect_refusal) throw;
        std::printf("refused: %s\nok\n", error.what());
        return 0;
    }
    expect(!arguments.expect_refusal, "a refusal");
    an_exception_comes_back(pool);
    a_library_waits_on_this_programs_pool();
    std::puts("ok");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    muster::entry_guard();
    try {
        Arguments arguments = parse(argc, argv);
        disturb(arguments);
        return run(arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "worker_program: %s\n", error.what());
        return 1;
    }
}
