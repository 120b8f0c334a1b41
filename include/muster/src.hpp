// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <muster/multiprocessing/process.hpp>
#include <muster/muster.hpp>
#include <muster/standard_exceptions.hpp>

// What is behind the executors, compiled once for a whole program instead of in each of its files,
// which then take about half the time. Define MUSTER_SEPARATE_COMPILATION for all files of the
// program (as an option of the compiler), and include this header in exactly one of them:
//
//     // muster.cpp
//     #include <muster/src.hpp>

#ifdef MUSTER_SEPARATE_COMPILATION
namespace muster::detail {

ThreadEngine& make_engine(ThreadPoolOptions&& options) {
    return *new ThreadEngine(std::move(options));
}
ProcessEngine& make_engine(ProcessPoolOptions&& options) {
    return *new ProcessEngine(std::move(options));
}
std::shared_ptr<Child> make_child(multiprocessing::ProcessOptions&& options) {
    return std::make_shared<Child>(std::move(options));
}
void serve() { serve_parent(); }

}  // namespace muster::detail
#endif
