// SPDX-License-Identifier: MIT
//
// Two processes talk over a pipe: questions go one way, answers the other, until one of them leaves.
#include <cstddef>
#include <iostream>
#include <string>

#include <muster/muster.hpp>

namespace mp = muster::multiprocessing;

struct Answer {
    std::string backwards;
    std::size_t letters;
};

/// Answers until it is told goodbye.
void answer(mp::Connection asker) {
    for (;;) {
        const auto word = asker.recv<std::string>();
        if (word == "goodbye") return;
        asker.send(Answer{{word.rbegin(), word.rend()}, word.size()});
    }
}

int main() {
    muster::entry_guard();

    auto [ours, theirs] = mp::Pipe();
    mp::Process other(answer, theirs);
    other.start();
    theirs.close();  // From now on the other process alone has that end.

    for (const std::string word : {"stressed", "drawer", "level"}) {
        ours.send(word);
        const auto [backwards, letters] = ours.recv<Answer>();
        std::cout << word << ": " << backwards << ", " << letters << " letters\n";
    }
    ours.send("goodbye");
    try {
        (void)ours.recv<Answer>();
    } catch (const muster::EndOfFile&) {
        std::cout << "nobody is there any more\n";
    }
    other.join();
}

// Output:
// stressed: desserts, 8 letters
// drawer: reward, 6 letters
// level: level, 5 letters
// nobody is there any more
