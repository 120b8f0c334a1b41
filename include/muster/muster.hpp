// SPDX-License-Identifier: MIT
#pragma once

#include <muster/backends.hpp>
#include <muster/entry_guard.hpp>
#include <muster/errors.hpp>
#include <muster/exception.hpp>
#include <muster/executor.hpp>
#include <muster/future.hpp>
#include <muster/inline_executor.hpp>
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/promise.hpp>
#include <muster/serialization.hpp>
#include <muster/stats.hpp>
#include <muster/stop_token.hpp>
#include <muster/task.hpp>
#include <muster/task_options.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/threading.hpp>
#include <muster/version.hpp>
#include <muster/wait.hpp>
#include <muster/when.hpp>
#ifndef MUSTER_SEPARATE_COMPILATION  // There it is compiled once, with src.hpp.
#include <muster/standard_exceptions.hpp>
#endif
