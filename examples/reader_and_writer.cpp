// SPDX-License-Identifier: MIT
//
// One process writes into a queue, another reads from it, and neither waits for ever.
#include <chrono>
#include <iostream>
#include <string>

#include <muster/muster.hpp>

namespace mp = muster::multiprocessing;
using namespace std::chrono_literals;

void write_words(mp::Queue<std::string> queue) {
    for (const char* word : {"mix", "knead", "bake"})
        if (!queue.put_for(word, 30s)) std::cout << "nobody reads\n";
    queue.shutdown();  // The reader gets what is left, and then nothing.
}

void read_words(mp::Queue<std::string> queue) {
    for (;;) {
        const auto word = queue.get_for(30s);
        if (!word) break;
        std::cout << "read " << *word << '\n';
    }
    std::cout << (queue.is_shutdown() ? "all was read" : "nobody writes") << '\n';
}

int main() {
    muster::entry_guard();

    mp::Queue<std::string> queue(2);
    mp::Process writer(write_words, queue), reader(read_words, queue);
    writer.start();
    reader.start();
    writer.join();
    reader.join();
    std::cout << "at once: " << (queue.try_get() ? "something" : "nothing") << '\n';
}

// Output:
// read mix
// read knead
// read bake
// all was read
// at once: nothing
