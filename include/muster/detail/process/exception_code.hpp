// SPDX-License-Identifier: MIT
#pragma once

#include <ios>
#include <system_error>

#include <muster/serialization.hpp>

namespace muster::detail {

/// The categories that are the same object in every process. The order is the format.
inline const std::error_category& known_category(unsigned index) noexcept {
    if (index == 0) return std::generic_category();
    if (index == 1) return std::system_category();
    return std::iostream_category();
}
inline constexpr unsigned known_categories = 3;

/// Writes a code. False if its category is a user's, which only its own program could rebuild.
inline bool write_code(Encoder& out, const std::error_code& code) {
    for (unsigned index = 0; index < known_categories; ++index) {
        if (code.category() != known_category(index)) continue;
        out.write_byte(index);
        detail::encode(out, code.value());
        return true;
    }
    return false;
}

inline std::error_code read_code(Decoder& in) {
    const unsigned index = in.read_byte<std::error_code>();
    if (index >= known_categories) Decoder::fail("std::error_code", "there is no such category");
    return {detail::decode<int>(in), known_category(index)};
}

}  // namespace muster::detail
