// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <doctest/doctest.h>

#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace serialization_test {

namespace {

template <typename T>
T round_trip(const T& value) {
    return muster::deserialize<T>(muster::serialize(value));
}

template <typename T>
bool survives(const T& value) {
    static_assert(muster::Serializable<T>);
    return round_trip(value) == value;
}

enum class Colour : std::uint8_t { red, green = 200 };
enum Plain { plain_a, plain_b };
enum class Switch : bool { off, on };

struct Point {
    double x = 0, y = 0;
    bool operator==(const Point&) const = default;
};

struct Empty {
    bool operator==(const Empty&) const = default;
};

struct Order {
    int id;
    std::string customer;
    Point where;
    char code[4];
    int grid[2][3];
    std::string tags[2];
    std::vector<Point> path;
    std::optional<Colour> colour;
    std::variant<std::monostate, int, std::string> note;
    Empty nothing;
    bool paid;
    bool operator==(const Order&) const = default;
};

struct Constant {
    const int id;
    const std::string name;
    bool operator==(const Constant&) const = default;
};

/// Without a default, but for who reads it.
class Numbered {
  public:
    explicit Numbered(int number) : number_{number} {}
    bool operator==(const Numbered&) const = default;

  private:
    friend class muster::Access;
    Numbered() = default;
    template <class Archive>
    void serialize(Archive& ar) {
        ar(number_);
    }

    int number_ = 0;
};
struct Defaulted {
    std::string name;
    Numbered first{7};
    double weight = 0.5;
    Numbered last{8};
    std::vector<std::string> tags;
    bool operator==(const Defaulted&) const = default;
};
int referred = 0;
struct Referring {
    int& number = referred;
    int other = 1;
};
struct OnlyDefaulted {
    Numbered number{9};
    bool operator==(const OnlyDefaulted&) const = default;
};

struct MoveOnly {
    int id;
    std::unique_ptr<std::string> text;
    std::vector<std::unique_ptr<int>> numbers;
};

struct Tree {
    int value;
    std::vector<Tree> children;
    bool operator==(const Tree&) const = default;
};

struct Node {
    int value;
    std::unique_ptr<Node> next;
};

struct Even;
struct Odd {
    std::vector<Even> evens;
    std::map<std::string, Odd> odds;
};
struct Even {
    std::optional<Point> point;
    std::shared_ptr<Odd> odd;
};

struct Wide {
    int a0 = 0, a1 = 1, a2 = 2, a3 = 3, a4 = 4, a5 = 5, a6 = 6, a7 = 7;
    int b0 = 0, b1 = 1, b2 = 2, b3 = 3, b4 = 4, b5 = 5, b6 = 6, b7 = 7;
    int c0 = 0, c1 = 1, c2 = 2, c3 = 3, c4 = 4, c5 = 5, c6 = 6, c7 = 7;
    int d0 = 0, d1 = 1, d2 = 2, d3 = 3, d4 = 4, d5 = 5, d6 = 6, d7 = 7;
    std::string e0, e1, e2, e3, e4, e5, e6, e7;
    std::string f0, f1, f2, f3, f4, f5, f6, f7;
    char g0 = 0, g1 = 1, g2 = 2, g3 = 3, g4 = 4, g5 = 5, g6 = 6, g7 = 7;
    bool h0 = false, h1 = false, h2 = false, h3 = false, h4 = false, h5 = false, h6 = false;
    long h7[2] = {7, 8};
    bool operator==(const Wide&) const = default;
};

struct Descending {
    bool operator()(int a, int b) const { return a > b; }
};

struct Thrower {
    Thrower() = default;
    Thrower(Thrower&&) { throw 1; }
    Thrower(const Thrower&) = default;
    Thrower& operator=(const Thrower&) = default;
    void serialize(auto&) {}
};

/// No standard container, but it looks like one.
class Ring {
  public:
    using value_type = std::string;
    auto begin() const { return items_.begin(); }
    auto end() const { return items_.end(); }
    std::size_t size() const { return items_.size(); }
    void clear() { items_.clear(); }
    void push_back(std::string item) { items_.push_back(std::move(item)); }
    bool operator==(const Ring&) const = default;

  private:
    std::deque<std::string> items_;
};

}  // namespace

TEST_CASE("numbers come back equal, at their limits too") {
    CHECK(survives(std::numeric_limits<long long>::min()));
    CHECK(survives(std::numeric_limits<unsigned long long>::max()));
    CHECK(survives(std::int8_t{-1}));
    CHECK(survives(true));
    CHECK(survives('x'));
    CHECK(survives(u8'x'));
    CHECK(survives(U'\u20ac'));
    CHECK(survives(1.5F));
    CHECK(survives(std::numeric_limits<double>::infinity()));
    CHECK(survives(3.25L));
    CHECK(survives(std::byte{7}));
    CHECK(round_trip(std::numeric_limits<double>::quiet_NaN()) != 0.0);
}

TEST_CASE("enums come back equal") {
    CHECK(survives(Colour::green));
    CHECK(survives(plain_b));
    CHECK(survives(Switch::on));
}

TEST_CASE("strings of every character type come back equal, zeros included") {
    CHECK(survives(std::string()));
    CHECK(survives(std::string("a\0b", 3)));
    CHECK(survives(std::wstring(L"wide")));
    CHECK(survives(std::u8string(u8"eight")));
    CHECK(survives(std::u16string(u"sixteen")));
    CHECK(survives(std::u32string(300, U'x')));
}

TEST_CASE("sequences come back equal") {
    CHECK(survives(std::vector<int>{}));
    CHECK(survives(std::vector<double>(1000, 0.5)));
    CHECK(survives(std::vector<std::byte>(300, std::byte{1})));
    CHECK(survives(std::vector<std::string>{"a", "", "c"}));
    CHECK(survives(std::vector<std::vector<short>>{{1, 2}, {}, {3}}));
    CHECK(survives(std::vector<bool>{true, false, true}));
    CHECK(survives(std::deque<bool>{true, false}));
    CHECK(survives(std::deque<int>{1, 2, 3}));
    CHECK(survives(std::list<std::string>{"x", "y"}));
    CHECK(survives(std::forward_list<int>{3, 1, 2}));
    CHECK(survives(std::vector<Point>{{1, 2}, {3, 4}}));
    CHECK(survives(std::array<int, 3>{1, 2, 3}));
    CHECK(survives(std::array<bool, 2>{true, false}));
    CHECK(survives(std::array<std::string, 2>{"a", "b"}));
    CHECK(survives(std::array<int, 0>{}));
}

TEST_CASE("sets and maps come back equal, repeated keys and other orders too") {
    CHECK(survives(std::set<int>{3, 1, 2}));
    CHECK(survives(std::set<int, Descending>{3, 1, 2}));
    CHECK(survives(std::multiset<std::string>{"a", "a", "b"}));
    CHECK(survives(std::unordered_set<int>{1, 2, 3}));
    CHECK(survives(std::unordered_multiset<int>{1, 1, 3}));
    CHECK(survives(std::map<std::string, std::vector<int>>{{"a", {1}}, {"b", {}}}));
    CHECK(survives(std::multimap<int, bool>{{1, true}, {1, false}}));
    CHECK(survives(std::unordered_map<std::string, double>{{"a", 1}, {"b", 2}}));
    CHECK(survives(std::unordered_multimap<int, int>{{1, 2}, {1, 3}}));
}

TEST_CASE("what looks like a container is one") {
    Ring ring;
    ring.push_back("a");
    ring.push_back("b");
    CHECK(survives(ring));
}

TEST_CASE("pairs, tuples, optionals and variants come back equal") {
    CHECK(survives(std::pair<int, std::string>{1, "x"}));
    CHECK(survives(std::tuple<>{}));
    CHECK(survives(std::tuple<int>{1}));
    CHECK(survives(std::tuple<int, std::string, bool>{1, "x", true}));
    CHECK(survives(std::pair<Constant, int>{{1, "x"}, 2}));
    CHECK(survives(std::optional<std::string>{}));
    CHECK(survives(std::optional<std::string>{"x"}));
    CHECK(survives(std::optional<std::optional<int>>{std::optional<int>{}}));
    CHECK(survives(std::monostate{}));
    CHECK(survives(std::variant<int, std::string>{"x"}));
    CHECK(survives(std::variant<int, int>{std::in_place_index<1>, 3}));
    CHECK(survives(std::variant<Constant, bool>{Constant{1, "x"}}));
}

TEST_CASE("smart pointers carry their value, or null") {
    CHECK(round_trip(std::unique_ptr<int>()) == nullptr);
    CHECK(*round_trip(std::make_unique<std::string>("x")) == "x");
    CHECK(*round_trip(std::make_shared<int>(4)) == 4);
    CHECK(*round_trip(std::shared_ptr<const int>(std::make_shared<int>(4))) == 4);
    CHECK(round_trip(std::shared_ptr<std::vector<int>>()) == nullptr);
}

TEST_CASE("durations, time points and dates come back equal") {
    using namespace std::chrono;
    CHECK(survives(nanoseconds(-5)));
    CHECK(survives(duration<double, std::milli>(1.5)));
    CHECK(survives(system_clock::now()));
    CHECK(survives(steady_clock::now()));
    CHECK(survives(std::vector<milliseconds>{milliseconds(1), milliseconds(2)}));
    CHECK(survives(year_month_day(year(2024), month(2), day(29))));
    CHECK(survives(weekday(3)));
}

TEST_CASE("paths, bitsets and complex numbers come back equal") {
    CHECK(survives(std::filesystem::path("a/b c/\xc3\xa9.txt")));
    CHECK(survives(std::vector<std::filesystem::path>{"a", "", "/b"}));
    CHECK(survives(std::bitset<0>()));
    CHECK(survives(std::bitset<11>("10110011101")));
    CHECK(survives(std::complex<double>(1, -2)));
    CHECK(survives(std::vector<std::complex<float>>{{1, 2}, {3, 4}}));
}

TEST_CASE("aggregates come back field by field, arrays and nesting included") {
    const Order order{.id = 7,
                      .customer = "Ada",
                      .where = {1, 2},
                      .code = {'a', 'b', 'c', 0},
                      .grid = {{1, 2, 3}, {4, 5, 6}},
                      .tags = {"x", "y"},
                      .path = {{3, 4}, {5, 6}},
                      .colour = Colour::green,
                      .note = "fragile",
                      .nothing = {},
                      .paid = true};
    CHECK(survives(order));
    CHECK(survives(Empty{}));
    CHECK(survives(Constant{1, "x"}));
    CHECK(survives(std::vector<Empty>(5)));
    CHECK(survives(std::map<int, Order>{{1, order}}));
}

TEST_CASE("aggregates may have 64 fields") {
    Wide wide;
    wide.f7 = "last string";
    wide.h7[1] = -1;
    wide.h6 = true;
    CHECK(survives(wide));
}

TEST_CASE("aggregates may hold what can only be moved") {
    MoveOnly value{1, std::make_unique<std::string>("x"), {}};
    value.numbers.push_back(std::make_unique<int>(5));
    value.numbers.push_back(nullptr);
    const MoveOnly back = round_trip(value);
    CHECK(*back.text == "x");
    CHECK(*back.numbers.at(0) == 5);
    CHECK(back.numbers.at(1) == nullptr);
}

TEST_CASE("fields may have a default though their type has none") {
    const Defaulted value{
        .name = "x", .first = Numbered(1), .weight = 2, .last = Numbered(2), .tags = {"y"}};
    CHECK(survives(value));
    CHECK(survives(std::vector<Defaulted>(3)));
    CHECK(survives(OnlyDefaulted{Numbered(3)}));
    static_assert(!muster::Serializable<Referring>);
}

TEST_CASE("types may contain themselves, directly or through others") {
    CHECK(survives(Tree{1, {{2, {}}, {3, {{4, {}}}}}}));
    const Node list = round_trip(Node{1, std::make_unique<Node>(Node{2, nullptr})});
    CHECK(list.next->value == 2);
    Odd odd;
    odd.evens.push_back(Even{Point{1, 2}, std::make_shared<Odd>()});
    odd.odds["x"] = odd;
    const Odd back = round_trip(odd);
    CHECK(back.odds.at("x").evens.at(0).point == Point{1, 2});
    CHECK(back.evens.at(0).odd->evens.empty());
}

TEST_CASE("a valueless variant is refused") {
    std::variant<std::string, Thrower> value;
    CHECK_THROWS_AS(value = Thrower(), int);
    REQUIRE(value.valueless_by_exception());
    CHECK_THROWS_AS((void)muster::serialize(value), muster::SerializationError);
}

}  // namespace serialization_test
