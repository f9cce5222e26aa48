// Whether this CPU runs what the test was compiled for; the exit code of a test that cannot run is 77.
#pragma once

#include <cstdio>

#include "fusedloss/simd/isa.hpp"

constexpr int skipped = 77;

inline bool level_runs_here() {
#if defined(__AVX512F__)
    const bool runs = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
#elif defined(__AVX2__)
    const bool runs = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    const bool runs = true;
#endif
    if (!runs) std::printf("skipped: this CPU lacks ISA level %s\n", FUSEDLOSS_STR(FUSEDLOSS_ISA));
    return runs;
}
