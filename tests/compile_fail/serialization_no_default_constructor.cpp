// refused: muster: a value is made before it is read
// names: Account
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

class Account {
  public:
    explicit Account(int balance);
    template <class Archive>
    void serialize(Archive& ar) {
        ar(balance_);
    }

  private:
    int balance_;
};

auto bytes(const Account& value) { return muster::serialize(value); }
