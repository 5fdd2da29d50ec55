// MVD_CLONES before a function: GCC compiles it for several levels of x86-64 and the loader picks
// the best one the machine has (GNU indirect functions), so that one binary runs anywhere. Put it
// on plain loops over words, which the compiler vectorizes; no function needs it to be right.
// Elsewhere (other processors, clang, older GCC, musl, sanitizers) it is nothing.
//
// MVD_X86 is 1 where functions may be written for a level of x86-64 by hand: give them
// __attribute__((target(...))) and choose with __builtin_cpu_supports.
#pragma once

#include <cstdint>  // defines __GLIBC__ where there is one

#if defined(__GNUC__) && defined(__x86_64__)
#define MVD_X86 1
#else
#define MVD_X86 0
#endif

#if defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__) && defined(__x86_64__) && \
    defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MVD_CLONES \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "arch=x86-64-v2", "default")))
#else
#define MVD_CLONES
#endif
