// The few operations GCC/Clang vector extensions cannot spell, or not well: broadcast, fused multiply-add,
// square root, minimum and maximum, any lane, non-temporal stores and half-precision conversion. Everything
// else in the library is written with the vector extensions and holds on any target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "isa.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

FUSEDLOSS_BEGIN

template <class T>
struct lane;
template <>
struct lane<float> {
    using integer = std::int32_t;
};
template <>
struct lane<double> {
    using integer = std::int64_t;
};
// A float in the lane of a double: it has digits to spare, and its functions (math.hpp) are as short as 2^-43
// of relative error allows.
struct wide_float {
    double value;
    FUSEDLOSS_INLINE constexpr wide_float(double v) : value(v) {}
    FUSEDLOSS_INLINE constexpr operator double() const { return value; }
};
template <>
struct lane<wide_float> : lane<double> {};

template <class T>
struct native_vector {
    typedef T type __attribute__((vector_size(FUSEDLOSS_NATIVE_BYTES)));
};
template <>
struct native_vector<wide_float> : native_vector<double> {};
template <class T>
using native = typename native_vector<T>::type;

#if FUSEDLOSS_NATIVE_BYTES == 64
#define FUSEDLOSS_X86(name, suffix) _mm512_##name##_##suffix
#elif FUSEDLOSS_NATIVE_BYTES == 32
#define FUSEDLOSS_X86(name, suffix) _mm256_##name##_##suffix
#elif defined(__x86_64__)
#define FUSEDLOSS_X86(name, suffix) _mm_##name##_##suffix
#endif

// a < b ? a : b and a > b ? a : b, lane by lane: b where either is NaN, as the x86 instructions have it.
#if !defined(__x86_64__)
template <class V>
FUSEDLOSS_INLINE V native_min(V a, V b) {
    return a < b ? a : b;
}
template <class V>
FUSEDLOSS_INLINE V native_max(V a, V b) {
    return a > b ? a : b;
}
// Whether a mask has a lane set.
template <class Mask>
FUSEDLOSS_INLINE bool native_any(Mask m) {
    std::uint64_t half[2];
    static_assert(sizeof half == sizeof m);
    std::memcpy(half, &m, sizeof half);
    return (half[0] | half[1]) != 0;
}
#endif

#if defined(__x86_64__)

FUSEDLOSS_INLINE native<float> broadcast(float s) { return FUSEDLOSS_X86(set1, ps)(s); }
FUSEDLOSS_INLINE native<double> broadcast(double s) { return FUSEDLOSS_X86(set1, pd)(s); }
#if FUSEDLOSS_NATIVE_BYTES == 64  // GCC warns of the undefined vector inside the plain intrinsics
FUSEDLOSS_INLINE native<float> native_sqrt(native<float> a) { return _mm512_maskz_sqrt_ps(__mmask16(-1), a); }
FUSEDLOSS_INLINE native<double> native_sqrt(native<double> a) {
    return _mm512_maskz_sqrt_pd(__mmask8(-1), a);
}
FUSEDLOSS_INLINE native<float> native_min(native<float> a, native<float> b) {
    return _mm512_maskz_min_ps(__mmask16(-1), a, b);
}
FUSEDLOSS_INLINE native<double> native_min(native<double> a, native<double> b) {
    return _mm512_maskz_min_pd(__mmask8(-1), a, b);
}
FUSEDLOSS_INLINE native<float> native_max(native<float> a, native<float> b) {
    return _mm512_maskz_max_ps(__mmask16(-1), a, b);
}
FUSEDLOSS_INLINE native<double> native_max(native<double> a, native<double> b) {
    return _mm512_maskz_max_pd(__mmask8(-1), a, b);
}
#else
FUSEDLOSS_INLINE native<float> native_sqrt(native<float> a) { return FUSEDLOSS_X86(sqrt, ps)(a); }
FUSEDLOSS_INLINE native<double> native_sqrt(native<double> a) { return FUSEDLOSS_X86(sqrt, pd)(a); }
FUSEDLOSS_INLINE native<float> native_min(native<float> a, native<float> b) {
    return FUSEDLOSS_X86(min, ps)(a, b);
}
FUSEDLOSS_INLINE native<double> native_min(native<double> a, native<double> b) {
    return FUSEDLOSS_X86(min, pd)(a, b);
}
FUSEDLOSS_INLINE native<float> native_max(native<float> a, native<float> b) {
    return FUSEDLOSS_X86(max, ps)(a, b);
}
FUSEDLOSS_INLINE native<double> native_max(native<double> a, native<double> b) {
    return FUSEDLOSS_X86(max, pd)(a, b);
}
#endif
// Whether a mask has a lane set.
template <class Mask>
FUSEDLOSS_INLINE bool native_any(Mask m) {
#if FUSEDLOSS_NATIVE_BYTES == 64
    return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0;
#elif FUSEDLOSS_NATIVE_BYTES == 32
    return !_mm256_testz_si256((__m256i)m, (__m256i)m);
#else
    return _mm_movemask_epi8((__m128i)m) != 0;
#endif
}
FUSEDLOSS_INLINE void native_stream(float* p, native<float> a) { FUSEDLOSS_X86(stream, ps)(p, a); }
FUSEDLOSS_INLINE void native_stream(double* p, native<double> a) { FUSEDLOSS_X86(stream, pd)(p, a); }
FUSEDLOSS_INLINE void stream_fence() { _mm_sfence(); }

// Half a native vector of floats in memory, to and from a native vector of doubles.
#if FUSEDLOSS_NATIVE_BYTES == 64
FUSEDLOSS_INLINE native<double> native_widen(const float* p) {
    return _mm512_maskz_cvtps_pd(__mmask8(-1), _mm256_loadu_ps(p));
}
FUSEDLOSS_INLINE void native_narrow(float* p, native<double> a) {
    _mm256_storeu_ps(p, _mm512_maskz_cvtpd_ps(__mmask8(-1), a));
}
#elif FUSEDLOSS_NATIVE_BYTES == 32
FUSEDLOSS_INLINE native<double> native_widen(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
FUSEDLOSS_INLINE void native_narrow(float* p, native<double> a) { _mm_storeu_ps(p, _mm256_cvtpd_ps(a)); }
#else
FUSEDLOSS_INLINE native<double> native_widen(const float* p) {
    return _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
FUSEDLOSS_INLINE void native_narrow(float* p, native<double> a) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_castps_si128(_mm_cvtpd_ps(a)));
}
#endif

// A vector of pieces of 16 bytes that lie `stride` numbers apart.
template <class T>
FUSEDLOSS_INLINE native<T> native_gather(const T* p, std::ptrdiff_t stride) {
    const auto piece = [&](int i) { return _mm_loadu_ps(reinterpret_cast<const float*>(p + i * stride)); };
#if FUSEDLOSS_NATIVE_BYTES == 64
    constexpr __mmask16 all(-1);
    __m512 a = _mm512_castps128_ps512(piece(0));
    a = _mm512_maskz_insertf32x4(all, a, piece(1), 1);
    a = _mm512_maskz_insertf32x4(all, a, piece(2), 2);
    return (native<T>)_mm512_maskz_insertf32x4(all, a, piece(3), 3);
#elif FUSEDLOSS_NATIVE_BYTES == 32
    return (native<T>)_mm256_insertf128_ps(_mm256_castps128_ps256(piece(0)), piece(1), 1);
#else
    return (native<T>)piece(0);
#endif
}
template <class T>
FUSEDLOSS_INLINE void native_scatter(T* p, std::ptrdiff_t stride, native<T> a) {
    const auto piece = [&](int i, __m128 x) { _mm_storeu_ps(reinterpret_cast<float*>(p + i * stride), x); };
#if FUSEDLOSS_NATIVE_BYTES == 64
    constexpr __mmask8 all(-1);
    piece(0, _mm512_maskz_extractf32x4_ps(all, (__m512)a, 0));
    piece(1, _mm512_maskz_extractf32x4_ps(all, (__m512)a, 1));
    piece(2, _mm512_maskz_extractf32x4_ps(all, (__m512)a, 2));
    piece(3, _mm512_maskz_extractf32x4_ps(all, (__m512)a, 3));
#elif FUSEDLOSS_NATIVE_BYTES == 32
    piece(0, _mm256_castps256_ps128((__m256)a));
    piece(1, _mm256_extractf128_ps((__m256)a, 1));
#else
    piece(0, (__m128)a);
#endif
}
#else  // vectors of 16 bytes
template <class T>
FUSEDLOSS_INLINE native<T> native_gather(const T* p, std::ptrdiff_t) {
    native<T> a;
    std::memcpy(&a, p, sizeof a);
    return a;
}
template <class T>
FUSEDLOSS_INLINE void native_scatter(T* p, std::ptrdiff_t, native<T> a) {
    std::memcpy(p, &a, sizeof a);
}
#endif

#if defined(__x86_64__)

#if defined(__FMA__)
inline constexpr bool has_fma = true;
FUSEDLOSS_INLINE native<float> native_fma(native<float> a, native<float> b, native<float> c) {
    return FUSEDLOSS_X86(fmadd, ps)(a, b, c);
}
FUSEDLOSS_INLINE native<double> native_fma(native<double> a, native<double> b, native<double> c) {
    return FUSEDLOSS_X86(fmadd, pd)(a, b, c);
}
#else
inline constexpr bool has_fma = false;
template <class V>
FUSEDLOSS_INLINE V native_fma(V a, V b, V c) {
    return a * b + c;
}
#endif

#elif defined(__aarch64__)

inline constexpr bool has_fma = true;
FUSEDLOSS_INLINE native<float> broadcast(float s) { return vdupq_n_f32(s); }
FUSEDLOSS_INLINE native<double> broadcast(double s) { return vdupq_n_f64(s); }
FUSEDLOSS_INLINE native<float> native_sqrt(native<float> a) { return vsqrtq_f32(a); }
FUSEDLOSS_INLINE native<double> native_sqrt(native<double> a) { return vsqrtq_f64(a); }
FUSEDLOSS_INLINE native<float> native_fma(native<float> a, native<float> b, native<float> c) {
    return vfmaq_f32(c, a, b);
}
FUSEDLOSS_INLINE native<double> native_fma(native<double> a, native<double> b, native<double> c) {
    return vfmaq_f64(c, a, b);
}
template <class T>
FUSEDLOSS_INLINE void native_stream(T* p, native<T> a) {
    std::memcpy(p, &a, sizeof a);
}
FUSEDLOSS_INLINE void stream_fence() {}
FUSEDLOSS_INLINE native<double> native_widen(const float* p) { return vcvt_f64_f32(vld1_f32(p)); }
FUSEDLOSS_INLINE void native_narrow(float* p, native<double> a) { vst1_f32(p, vcvt_f32_f64(a)); }

#else

inline constexpr bool has_fma = false;
template <class T>
FUSEDLOSS_INLINE native<T> broadcast(T s) {
    native<T> v;
    for (std::size_t i = 0; i < sizeof v / sizeof s; ++i) v[i] = s;
    return v;
}
template <class V>
FUSEDLOSS_INLINE V native_sqrt(V a) {
    for (std::size_t i = 0; i < sizeof a / sizeof a[0]; ++i)
        a[i] = sizeof a[0] == 4 ? __builtin_sqrtf(a[i]) : __builtin_sqrt(a[i]);
    return a;
}
template <class V>
FUSEDLOSS_INLINE V native_fma(V a, V b, V c) {
    return a * b + c;
}
template <class T>
FUSEDLOSS_INLINE void native_stream(T* p, native<T> a) {
    std::memcpy(p, &a, sizeof a);
}
FUSEDLOSS_INLINE void stream_fence() {}
FUSEDLOSS_INLINE native<double> native_widen(const float* p) {
    native<double> v;
    for (std::size_t i = 0; i < sizeof v / 8; ++i) v[i] = p[i];
    return v;
}
FUSEDLOSS_INLINE void native_narrow(float* p, native<double> a) {
    for (std::size_t i = 0; i < sizeof a / 8; ++i) p[i] = float(a[i]);
}

#endif

FUSEDLOSS_END
