// SPDX-License-Identifier: MIT
#pragma once

#include <muster/threading/barrier.hpp>
#include <muster/threading/condition.hpp>
#include <muster/threading/event.hpp>
#include <muster/threading/local.hpp>
#include <muster/threading/lock.hpp>
#include <muster/threading/queue.hpp>
#include <muster/threading/semaphore.hpp>
#include <muster/threading/thread.hpp>
#include <muster/threading/timer.hpp>
