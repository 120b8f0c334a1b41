// refused: muster: a pointer to a polymorphic type may point to any derived class
// names: std::unique_ptr<Animal
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <memory>

struct Animal {
    virtual ~Animal() = default;
    template <class Archive>
    void serialize(Archive&) {}
};

auto bytes(const std::unique_ptr<Animal>& value) { return muster::serialize(value); }
