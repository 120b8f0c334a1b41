// SPDX-License-Identifier: MIT
//
// Workers pay into one account. Without a lock around read and write a payment that comes between is
// lost; with it none is. The same with threads and with processes.
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

#include <muster/muster.hpp>

using muster::multiprocessing::Lock;
using muster::multiprocessing::Value;

/// Pays one without a lock. The barrier brings about what otherwise happens now and then.
template <typename Backend>
void pay_unlocked(Value<long> balance, typename Backend::Barrier all_have_read) {
    const long before = balance.get();
    all_have_read.wait();
    balance.set(before + 1);  // The other one's payment is gone.
}

template <typename Backend>
void pay(Value<long> balance, typename Backend::Barrier all_are_here, Lock lock) {
    all_are_here.wait();
    for (int i = 0; i < 5'000; ++i) {
        const std::scoped_lock held(lock);
        const long before = balance.get();
        std::this_thread::yield();  // Others may run now, but nobody comes between.
        balance.set(before + 1);
    }
}

/// The balance after some workers have called this.
template <typename Worker, typename... Args>
long balance_after(int workers, void (*payment)(Value<long>, Args...), Args... args) {
    const Value<long> balance(0);
    std::vector<Worker> payers;
    for (int i = 0; i < workers; ++i) payers.emplace_back(payment, balance, args...);
    for (Worker& payer : payers) payer.start();
    for (Worker& payer : payers) payer.join();
    return balance.get();
}

template <typename Backend>
void open_account(const char* kind) {
    using Worker = typename Backend::Worker;
    typename Backend::Barrier both(2), all(4);
    const long without = balance_after<Worker>(2, pay_unlocked<Backend>, both);
    const long with = balance_after<Worker>(4, pay<Backend>, all, Lock());
    std::cout << kind << ": 2 payments without a lock make " << without << ", 20000 with it make "
              << with << '\n';
}

int main() {
    muster::entry_guard();
    open_account<muster::Threads>("threads");
    open_account<muster::Processes>("processes");
}

// Output:
// threads: 2 payments without a lock make 1, 20000 with it make 20000
// processes: 2 payments without a lock make 1, 20000 with it make 20000
