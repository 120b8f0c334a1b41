// SPDX-License-Identifier: MIT
// Gives the entry guard environments that no parent made: what the variable says, and what the
// memory that it names begins with. Only the memory's own number, and the very descriptors, make a
// process a worker.
//
//     fuzz_entry_guard --seeds=corpus && fuzz_entry_guard corpus -max_len=512 -timeout=10
//
// The first 24 bytes of an input are the first of the memory, the others are the variable.
#include <fuzz/fuzzing.hpp>

#include <muster/muster.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace fuzz {

namespace {

using namespace muster::detail;

constexpr std::size_t head_bytes = sizeof(std::uint64_t) + 16;

/// A worker's memory, under a number that the variable can say in every run.
class Memory {
  public:
    static constexpr int fd = 20;

    Memory() {
        const os::Fd made = os::anonymous_memory("fuzz-worker", result_ring_offset);
        os::check(::dup2(made.get(), fd), "dup2");
        head_ = os::Mapping::read_write(fd, 0, result_ring_offset);
    }

    void set_head(Input bytes) noexcept { std::memcpy(head_.data(), bytes.data(), bytes.size()); }

    static Memory& own() {
        static Memory& memory = *new Memory;
        return memory;
    }

  private:
    os::Mapping head_;
};

WorkerFds usual_fds() { return {3, Memory::fd, 5, 6, 7, 8}; }

std::array<std::byte, 16> nonce_in(Input head) {
    std::array<std::byte, 16> nonce{};
    std::memcpy(nonce.data(), head.data() + sizeof(std::uint64_t), nonce.size());
    return nonce;
}

}  // namespace

void fuzz_one(Input input) {
    if (input.size() < head_bytes) return;
    const Input head = input.first(head_bytes);
    Memory::own().set_head(head);
    const Input rest = input.subspan(head_bytes);
    // As an environment has it: up to the first zero.
    const std::string variable =
        std::string(reinterpret_cast<const char*>(rest.data()), rest.size()).c_str();

    const Budget budget(input.size());
    const WorkerLink link = read_worker_link(variable.c_str());
    if (!link.page) return;
    std::uint64_t magic = 0;
    std::memcpy(&magic, head.data(), sizeof magic);
    require(link.fd(Inherited::worker_memory) == Memory::fd, "the memory is the one there is");
    require(magic == protocol_magic && link.page->magic == magic, "the memory is a worker's");
    require(variable.starts_with(worker_identity(nonce_in(head), link.fds)),
            "the variable says what the memory says");
    os::check(::munmap(link.page, result_ring_offset), "munmap");
}

void write_seeds(Seeds& seeds) {
    Bytes head(head_bytes);
    std::memcpy(head.data(), &protocol_magic, sizeof protocol_magic);
    for (std::size_t i = sizeof protocol_magic; i < head.size(); ++i)
        head[i] = static_cast<std::byte>(17 * i);
    const std::string identity = worker_identity(nonce_in(head), usual_fds());
    for (const std::string& variable :
         {identity, identity + " 4711", identity.substr(0, 40), std::string(), std::string("  "),
          identity.substr(32), identity + " 99999999999999999999"}) {
        Bytes seed = head;
        const auto text = std::as_bytes(std::span(variable));
        seed.insert(seed.end(), text.begin(), text.end());
        seeds.add(seed);
    }
}

}  // namespace fuzz
