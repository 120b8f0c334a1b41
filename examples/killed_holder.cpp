// SPDX-License-Identifier: MIT
//
// A process is killed while it holds a lock. The others are told, and one of them mends what the lock
// guards.
#include <chrono>
#include <iostream>
#include <mutex>
#include <thread>

#include <muster/muster.hpp>

namespace mp = muster::multiprocessing;

void move_money(mp::Lock lock, mp::SharedArray<long> accounts, mp::Event half_done) {
    const std::scoped_lock held(lock);
    accounts[0] -= 30;
    half_done.set();
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));  // And then the other account.
}

int main() {
    muster::entry_guard();

    mp::Lock lock;
    mp::Event half_done;
    mp::SharedArray<long> accounts(2);
    accounts[0] = 100;

    mp::Process clerk(move_money, lock, accounts, half_done);
    clerk.start();
    half_done.wait();
    clerk.kill();
    clerk.join();
    std::cout << "the clerk ended with " << *clerk.exit_code() << '\n';

    try {
        lock.lock();
    } catch (const muster::AbandonedLock&) {
        std::cout << "the lock is abandoned\n";
        lock.recover();
        accounts[1] = 100 - accounts[0];
    }
    std::cout << accounts[0] << " and " << accounts[1] << '\n';
    lock.unlock();
}

// Output:
// the clerk ended with -9
// the lock is abandoned
// 70 and 30
