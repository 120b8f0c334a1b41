// SPDX-License-Identifier: MIT
#pragma once

/// The version of these headers, as numbers for `#if`: changes of the middle one may break callers.
///
///     #if MUSTER_VERSION_MAJOR == 0 && MUSTER_VERSION_MINOR < 1
#define MUSTER_VERSION_MAJOR 0
#define MUSTER_VERSION_MINOR 1
#define MUSTER_VERSION_PATCH 0
