// refused: muster: a pointer to a polymorphic type may point to any derived class
// names: std::shared_ptr<Animal>
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <cstddef>
#include <memory>
#include <vector>

struct Animal {
    virtual ~Animal() = default;
    template <class Archive>
    void serialize(Archive&) {}
};

auto animal(const std::vector<std::byte>& bytes) {
    return muster::deserialize<std::shared_ptr<Animal>>(bytes);
}
