// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace muster::detail {

// From the name of a type as a compiler has it to the name as a C++ programmer would write it.

inline bool is_word_character(char c) noexcept {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Replaces `from`, but not where it is the end of a longer word.
inline void replace_all(std::string& text, std::string_view from, std::string_view to) {
    std::string replaced;  // Not in place: a name from another process may be long.
    std::size_t kept = 0;
    std::size_t at = 0;
    while ((at = text.find(from, at)) != std::string::npos) {
        if (at > 0 && is_word_character(text[at - 1]) && is_word_character(from.front())) {
            ++at;
        } else {
            replaced.append(text, kept, at - kept).append(to);
            at += from.size();
            kept = at;
        }
    }
    replaced.append(text, kept);
    text = std::move(replaced);
}

/// Erases each `opening...>` up to the bracket that closes it: a default template argument.
inline void erase_arguments(std::string& text, std::string_view opening) {
    std::size_t at = 0;
    while ((at = text.find(opening, at)) != std::string::npos) {
        std::size_t end = at + opening.size();
        for (int depth = 1; depth > 0 && end < text.size(); ++end) {
            if (text[end] == '<') ++depth;
            if (text[end] == '>') --depth;
        }
        text.erase(at, end - at);
    }
}

/// Erases the function that a local type is a member of: `void run(int)::Failure` is `Failure`.
inline void erase_function(std::string& text) {
    std::size_t begin = 0;
    int depth = 0;
    for (std::size_t at = 0; at + 1 < text.size(); ++at) {
        const char c = text[at];
        if (c == '<' || c == '(' || c == '{') ++depth;
        if (c == '>' || c == ')' || c == '}') --depth;
        if (depth != 0 || text.compare(at, 2, "::") != 0) continue;
        std::string_view function(text.data(), at);
        for (const std::string_view suffix : {" const", " volatile", " &", " &&"})
            if (function.ends_with(suffix)) function.remove_suffix(suffix.size());
        if (function.ends_with(')')) begin = at + 2;
    }
    text.erase(0, begin);
}

/// Without what the standard library adds for its ABI: `std::ios_base::failure[abi:cxx11]` is
/// `std::ios_base::failure`. Two different types keep two different names.
inline std::string without_abi(std::string name) {
    for (const std::string_view noise :
         {"__cxx11::", "__1::", "__ndk1::", "__fs::", "[abi:cxx11]", "class ", "struct ", "enum "})
        replace_all(name, noise, "");
    return name;
}

/// `std::basic_string<char, std::char_traits<char>, std::allocator<char> >` is `std::string`, and
/// `(anonymous namespace)::run()::Failure` is `Failure`.
inline std::string spelled_by_programmers(std::string name) {
    for (const std::string_view noise :
         {"(anonymous namespace)::", "`anonymous namespace'::", "`anonymous-namespace'::"})
        replace_all(name, noise, "");
    while (name.find("> >") != std::string::npos) replace_all(name, "> >", ">>");
    erase_arguments(name, ", std::char_traits<");
    erase_arguments(name, ", std::allocator<");
    replace_all(name, "std::basic_string<char>", "std::string");
    replace_all(name, "std::basic_string<wchar_t>", "std::wstring");
    replace_all(name, "std::basic_string_view<char>", "std::string_view");
    for (const std::string_view nested : {"std::_Nested_exception<", "std::__nested<"})
        if (name.starts_with(nested) && name.ends_with('>'))  // Of std::throw_with_nested().
            name = name.substr(nested.size(), name.size() - nested.size() - 1);
    erase_function(name);
    if (constexpr std::string_view suffix = " const*"; name.ends_with(suffix))
        name = "const " + name.substr(0, name.size() - suffix.size()) + "*";
    return name;
}

}  // namespace muster::detail
