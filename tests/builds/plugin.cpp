// SPDX-License-Identifier: MIT
// Loaded by worker_program with dlopen.
extern "C" __attribute__((visibility("default"))) int answer(int x);

int answer(int x) { return 42 + x; }
