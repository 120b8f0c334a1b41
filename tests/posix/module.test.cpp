// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <muster/detail/posix/memory_map.hpp>
#include <muster/detail/posix/module.hpp>
#include <muster/detail/posix/module_id.hpp>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace posix_module_test {

using namespace muster::detail::posix;

namespace {

int global = 1;
int zeroed;
const int constant = 5;
thread_local int thread_local_variable = 1;

const void* address_of(void (*function)()) { return reinterpret_cast<const void*>(function); }
void some_function() { global = 2; }

/// A library that programs don't usually have; the first of these that the machine has.
std::string some_library() {
    for (const char* name : {"libz.so.1", "libanl.so.1", "libresolv.so.2", "libutil.so.1"}) {
        if (void* const handle = ::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
            ::dlclose(handle);
            return name;
        }
    }
    return {};
}

/// Comparable: optimising, g++ 12 warns of what a `std::set` of such vectors does.
std::string text_of(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A note as the linker writes it.
void append_note(std::vector<std::byte>& notes, std::uint32_t type, const std::string& name,
                 const std::vector<std::byte>& description, std::size_t unit) {
    const auto pad = [&] { notes.resize((notes.size() + unit - 1) / unit * unit); };
    for (const std::uint32_t word : {static_cast<std::uint32_t>(name.size() + 1),
                                     static_cast<std::uint32_t>(description.size()), type}) {
        const auto bytes = std::as_bytes(std::span{&word, 1});
        notes.insert(notes.end(), bytes.begin(), bytes.end());
    }
    const auto bytes = std::as_bytes(std::span{name.c_str(), name.size() + 1});
    notes.insert(notes.end(), bytes.begin(), bytes.end());
    pad();
    notes.insert(notes.end(), description.begin(), description.end());
    pad();
}

}  // namespace

TEST_CASE("the main program comes first, without a path, and holds its functions and variables") {
    const auto list = loaded_modules();
    REQUIRE_FALSE(list->modules.empty());
    const ModuleRef& program = list->modules.front();
    CHECK(program->path.empty());
    for (const void* address :
         {address_of(&some_function), static_cast<const void*>(&global),
          static_cast<const void*>(&zeroed), static_cast<const void*>(&constant)}) {
        const ModuleRef module = module_of(address);
        REQUIRE(module != nullptr);
        CHECK(module->base == program->base);
        CHECK(module->begin <= reinterpret_cast<std::uintptr_t>(address));
        CHECK(reinterpret_cast<std::uintptr_t>(address) < module->end);
    }
}

TEST_CASE("all other modules have absolute paths, and the kernel's own is not among them") {
    const auto list = loaded_modules();
    for (std::size_t i = 1; i < list->modules.size(); ++i) {
        CHECK(list->modules[i]->path.starts_with('/'));
        CHECK(list->modules[i]->path.find("vdso") == std::string::npos);
    }
}

TEST_CASE("heap, stack and null belong to no module") {
    const auto on_heap = std::make_unique<int>(1);
    const int on_stack = 1;
    CHECK(module_of(on_heap.get()) == nullptr);
    CHECK(module_of(&on_stack) == nullptr);
    CHECK(module_of(nullptr) == nullptr);
}

TEST_CASE("static storage is what globals lie in, and nothing else") {
    static int local_static = 0;
    const auto on_heap = std::make_unique<int>(1);
    int on_stack = 1;
    CHECK(in_static_storage(&global));
    CHECK(in_static_storage(&zeroed));
    CHECK(in_static_storage(&local_static));
    CHECK_FALSE(in_static_storage(&constant));
    CHECK_FALSE(in_static_storage(on_heap.get()));
    CHECK_FALSE(in_static_storage(&on_stack));
    CHECK_FALSE(in_static_storage(&thread_local_variable));
    CHECK_FALSE(in_static_storage(address_of(&some_function)));
    CHECK_FALSE(in_static_storage(nullptr));
}

TEST_CASE("every module is found again by its path and identity, and the identities differ") {
    std::set<std::string> identities;
    const auto list = loaded_modules();
    for (const ModuleRef& module : list->modules) {
        const ModuleId id = module->id();
        CHECK_FALSE(id.bytes.empty());
        CHECK(identities.insert(text_of(id.bytes)).second);
        CHECK(module->id() == id);
        const ModuleRef found = find_module(module->path, id);
        REQUIRE(found != nullptr);
        CHECK(found->base == module->base);
    }
}

TEST_CASE("another build at the same path is not found, the same build at another path is") {
    const ModuleRef program = module_of(&global);
    ModuleId other = program->id();
    other.bytes.front() ^= std::byte{1};
    CHECK(find_module("", other) == nullptr);
    CHECK(find_module("", {}) == nullptr);
    if (program->build_id.bytes.empty()) return;
    const ModuleRef found = find_module("/elsewhere/program", program->id());
    REQUIRE(found != nullptr);
    CHECK(found->base == program->base);
}

TEST_CASE("a library that is loaded is seen, found, and its functions belong to it") {
    const std::string name = some_library();
    if (name.empty()) return;
    const auto before = loaded_modules();
    const ModuleRef library = load_module(name);
    REQUIRE(library != nullptr);
    CHECK(library->path.ends_with(name));
    CHECK(loaded_modules() != before);
    CHECK(find_module(library->path, library->id())->base == library->base);
    CHECK(load_module(library->path)->base == library->base);
    CHECK(module_of(reinterpret_cast<const void*>(library->begin)) != nullptr);
}

TEST_CASE("a library that can't be loaded is an error that names it") {
    std::string message;
    try {
        (void)load_module("/nowhere/muster-test.so");
    } catch (const std::runtime_error& error) {
        message = error.what();
    }
    CHECK(message.find("/nowhere/muster-test.so") != message.npos);
}

TEST_CASE("as long as nothing is loaded, the same list is given") {
    CHECK(loaded_modules() == loaded_modules());
}

TEST_CASE("modules may be asked for by several threads while libraries come and go") {
    const std::string name = some_library();
    std::array<bool, 3> right{};
    std::vector<std::thread> threads;
    for (bool& result : right) {
        threads.emplace_back([&result] {
            result = true;
            for (int i = 0; i < 300; ++i) {
                const ModuleRef module = module_of(&global);
                result = result && module && module->path.empty();
            }
        });
    }
    for (int i = 0; i < 30 && !name.empty(); ++i) {
        if (void* const handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) ::dlclose(handle);
    }
    for (std::thread& thread : threads) thread.join();
    for (const bool result : right) CHECK(result);
}

TEST_CASE("a build id is found among other notes, in either padding and of any length") {
    for (const std::size_t unit : {std::size_t{4}, std::size_t{8}}) {
        for (const std::size_t length : {std::size_t{1}, std::size_t{8}, std::size_t{20}}) {
            const std::vector<std::byte> id(length, std::byte{0xab});
            std::vector<std::byte> notes;
            append_note(notes, NT_GNU_BUILD_ID, "Other", {std::byte{1}, std::byte{2}}, unit);
            append_note(notes, 5, "GNU", std::vector<std::byte>(9), unit);
            append_note(notes, NT_GNU_BUILD_ID, "GNU", id, unit);
            CHECK(build_id_in_notes(notes, unit).bytes == id);
        }
    }
}

TEST_CASE("notes that are cut short, or no notes, hold no build id and harm nobody") {
    std::vector<std::byte> notes;
    append_note(notes, NT_GNU_BUILD_ID, "GNU", std::vector<std::byte>(20, std::byte{1}), 4);
    for (std::size_t size = 0; size < notes.size(); ++size) {
        const std::vector<std::byte> cut(notes.begin(),
                                         notes.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(build_id_in_notes(cut, 4).bytes.empty());
    }
    const std::vector<std::byte> garbage(64, std::byte{0xff});
    CHECK(build_id_in_notes(garbage, 4).bytes.empty());
    CHECK(build_id_in_notes(garbage, 8).bytes.empty());
}

TEST_CASE("the hash that stands in for a build id depends on every byte and on the order") {
    const auto hash = [](const std::string& text) {
        ModuleHash sum;
        sum.add(std::as_bytes(std::span{text.data(), text.size()}));
        return text_of(sum.id().bytes);
    };
    CHECK(hash("0123456789").size() == 16);
    CHECK(hash("0123456789") == hash("0123456789"));
    std::set<std::string> all{hash(""), hash("0123456789abcdef"), hash("89abcdef01234567")};
    for (std::size_t i = 0; i < 10; ++i) {
        std::string changed = "0123456789";
        changed[i] = 'x';
        all.insert(hash(changed));
    }
    CHECK(all.size() == 13);
}

TEST_CASE("the program without its build id has an identity by its code") {
    const ModuleRef program = module_of(&global);
    const ModuleId id = image_hash(program->base, program->headers);
    CHECK(id.bytes.size() == 16);
    CHECK(image_hash(program->base, program->headers) == id);
}

TEST_CASE("the memory map tells the file at an address") {
    const MemoryMap map{
        "00400000-00401000 r--p 00000000 fe:01 12       /opt/my app/run\n"
        "00401000-00402000 r-xp 00001000 fe:01 12       /opt/gone (deleted)\n"
        "00402000-00403000 rw-p 00000000 00:00 0 \n"
        "00403000-00404000 rw-p 00000000 00:00 0        [heap]\n"
        "nonsense\n"
        "7f0000000000-7f0000001000 r--p 00000000 fe:01 9 /a\\012b"};
    CHECK(map.file_at(0x400000) == "/opt/my app/run");
    CHECK(map.file_at(0x400fff) == "/opt/my app/run");
    for (const std::uintptr_t other : {0x3fffffU, 0x401000U, 0x402000U, 0x403000U, 0x404000U})
        CHECK(map.file_at(other).empty());
    CHECK(map.file_at(0x7f0000000000) == "/a\nb");
    CHECK(MemoryMap{""}.file_at(0).empty());
}

}  // namespace posix_module_test
