// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace hooks {

struct Call {
    int a = 0;
    std::string b;
    int scratch = 0;  // An aggregate, but its hook wins: this does not travel.
    template <class Archive>
    void serialize(Archive& ar) {
        ar(a, b);
    }
};

struct Versioned {
    int a = 0, b = 0;
    template <class Archive>
    void serialize(Archive& ar, const unsigned version) {
        ar& a& b;
        CHECK(version == 0);
    }
};

class Pair {
  public:
    Pair() = default;
    explicit Pair(int value) : value_{value} {}
    int value() const { return value_; }
    template <class Archive>
    void save(Archive& ar) const {
        ar(value_ + 1);
    }
    template <class Archive>
    void load(Archive& ar) {
        ar(value_);
        --value_;
    }

  private:
    int value_ = 0;
};

struct VersionedPair {
    int value = 0;
    template <class Archive>
    void save(Archive& ar, unsigned) const {
        ar << value;
    }
    template <class Archive>
    void load(Archive& ar, unsigned) {
        ar >> value;
    }
};

struct Free {
    explicit Free(int v = 0) : value{v} {}
    int value;
};
template <class Archive>
void serialize(Archive& ar, Free& free) {
    ar& free.value;
}

struct FreeVersioned {
    int value = 0;
    int scratch = 0;
};
template <class Archive>
void serialize(Archive& ar, FreeVersioned& free, unsigned) {
    ar& free.value;
}

struct FreePair {
    int value = 0;
    int scratch = 0;
};
template <class Archive>
void save(Archive& ar, const FreePair& free) {
    ar(free.value);
}
template <class Archive>
void load(Archive& ar, FreePair& free) {
    ar(free.value);
}

struct FreeVersionedPair {
    int value = 0;
    int scratch = 0;
};
template <class Archive>
void save(Archive& ar, const FreeVersionedPair& free, unsigned) {
    ar(free.value);
}
template <class Archive>
void load(Archive& ar, FreeVersionedPair& free, unsigned) {
    ar(free.value);
}

class Private {
  public:
    static Private make(int value) {
        Private made;
        made.value_ = value;
        return made;
    }
    int value() const { return value_; }

  private:
    friend class muster::Access;
    Private() = default;
    template <class Archive>
    void serialize(Archive& ar) {
        ar(value_);
    }
    int value_ = 0;
};

/// A container whose hook wins over its shape.
struct Bag : std::vector<int> {
    int extra = 0;
    template <class Archive>
    void serialize(Archive& ar) {
        ar(static_cast<std::vector<int>&>(*this), extra);
    }
};

union Number {
    int i;
    float f;
};
template <class Archive>
void serialize(Archive& ar, Number& number) {
    ar(number.i);
}

enum class Level { low, high };
template <class Archive>
void save(Archive& ar, const Level& level) {
    ar(level == Level::high);
}
template <class Archive>
void load(Archive& ar, Level& level) {
    bool high = false;
    ar(high);
    level = high ? Level::high : Level::low;
}

struct Arrays {
    Arrays() {}
    int numbers[3] = {};
    Call calls[2];
    template <class Archive>
    void serialize(Archive& ar) {
        ar(numbers, calls);
    }
};

struct Bomb {
    Bomb() {}
    template <class Archive>
    void serialize(Archive&) {
        if (Archive::is_loading::value) throw std::out_of_range("load");
    }
};

struct Silent {
    Silent() {}
    template <class Archive>
    void serialize(Archive&) {}
};

struct Linked {
    Linked() {}
    std::unique_ptr<Linked> next;
    template <class Archive>
    void serialize(Archive& ar) {
        ar(next);
    }
};

struct Holder {
    Free first;
    std::vector<Private> many;
    std::string text;
};

// A pointer to it points to nothing else, so it may travel although it is polymorphic.
struct Last final {
    int value = 0;
    virtual ~Last() = default;
    template <class Archive>
    void serialize(Archive& ar) {
        ar(value);
    }
};

}  // namespace hooks

namespace serialization_hooks_test {

namespace {

template <typename T>
T round_trip(const T& value) {
    static_assert(muster::Serializable<T>);
    return muster::deserialize<T>(muster::serialize(value));
}

}  // namespace

TEST_CASE("a class says how it is written by a member or a free function") {
    hooks::Call call{1, "x", 5};
    CHECK(round_trip(call).b == "x");
    CHECK(round_trip(call).scratch == 0);
    CHECK(round_trip(hooks::Versioned{1, 2}).b == 2);
    CHECK(round_trip(hooks::Free{4}).value == 4);
    CHECK(round_trip(hooks::FreeVersioned{4, 5}).value == 4);
    CHECK(round_trip(hooks::FreeVersioned{4, 5}).scratch == 0);
}

TEST_CASE("a class says how it is written by a pair of save and load") {
    CHECK(round_trip(hooks::Pair(6)).value() == 6);
    CHECK(round_trip(hooks::VersionedPair{6}).value == 6);
    CHECK(round_trip(hooks::FreePair{4, 5}).value == 4);
    CHECK(round_trip(hooks::FreePair{4, 5}).scratch == 0);
    CHECK(round_trip(hooks::FreeVersionedPair{4, 5}).scratch == 0);
}

TEST_CASE("a hook and the default constructor may be private") {
    CHECK(round_trip(hooks::Private::make(9)).value() == 9);
}

TEST_CASE("a pointer to what is polymorphic, but final, carries its value") {
    auto unique = std::make_unique<hooks::Last>();
    unique->value = 3;
    const auto bytes = muster::serialize(unique);
    CHECK(muster::deserialize<std::unique_ptr<hooks::Last>>(bytes)->value == 3);
    CHECK(muster::deserialize<std::shared_ptr<hooks::Last>>(bytes)->value == 3);
}

TEST_CASE("a hook wins over what the type looks like") {
    hooks::Bag bag;
    bag.push_back(1);
    bag.extra = 2;
    CHECK(round_trip(bag).size() == 1);
    CHECK(round_trip(bag).extra == 2);
    CHECK(round_trip(hooks::Number{5}).i == 5);
    CHECK(muster::serialize(hooks::Level::high).size() == 1);
    CHECK(round_trip(hooks::Level::high) == hooks::Level::high);
}

TEST_CASE("hooked values are fields and elements like others") {
    hooks::Holder holder{hooks::Free{3}, {}, "t"};
    holder.many.push_back(hooks::Private::make(8));
    const hooks::Holder back = round_trip(holder);
    CHECK(back.first.value == 3);
    CHECK(back.many.at(0).value() == 8);
    CHECK(back.text == "t");
}

TEST_CASE("a hook may write arrays") {
    hooks::Arrays arrays;
    arrays.numbers[2] = 3;
    arrays.calls[1].b = "y";
    const hooks::Arrays back = round_trip(arrays);
    CHECK(back.numbers[2] == 3);
    CHECK(back.calls[1].b == "y");
}

TEST_CASE("a hook may write nothing") {
    CHECK(round_trip(std::vector<hooks::Silent>(3)).size() == 3);
}

TEST_CASE("what a hook throws passes through") {
    CHECK_THROWS_AS((void)round_trip(hooks::Bomb()), std::out_of_range);
}

TEST_CASE("nested hooks have the same limit") {
    hooks::Linked shallow;
    for (int i = 1; i < 500; ++i) {
        hooks::Linked outer;
        outer.next = std::make_unique<hooks::Linked>(std::move(shallow));
        shallow = std::move(outer);
    }
    CHECK(round_trip(shallow).next->next != nullptr);
    hooks::Linked deep;
    deep.next = std::make_unique<hooks::Linked>(std::move(shallow));
    CHECK_THROWS_AS((void)muster::serialize(deep), muster::SerializationError);
}

}  // namespace serialization_hooks_test
