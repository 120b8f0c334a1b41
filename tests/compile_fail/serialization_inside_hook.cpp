// refused: muster: a raw pointer means nothing in another process
// names: char*
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

class Job {
  public:
    template <class Archive>
    void serialize(Archive& ar) {
        ar(id_, name_);
    }

  private:
    int id_ = 0;
    char* name_ = nullptr;
};

auto bytes(const Job& value) { return muster::serialize(value); }
