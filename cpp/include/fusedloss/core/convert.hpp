// Storage types to and from the arithmetic of the kernels, a run of elements at a time.
#pragma once

#include "../simd/pack.hpp"
#include "job.hpp"

FUSEDLOSS_BEGIN

struct float16 {
    std::uint16_t bits;
};
struct bfloat16 {
    std::uint16_t bits;
};
struct boolean {
    std::uint8_t byte;
};

FUSEDLOSS_INLINE float float_from_bits(std::uint32_t u) {
    float f;
    std::memcpy(&f, &u, sizeof f);
    return f;
}
FUSEDLOSS_INLINE std::uint32_t bits_of(float f) {
    std::uint32_t u;
    std::memcpy(&u, &f, sizeof u);
    return u;
}

// Branch-free so that the loops around them vectorise where the target has no conversion instruction.
FUSEDLOSS_INLINE float to_float(float16 h) {
    const std::uint32_t sign = std::uint32_t(h.bits & 0x8000u) << 16, rest = std::uint32_t(h.bits & 0x7fffu)
                                                                             << 13;
    // The exponent is re-biased by a multiplication, which also normalises subnormals; inf and NaN
    // keep their all-ones exponent by hand.
    const float scaled = float_from_bits(rest) * 0x1p112f;
    const std::uint32_t special = rest >= (0x7c00u << 13) ? 0x7f800000u : 0u;
    return float_from_bits(sign | bits_of(scaled) | special);
}
FUSEDLOSS_INLINE float16 to_float16(float f) {
    const std::uint32_t u = bits_of(f), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    // Subnormal halves: adding 0.5 leaves the rounded result in the low bits of the sum.
    const std::uint32_t subnormal = bits_of(float_from_bits(magnitude) + 0.5f) - 0x3f000000u;
    const std::uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    std::uint32_t r = magnitude < (113u << 23) ? subnormal : normal;
    r = magnitude >= 0x477ff000u ? 0x7c00u : r;
    r = magnitude > 0x7f800000u ? 0x7e00u : r;
    return {std::uint16_t(sign | r)};
}
FUSEDLOSS_INLINE float to_float(bfloat16 h) { return float_from_bits(std::uint32_t(h.bits) << 16); }
FUSEDLOSS_INLINE bfloat16 to_bfloat16(float f) {
    const std::uint32_t u = bits_of(f);
    const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return {std::uint16_t(f != f ? (u >> 16) | 0x40u : rounded)};
}

template <class C, class S>
FUSEDLOSS_INLINE C read_as(S s) {
    return C(s);
}
template <class C>
FUSEDLOSS_INLINE C read_as(float16 s) {
    return to_float(s);
}
template <class C>
FUSEDLOSS_INLINE C read_as(bfloat16 s) {
    return to_float(s);
}
template <class C>
FUSEDLOSS_INLINE C read_as(boolean s) {
    return C(s.byte != 0);
}
FUSEDLOSS_INLINE void write_as(float& d, double v) { d = float(v); }
FUSEDLOSS_INLINE void write_as(double& d, double v) { d = v; }
FUSEDLOSS_INLINE void write_as(float16& d, float v) { d = to_float16(v); }
FUSEDLOSS_INLINE void write_as(bfloat16& d, float v) { d = to_bfloat16(v); }

// Items of one size brought together from, or spread out to, memory `stride` bytes apart.
template <class Item>
FUSEDLOSS_SHARED void collect_items(char* dst, const char* src, std::int64_t stride, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i)
        std::memcpy(dst + i * std::int64_t(sizeof(Item)), src + i * stride, sizeof(Item));
}
template <class Item>
FUSEDLOSS_SHARED void spread_items(char* dst, const char* src, std::int64_t stride, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i)
        std::memcpy(dst + i * stride, src + i * std::int64_t(sizeof(Item)), sizeof(Item));
}

FUSEDLOSS_SHARED void collect_run(int size, char* dst, const char* src, std::int64_t stride, std::int64_t n) {
    switch (size) {
        case 1: return collect_items<std::uint8_t>(dst, src, stride, n);
        case 2: return collect_items<std::uint16_t>(dst, src, stride, n);
        case 4: return collect_items<std::uint32_t>(dst, src, stride, n);
        default: return collect_items<std::uint64_t>(dst, src, stride, n);
    }
}

// A pack of floats from, and to, as many halves: where it is there, faster than what the loops below compile
// to.
template <class S, class C>
inline constexpr bool converts_packs = false;

// Past the caches with Stream, if dst is aligned to half a vector.
template <bool Stream, class V>
FUSEDLOSS_INLINE void store_half_vector(char* dst, V v) {
    static_assert(sizeof v == FUSEDLOSS_NATIVE_BYTES / 2);
#if FUSEDLOSS_NATIVE_BYTES == 64
    if (Stream) return _mm256_stream_si256((__m256i*)dst, (__m256i)v);
#elif FUSEDLOSS_NATIVE_BYTES == 32
    if (Stream) return _mm_stream_si128((__m128i*)dst, (__m128i)v);
#endif
    std::memcpy(dst, &v, sizeof v);
}

#if defined(__F16C__)
template <>
inline constexpr bool converts_packs<float16, float> = true;
FUSEDLOSS_INLINE void widen_pack(float* dst, const char* src, float16) {
#if FUSEDLOSS_NATIVE_BYTES == 64
    _mm512_storeu_ps(dst, _mm512_maskz_cvtph_ps(__mmask16(-1), _mm256_loadu_si256((const __m256i*)src)));
#else
    _mm256_storeu_ps(dst, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)src)));
#endif
}
template <bool Stream = false>
FUSEDLOSS_INLINE void narrow_pack(char* dst, const float* src, float16) {
    constexpr int to_nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
#if FUSEDLOSS_NATIVE_BYTES == 64
    const __m256i h = _mm512_maskz_cvtps_ph(__mmask16(-1), _mm512_loadu_ps(src), to_nearest);
#else
    const __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(src), to_nearest);
#endif
    store_half_vector<Stream>(dst, h);
}
#endif

template <>
inline constexpr bool converts_packs<bfloat16, float> = true;
typedef std::uint16_t native_halves __attribute__((vector_size(FUSEDLOSS_NATIVE_BYTES / 2)));
typedef std::uint32_t native_words __attribute__((vector_size(FUSEDLOSS_NATIVE_BYTES)));
FUSEDLOSS_INLINE void widen_pack(float* dst, const char* src, bfloat16) {
    native_halves h;
    std::memcpy(&h, src, sizeof h);
    const native_words w = __builtin_convertvector(h, native_words) << 16;
    std::memcpy(dst, &w, sizeof w);
}
template <bool Stream = false>
FUSEDLOSS_INLINE void narrow_pack(char* dst, const float* src, bfloat16) {
    native_words u;
    std::memcpy(&u, src, sizeof u);
    const native_words rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet = (u >> 16) | 0x40u;
    const auto nan = (u & 0x7fffffffu) > 0x7f800000u;
    store_half_vector<Stream>(dst, __builtin_convertvector(nan ? quiet : rounded, native_halves));
}

template <class S, class C>
inline void convert_in(C* dst, const char* src, std::int64_t n) {
    if constexpr (converts_packs<S, C>)
        for (constexpr int lanes = FUSEDLOSS_NATIVE_BYTES / 4; n >= lanes; n -= lanes) {
            widen_pack(dst, src, S{});
            dst += lanes;
            src += lanes * int(sizeof(S));
        }
    for (; n > 0; --n, src += sizeof(S)) {
        S s;
        std::memcpy(&s, src, sizeof s);
        *dst++ = read_as<C>(s);
    }
}
template <class D, bool Stream = false, class C>
inline void convert_out(char* dst, const C* src, std::int64_t n) {
    if constexpr (converts_packs<D, C>)
        for (constexpr int lanes = FUSEDLOSS_NATIVE_BYTES / 4; n >= lanes; n -= lanes) {
            narrow_pack<Stream>(dst, src, D{});
            src += lanes;
            dst += lanes * int(sizeof(D));
        }
    for (; n > 0; --n, dst += sizeof(D)) {
        D d;
        write_as(d, *src++);
        std::memcpy(dst, &d, sizeof d);
    }
}

template <class C>
FUSEDLOSS_SHARED void convert_in(dtype type, C* dst, const char* src, std::int64_t n) {
    switch (type) {
        case dtype::float32: return convert_in<float>(dst, src, n);
        case dtype::float64: return convert_in<double>(dst, src, n);
        case dtype::float16: return convert_in<float16>(dst, src, n);
        case dtype::bfloat16: return convert_in<bfloat16>(dst, src, n);
        case dtype::boolean: return convert_in<boolean>(dst, src, n);
        case dtype::int8: return convert_in<std::int8_t>(dst, src, n);
        case dtype::uint8: return convert_in<std::uint8_t>(dst, src, n);
        case dtype::int16: return convert_in<std::int16_t>(dst, src, n);
        case dtype::uint16: return convert_in<std::uint16_t>(dst, src, n);
        case dtype::int32: return convert_in<std::int32_t>(dst, src, n);
        case dtype::uint32: return convert_in<std::uint32_t>(dst, src, n);
        case dtype::int64: return convert_in<std::int64_t>(dst, src, n);
        case dtype::uint64: return convert_in<std::uint64_t>(dst, src, n);
    }
}
// Results are written in a floating type only.
template <class C>
FUSEDLOSS_SHARED void convert_out(dtype type, char* dst, const C* src, std::int64_t n) {
    switch (type) {
        case dtype::float32: return convert_out<float>(dst, src, n);
        case dtype::float64: return convert_out<double>(dst, src, n);
        case dtype::float16: return convert_out<float16>(dst, src, n);
        case dtype::bfloat16: return convert_out<bfloat16>(dst, src, n);
        default: return;
    }
}

FUSEDLOSS_INLINE int item_size(dtype type) {
    switch (type) {
        case dtype::boolean:
        case dtype::int8:
        case dtype::uint8: return 1;
        case dtype::float16:
        case dtype::bfloat16:
        case dtype::int16:
        case dtype::uint16: return 2;
        case dtype::float32:
        case dtype::int32:
        case dtype::uint32: return 4;
        default: return 8;
    }
}

// The same from and to memory `stride` bytes apart; n is at most a chunk.
template <class C>
FUSEDLOSS_SHARED void gather_run(dtype type, C* dst, const char* src, std::int64_t stride, std::int64_t n) {
    const int size = item_size(type);
    if (stride == size) return convert_in(type, dst, src, n);
    alignas(64) char items[8 * chunk_bytes / sizeof(C)];
    collect_run(size, items, src, stride, n);
    convert_in(type, dst, items, n);
}
template <class C>
FUSEDLOSS_SHARED void scatter_run(dtype type, const C* src, char* dst, std::int64_t stride, std::int64_t n) {
    const int size = item_size(type);
    if (stride == size) return convert_out(type, dst, src, n);
    alignas(64) char items[8 * chunk_bytes / sizeof(C)];
    convert_out(type, items, src, n);
    switch (size) {
        case 2: return spread_items<std::uint16_t>(dst, items, stride, n);
        case 4: return spread_items<std::uint32_t>(dst, items, stride, n);
        default: return spread_items<std::uint64_t>(dst, items, stride, n);
    }
}

FUSEDLOSS_END
