// SPDX-License-Identifier: MIT
//
// A program with a window, here the console, that runs a small HTTP service of its own: in a thread
// or in a process, which is one template argument. The window starts the service, learns its address,
// stops it gracefully, and starts it again; and the service ends with the program, however that ends.
//
//     $ embedded_service --in process
//     the window is open: start, stop, restart or quit?
//     start
//     the service answers at http://127.0.0.1:8123/
//     stop
//     the service has stopped
//     quit
//     the window is closed
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <muster/muster.hpp>

#include "embedded_service/http_service.hpp"
#include "embedded_service/options.hpp"

using namespace embedded_service;
using namespace std::chrono_literals;

/// What the service tells the window when it has begun.
struct Report {
    bool listens;
    std::string text;
};
template <typename Backend>
using Reports = typename Backend::template Queue<Report>;

/// What the service is for.
Response greet(std::string_view path) {
    if (path != "/") return {"404 Not Found", "there is only /\n"};
    const int pid = muster::multiprocessing::current_process().pid();
    return {.body = "hello from process " + std::to_string(pid) + '\n'};
}

/// The service. It reports once: where it listens, or why it can't.
template <typename Backend>
void serve(muster::StopToken stop, std::uint16_t port, Reports<Backend> reports) {
    std::optional<HttpService> service;
    try {
        service.emplace(port);
    } catch (const std::system_error& error) {
        const bool taken = error.code() == std::errc::address_in_use;
        reports.put({false, "port " + std::to_string(port) +
                                (taken ? " is taken: another program listens there"
                                       : " cannot be opened: " + error.code().message())});
        return;
    }
    reports.put({true, "the service answers at " + service->url()});
    service->run(stop, greet);
}

/// Prints a line, at once.
void say(const std::string& line) { std::cout << line << std::endl; }

/// The window. Its user can start the service, and stop it.
template <typename Backend>
class Window {
  public:
    explicit Window(std::uint16_t port) : port_{port} {}

    /// Obeys its user until they want no more. The exit code of the program.
    int run() {
        say("the window is open: start, stop, restart or quit?");
        for (std::string command; std::getline(std::cin, command) && command != "quit";)
            obey(command);
        if (is_running()) stop();
        say("the window is closed");
        return could_start_ ? 0 : 1;
    }

  private:
    using Worker = typename Backend::Worker;

    void obey(const std::string& command) {
        if (command == "start") {
            start();
        } else if (command == "stop") {
            stop();
        } else if (command == "restart") {
            if (is_running()) stop();
            start();
        } else {
            say("there is no command '" + command + "': start, stop, restart or quit");
        }
    }

    bool is_running() const { return service_ && service_->is_alive(); }

    void start() {
        if (is_running()) return say("the service is running already");
        const Reports<Backend> reports;
        // A daemon: the program's end never waits for it.
        service_ = Worker({.name = "service", .daemon = true}, serve<Backend>, port_, reports);
        service_->start();
        const auto report = reports.get_for(10s);
        say(report ? report->text : "the service has not begun within ten seconds");
        could_start_ = report && report->listens;
        if (!could_start_) end_service();
    }

    void stop() {
        if (!is_running()) return say("the service is not running");
        say(end_service() ? "the service has stopped"
                          : "the service has not stopped within five seconds: it is given up");
    }

    /// Asks it to stop. If it doesn't, its handle goes nevertheless: a process is terminated then,
    /// while a thread, which nobody can end but itself, is left alone.
    bool end_service() {
        service_->request_stop();
        const bool in_time = service_->join_for(5s);
        service_.reset();
        return in_time;
    }

    std::uint16_t port_;
    std::optional<Worker> service_;
    bool could_start_ = true;
};

int main(int argc, char** argv) {
    muster::entry_guard();  // A service process never comes past it: there is one window.
    try {
        const Options options = parse_options({argv + 1, argv + argc});
        if (options.help) {
            std::cout << usage;
            return 0;
        }
        return options.in_process ? Window<muster::Processes>(options.port).run()
                                  : Window<muster::Threads>(options.port).run();
    } catch (const std::exception& error) {
        std::cerr << "embedded_service: " << error.what() << '\n';
        return 2;
    }
}
