// The ISA tag: every function of this library lives in an inline namespace named after what the
// compiler was told about the target, so that translation units compiled with different flags never
// share a function body. Plain data (loss structs, jobs, tables) stays outside the tag.
#pragma once

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__AVX512BW__) && \
    defined(__FMA__)
#define FUSEDLOSS_ISA v4
#define FUSEDLOSS_NATIVE_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define FUSEDLOSS_ISA v3
#define FUSEDLOSS_NATIVE_BYTES 32
#elif defined(__x86_64__)
#define FUSEDLOSS_ISA v1
#define FUSEDLOSS_NATIVE_BYTES 16
// For machines built before 2013: fewer variants of every kernel, so that the others may have more.
#define FUSEDLOSS_COMPACT true
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define FUSEDLOSS_ISA neon
#define FUSEDLOSS_NATIVE_BYTES 16
#else
#define FUSEDLOSS_ISA generic
#define FUSEDLOSS_NATIVE_BYTES 16
#endif

#if !defined(FUSEDLOSS_COMPACT)
#define FUSEDLOSS_COMPACT false
#endif

// A pack is one native vector unless told otherwise (see pack.hpp).
#if !defined(FUSEDLOSS_PACK_BYTES)
#define FUSEDLOSS_PACK_BYTES FUSEDLOSS_NATIVE_BYTES
#endif

// OpenMP and fast-math change function bodies as surely as an ISA flag does; they are part of the tag.
#if defined(_OPENMP)
#define FUSEDLOSS_TAG_OMP _omp
#else
#define FUSEDLOSS_TAG_OMP
#endif
#if defined(__FAST_MATH__)
#define FUSEDLOSS_TAG_FAST _fast
#else
#define FUSEDLOSS_TAG_FAST
#endif

#define FUSEDLOSS_CONCAT3_(a, b, c) a##b##c
#define FUSEDLOSS_CONCAT3(a, b, c) FUSEDLOSS_CONCAT3_(a, b, c)
#define FUSEDLOSS_TAG FUSEDLOSS_CONCAT3(FUSEDLOSS_ISA, FUSEDLOSS_TAG_OMP, FUSEDLOSS_TAG_FAST)

#define FUSEDLOSS_BEGIN   \
    namespace fusedloss { \
    inline namespace FUSEDLOSS_TAG {
#define FUSEDLOSS_END \
    }                 \
    }

#define FUSEDLOSS_STR_(x) #x
#define FUSEDLOSS_STR(x) FUSEDLOSS_STR_(x)

#define FUSEDLOSS_INLINE inline __attribute__((always_inline))
// For long functions of packs: called, not pasted, and dropped when the result is unused.
#define FUSEDLOSS_OUTLINE inline __attribute__((noinline, const))
// Code around the kernels, called once per chunk: pasting it into its callers buys nothing.
#define FUSEDLOSS_SHARED inline __attribute__((noinline))
