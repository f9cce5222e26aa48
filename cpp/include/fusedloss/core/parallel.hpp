// The only file that names OpenMP. Work is a number of blocks; which thread takes a block never
// influences a result, so every guard below may fall back to one thread and keep the same bits.
#pragma once

#include <cstdint>

#include "../simd/isa.hpp"

#if defined(_OPENMP)
#include <omp.h>
#include <pthread.h>
#endif

FUSEDLOSS_BEGIN

#if defined(_OPENMP)

// libgomp's threads do not survive a fork and a parallel region in the child waits for them for ever.
inline int& forked_flag() {
    static int flag = 0;
    return flag;
}
inline void watch_forks() {
    static const int registered =
        pthread_atfork(nullptr, nullptr, [] { __atomic_store_n(&forked_flag(), 1, __ATOMIC_RELAXED); });
    (void)registered;
}
inline bool must_run_serially() {
    watch_forks();
    return omp_in_parallel() || __atomic_load_n(&forked_flag(), __ATOMIC_RELAXED);
}
inline int openmp_threads() { return omp_get_max_threads(); }

template <class Body>
void parallel_for(std::int64_t count, int threads, const Body& body) {
    if (threads > count) threads = int(count);
    if (threads <= 1 || must_run_serially()) {
        for (std::int64_t i = 0; i < count; ++i) body(i);
        return;
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (std::int64_t i = 0; i < count; ++i) body(i);
}

#else

inline void watch_forks() {}
inline int openmp_threads() { return 1; }

template <class Body>
void parallel_for(std::int64_t count, int, const Body& body) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
}

#endif

FUSEDLOSS_END
