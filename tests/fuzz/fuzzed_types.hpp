// SPDX-License-Identifier: MIT
#pragma once

#include <muster/serialization.hpp>

#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <ratio>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

/// The types that fuzz_deserialize reads: each kind that is Serializable, alone and inside others;
/// but for handles, which fuzzed_handles.hpp has.
///
/// Enums have a fixed underlying type: others may get a value that the language does not give them,
/// as deserialize() says.
namespace fuzz {

enum class Color : short { red, green = -300 };
enum Level : unsigned { low, high };
enum class Answer : bool { no, yes };

struct Empty {};

struct Plain {
    int number;
    short grid[2][3];
    std::array<std::byte, 4> bytes;
};

struct Padded {
    bool flag;
    double number;
    char16_t letter;
    const int fixed;
};

struct Tree {
    int value;
    std::vector<Tree> children;
};

struct Chain {
    std::unique_ptr<Chain> next;
};

struct Json {
    std::variant<std::monostate, bool, double, std::string, std::vector<Json>,
                 std::map<std::string, Json>>
        value;
};

struct Mixed {
    bool flag;
    std::string text;
    std::vector<bool> bits;
    std::vector<Empty> empties;
    std::map<std::string, std::optional<int>> map;
    std::variant<std::monostate, Color, std::string> variant;
    std::shared_ptr<std::deque<long>> pointer;
    std::bitset<13> bitset;
    std::pair<Answer, std::u32string> pair;
    Tree tree;
};

class Account {
  public:
    Account() = default;

  private:
    friend class muster::Access;
    template <class Archive>
    void serialize(Archive& ar) {
        ar(owner_, balance_);
        ar& history_;
    }

    std::string owner_;
    double balance_ = 0;
    std::vector<std::pair<std::string, double>> history_;
};

struct Versioned {
    template <class Archive>
    void serialize(Archive& ar, unsigned version) {
        ar& numbers;
        if (version == 0) ar& more;
    }

    std::list<int> numbers;
    std::optional<std::string> more;
};

struct Split {
    template <class Archive>
    void save(Archive& ar) const {
        ar << text.size() << text;
    }
    template <class Archive>
    void load(Archive& ar) {
        std::size_t size = 0;
        ar >> size >> text;
        // What a hook throws is its own: here the bytes are no Split.
        if (size != text.size()) throw muster::SerializationError("a Split of another size");
    }

    std::string text;
};

struct Outside {
    std::map<int, Empty> places;
};
template <class Archive>
void serialize(Archive& ar, Outside& outside) {
    ar(outside.places);
}

/// Recursion by way of a hook.
struct Hooked {
    template <class Archive>
    void serialize(Archive& ar) {
        ar(name, inner);
    }

    std::string name;
    std::vector<Hooked> inner;
};

struct Shape {
    virtual ~Shape() = default;
    [[nodiscard]] virtual int sides() const = 0;
};

/// Pointers to polymorphic classes are Serializable where these are final.
struct Polygon final : Shape {
    template <class Archive>
    void serialize(Archive& ar) {
        ar(count, names);
    }
    [[nodiscard]] int sides() const override { return count; }

    int count = 0;
    std::vector<std::string> names;
};

/// What is written from it has an order that may change on the way.
template <typename T>
struct Unordered {};

template <typename... Ts>
struct Types {};

using Scalars = Types<bool, char, signed char, unsigned char, wchar_t, char8_t, char16_t, char32_t,
                      short, unsigned, long long, float, double, std::byte, Color, Level, Answer>;

using Sequences =
    Types<std::string, std::wstring, std::u8string, std::u16string, std::u32string,
          std::vector<std::byte>, std::vector<int>, std::vector<bool>, std::vector<std::string>,
          std::vector<std::vector<std::vector<char>>>, std::vector<Empty>,
          std::vector<std::tuple<>>, std::vector<std::monostate>, std::vector<Plain>,
          std::vector<Padded>, std::vector<std::array<int, 0>>, std::vector<Color>,
          std::deque<std::string>, std::deque<std::deque<int>>, std::list<std::list<short>>,
          std::forward_list<std::string>, std::forward_list<Empty>, std::array<std::string, 3>,
          std::array<Padded, 2>, std::array<bool, 5>>;

using Associative =
    Types<std::map<int, std::string>, std::map<std::string, std::map<std::string, bool>>,
          std::multimap<short, Empty>, std::multimap<bool, std::string>, std::set<std::u16string>,
          std::set<std::set<char>>, std::set<Color>, std::multiset<std::vector<int>>,
          std::map<std::pair<int, bool>, std::vector<std::optional<int>>>,
          Unordered<std::set<double>>, Unordered<std::unordered_map<int, std::string>>,
          Unordered<std::unordered_multimap<std::string, int>>,
          Unordered<std::unordered_set<std::u32string>>, Unordered<std::unordered_multiset<char>>,
          Unordered<std::vector<std::unordered_map<char, std::unordered_set<int>>>>>;

using Composed =
    Types<std::pair<std::string, bool>, std::tuple<>,
          std::tuple<int, std::string, bool, std::vector<int>>, std::optional<bool>,
          std::optional<std::optional<std::string>>, std::vector<std::optional<std::vector<int>>>,
          std::variant<int, std::string, bool>,
          std::variant<std::monostate, std::vector<std::string>, std::map<int, int>>,
          std::monostate, std::unique_ptr<int>, std::unique_ptr<const std::string>,
          std::shared_ptr<std::vector<bool>>, std::vector<std::shared_ptr<std::string>>,
          std::unique_ptr<Polygon>, std::vector<std::shared_ptr<Polygon>>,
          std::map<int, std::unique_ptr<Mixed>>>;

using Clocked =
    Types<std::chrono::nanoseconds, std::chrono::duration<double, std::ratio<1, 3>>,
          std::chrono::system_clock::time_point, std::chrono::steady_clock::time_point,
          std::chrono::year_month_day, std::chrono::weekday_indexed,
          std::vector<std::chrono::year_month_weekday>, std::vector<std::chrono::milliseconds>,
          std::complex<float>, std::vector<std::complex<double>>, std::bitset<0>, std::bitset<13>,
          std::bitset<64>, std::vector<std::bitset<3>>, std::filesystem::path,
          std::vector<std::filesystem::path>>;

using Classes = Types<Empty, Plain, Padded, Tree, Chain, Json, Mixed, Account, Versioned, Split,
                      Outside, Hooked, Polygon, std::vector<Mixed>, std::vector<Account>,
                      std::vector<Split>, std::vector<Outside>,
                      std::variant<Json, Tree, Chain, Hooked>, std::optional<std::array<Mixed, 2>>>;

}  // namespace fuzz
