// SPDX-License-Identifier: MIT
//
// Results in the order in which they arrive, whatever the order of asking.
#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

#include <muster/muster.hpp>

int main() {
    muster::entry_guard();

    // Three servers. One answers when its promise is kept, so this program knows the order.
    std::vector<muster::Promise<std::string>> servers(3);
    const std::vector<std::size_t> order = {2, 0, 1};

    muster::ThreadPoolExecutor pool({.max_workers = servers.size()});
    std::vector<muster::Future<std::string>> answers;
    for (auto& server : servers)
        answers.push_back(
            pool.submit([reply = server.get_future()] { return "got " + reply.result(); }));

    auto next = order.begin();
    const auto let_next_answer = [&] {
        if (next == order.end()) return;
        servers[*next].set_result("an answer of server " + std::to_string(*next));
        ++next;
    };

    let_next_answer();
    for (const auto& answer : muster::as_completed(answers)) {
        std::cout << answer.result() << '\n';
        let_next_answer();
    }
}

// Output:
// got an answer of server 2
// got an answer of server 0
// got an answer of server 1
