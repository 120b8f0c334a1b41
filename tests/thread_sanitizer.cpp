// SPDX-License-Identifier: MIT
// What ThreadSanitizer needs of test programs, which are linked with --wrap=sysconf.
#include <unistd.h>

#include <algorithm>

extern "C" long __real_sysconf(int name);

// It has 1.5 TiB of address space for all mappings, of which pools and workers would each take
// sixteen times the machine's memory.
extern "C" long __wrap_sysconf(int name) {
    const long value = __real_sysconf(name);
    return name == _SC_PHYS_PAGES ? std::min(value, 1L << 20) : value;
}
