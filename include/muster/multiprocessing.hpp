// SPDX-License-Identifier: MIT
#pragma once

#include <muster/multiprocessing/barrier.hpp>
#include <muster/multiprocessing/condition.hpp>
#include <muster/multiprocessing/connection.hpp>
#include <muster/multiprocessing/event.hpp>
#include <muster/multiprocessing/listener.hpp>
#include <muster/multiprocessing/lock.hpp>
#include <muster/multiprocessing/pipe.hpp>
#include <muster/multiprocessing/process.hpp>
#include <muster/multiprocessing/process_options.hpp>
#include <muster/multiprocessing/queue.hpp>
#include <muster/multiprocessing/semaphore.hpp>
#include <muster/multiprocessing/shared_array.hpp>
#include <muster/multiprocessing/shared_memory.hpp>
#include <muster/multiprocessing/value.hpp>
#include <muster/multiprocessing/wait.hpp>
