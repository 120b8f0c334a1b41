// SPDX-License-Identifier: MIT
//
// What comes next is said at once, and no thread waits: then() for one future, when_all() for many.
#include <algorithm>
#include <exception>
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <muster/muster.hpp>

std::string load(const std::string& name) {
    if (name.empty()) throw std::invalid_argument("a page needs a name");
    return "the page " + name + " with a few words";
}

long count_words(const std::string& text) { return std::count(text.begin(), text.end(), ' ') + 1; }

int main() {
    muster::entry_guard();

    muster::ThreadPoolExecutor pool;
    std::vector<muster::Future<long>> counts;
    for (const std::string name : {"one", "number two", "the third one"})
        counts.push_back(pool.submit(load, name).then(count_words));

    const auto total = muster::when_all(counts).then([](const std::vector<long>& words) {
        return std::accumulate(words.begin(), words.end(), 0L);
    });
    std::cout << total.result() << " words\n";

    // An error passes by the continuations, and arrives with its own type.
    const auto failed = pool.submit(load, "").then(count_words);
    try {
        std::cout << failed.result() << " words\n";
    } catch (const std::invalid_argument& error) {
        std::cout << "failed: " << error.what() << '\n';
    }
}

// Output:
// 24 words
// failed: a page needs a name
