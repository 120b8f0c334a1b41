// SPDX-License-Identifier: MIT
#pragma once

#include <elf.h>
#include <link.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

// What tells two builds of a program or library apart, read from its image in memory: the file may
// have been replaced since.

namespace muster::detail::posix {

/// Says which build of a module it is: equal bytes, equal code at equal offsets.
///
/// It is the linker's build id, of whatever length, or where there is none a hash of 16 bytes.
struct ModuleId {
    std::vector<std::byte> bytes = {};

    bool operator==(const ModuleId&) const = default;
};

using ProgramHeader = ElfW(Phdr);

/// The bytes of a segment as it lies in memory.
inline std::span<const std::byte> segment_bytes(std::uintptr_t base, const ProgramHeader& segment) {
    return {reinterpret_cast<const std::byte*>(base + segment.p_vaddr), segment.p_memsz};
}

/// The build id in the bytes of a note segment; empty if they hold none, or are no notes.
///
/// `alignment` is the segment's: notes are padded to 8 bytes where it is 8, else to 4.
inline ModuleId build_id_in_notes(std::span<const std::byte> notes, std::size_t alignment) {
    const std::size_t unit = alignment == 8 ? 8 : 4;
    const auto padded = [unit](std::size_t size) { return (size + unit - 1) / unit * unit; };
    ElfW(Nhdr) header;
    while (notes.size() >= sizeof header) {
        std::memcpy(&header, notes.data(), sizeof header);
        const std::size_t name = sizeof header;
        const std::size_t description = padded(name + header.n_namesz);
        const std::size_t end = description + header.n_descsz;
        if (end > notes.size() || end < description || description < name) break;
        if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 &&
            std::memcmp(notes.data() + name, "GNU", 4) == 0) {
            const auto found = notes.subspan(description, header.n_descsz);
            ModuleId id;
            id.bytes.assign(found.begin(), found.end());
            return id;
        }
        if (padded(end) >= notes.size()) break;
        notes = notes.subspan(padded(end));
    }
    return {};
}

/// The linker's build id of a loaded image; empty if it was linked without.
inline ModuleId build_id_of(std::uintptr_t base, std::span<const ProgramHeader> headers) {
    const auto is_loaded = [&](const ProgramHeader& notes) {
        for (const ProgramHeader& segment : headers) {
            if (segment.p_type == PT_LOAD && (segment.p_flags & PF_R) != 0 &&
                segment.p_vaddr <= notes.p_vaddr &&
                notes.p_vaddr + notes.p_memsz <= segment.p_vaddr + segment.p_filesz)
                return true;
        }
        return false;
    };
    for (const ProgramHeader& segment : headers) {
        if (segment.p_type != PT_NOTE || !is_loaded(segment)) continue;
        ModuleId id = build_id_in_notes(segment_bytes(base, segment), segment.p_align);
        if (!id.bytes.empty()) return id;
    }
    return {};
}

/// A hash of 128 bits that two processes of one machine agree on. Not against forgery.
class ModuleHash {
  public:
    void add(std::span<const std::byte> bytes) noexcept {
        for (; bytes.size() >= sizeof(std::uint64_t); bytes = bytes.subspan(sizeof(std::uint64_t)))
            mix(bytes.first(sizeof(std::uint64_t)));
        if (!bytes.empty()) mix(bytes);
    }

    [[nodiscard]] ModuleId id() const {
        ModuleId id{std::vector<std::byte>(sizeof one_ + sizeof other_)};
        std::memcpy(id.bytes.data(), &one_, sizeof one_);
        std::memcpy(id.bytes.data() + sizeof one_, &other_, sizeof other_);
        return id;
    }

  private:
    void mix(std::span<const std::byte> word_bytes) noexcept {
        std::uint64_t word = 0;
        std::memcpy(&word, word_bytes.data(), word_bytes.size());
        one_ = (one_ ^ word) * 0x9e3779b97f4a7c15U;
        one_ ^= one_ >> 32;
        other_ = (other_ + word) * 0xd6e8feb86659fd93U;
        other_ ^= other_ >> 29;
    }

    std::uint64_t one_ = 0x243f6a8885a308d3U;
    std::uint64_t other_ = 0x13198a2e03707344U;
};

/// Does the loader write addresses into the code of this image? Then its bytes differ from process
/// to process.
inline bool has_text_relocations(std::uintptr_t base, std::span<const ProgramHeader> headers) {
    for (const ProgramHeader& segment : headers) {
        if (segment.p_type != PT_DYNAMIC) continue;
        const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(base + segment.p_vaddr);
        for (; entry->d_tag != DT_NULL; ++entry) {
            if (entry->d_tag == DT_TEXTREL) return true;
            if (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0) return true;
        }
    }
    return false;
}

/// An identity for an image without build id: its layout, and its code where that is constant.
///
/// Complexity: reads all of the code, so it is the second choice.
inline ModuleId image_hash(std::uintptr_t base, std::span<const ProgramHeader> headers) {
    ModuleHash hash;
    hash.add(std::as_bytes(headers));
    if (!has_text_relocations(base, headers)) {
        for (const ProgramHeader& segment : headers) {
            const bool constant = (segment.p_flags & PF_X) != 0 && (segment.p_flags & PF_R) != 0 &&
                                  (segment.p_flags & PF_W) == 0;
            if (segment.p_type == PT_LOAD && constant) hash.add(segment_bytes(base, segment));
        }
    }
    return hash.id();
}

}  // namespace muster::detail::posix
