// SPDX-License-Identifier: MIT
// Makes a program for libFuzzer of a fuzzer: see fuzzing.hpp.
#include <fuzz/fuzzing.hpp>

#include <sanitizer/allocator_interface.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

// One run frees far less than this, so nothing freed is given out again before its end; and where
// memory came from is told by the input. ASAN_OPTIONS in the environment comes after these.
extern "C" const char* __asan_default_options() {
    return "quarantine_size_mb=16:malloc_context_size=2";
}

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    constexpr std::string_view option = "--seeds=";
    for (const std::string_view argument : std::span(*argv, static_cast<std::size_t>(*argc))) {
        if (!argument.starts_with(option)) continue;
        fuzz::Seeds seeds(argument.substr(option.size()));
        fuzz::write_seeds(seeds);
        std::exit(EXIT_SUCCESS);
    }
    (void)__sanitizer_install_malloc_and_free_hooks(
        [](const volatile void*, std::size_t size) { fuzz::allocated += size; },
        [](const volatile void*) {});
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_one(std::as_bytes(std::span(data, size)));
    return 0;
}
