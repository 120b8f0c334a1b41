// refused: muster: nothing says how this type becomes bytes
// names: Account
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <vector>

class Account {
  public:
    Account();

  private:
    int balance_;
};

auto bytes(const std::vector<Account>& value) { return muster::serialize(value); }
