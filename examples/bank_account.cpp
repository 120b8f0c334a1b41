// SPDX-License-Identifier: MIT
//
// Four workers pay into one account. Without a lock around read and write payments may get lost; with
// it none does. The same with threads and with processes.
#include <iostream>
#include <mutex>
#include <vector>

#include <muster/muster.hpp>

constexpr long payments = 5'000;

void pay(muster::multiprocessing::Lock lock, muster::multiprocessing::Value<long> balance) {
    for (long i = 0; i < payments; ++i) {
        const std::scoped_lock held(lock);
        balance.set(balance.get() + 1);  // Two steps: somebody else's could come between.
    }
}

template <typename Backend>
void open_account(const char* kind) {
    muster::multiprocessing::Lock lock;
    muster::multiprocessing::Value<long> balance(0);
    std::vector<typename Backend::Worker> payers;
    for (int i = 0; i < 4; ++i) payers.emplace_back(pay, lock, balance);
    for (auto& payer : payers) payer.start();
    for (auto& payer : payers) payer.join();
    std::cout << kind << ": " << balance.get() << '\n';
}

int main() {
    muster::entry_guard();
    open_account<muster::Threads>("threads");
    open_account<muster::Processes>("processes");
}

// Output:
// threads: 20000
// processes: 20000
