// SPDX-License-Identifier: MIT
#pragma once

#include <muster/entry_guard.hpp>

#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace muster::test {

/// The way of a task: encoded here, decoded and run there, and its result back.
enum class Stage { encode_task, decode_task, run, encode_result, decode_result, never };

enum class Way { exception, exit, end_at_once, abort, segv, kill };

inline void go_off(Way way) {
    // A sanitizer's own handlers would turn the signal into an exit code.
    for (const int signal : {SIGSEGV, SIGABRT}) ::signal(signal, SIG_DFL);
    switch (way) {
        case Way::exception:
            throw std::out_of_range("the bomb went off");
        case Way::exit:
            std::exit(7);
        case Way::end_at_once:
            ::_exit(7);
        case Way::abort:
            std::abort();
        case Way::segv: {
            const volatile std::uintptr_t nowhere = 8;  // Not 0, which sanitizers look for.
            *reinterpret_cast<volatile char*>(nowhere) = 1;
            break;
        }
        case Way::kill:
            ::raise(SIGKILL);
            break;
    }
}

/// A value that goes off at one stage of its way to a worker and back.
struct Bomb {
    Stage stage = Stage::never;
    Way way = Way::exception;
    std::string rest = "some bytes around it";

    void at(Stage here) const {
        if (stage == here) go_off(way);
    }
    template <typename Archive>
    void save(Archive& ar) const {
        ar(stage, way);
        at(in_worker() ? Stage::encode_result : Stage::encode_task);
        ar(rest);
    }
    template <typename Archive>
    void load(Archive& ar) {
        ar(stage, way);
        at(in_worker() ? Stage::decode_task : Stage::decode_result);
        ar(rest);
    }
};

/// The task that carries one.
inline Bomb carry(Bomb bomb) {
    bomb.at(Stage::run);
    return bomb;
}

/// A value that reads more bytes than it wrote.
struct Uneven {
    template <typename Archive>
    void save(Archive& ar) const {
        ar(1);
    }
    template <typename Archive>
    void load(Archive& ar) {
        int number = 0;
        ar(number, number);
    }
};

}  // namespace muster::test
