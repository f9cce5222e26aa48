// pack<T>: the lanes of one native vector. Wider packs (several native vectors, FUSEDLOSS_PACK_BYTES) were
// measured: out-of-order execution already overlaps the short chains of neighbouring packs, while every
// kernel doubles in size. A lane never sees another one, so results do not depend on the width; where the
// assignment of elements to lanes matters, in sums, core/reduction.hpp fixes it on every machine.
//
// A formula uses a pack as a number: + - * /, comparisons (giving a mask), select, and the functions
// of math.hpp. Constants convert implicitly: `0.5 * x`.
#pragma once

#include "native.hpp"

FUSEDLOSS_BEGIN

template <class T>
struct mask {
    using integer = native<typename lane<T>::integer>;
    static constexpr int parts = FUSEDLOSS_PACK_BYTES / FUSEDLOSS_NATIVE_BYTES;
    integer part[parts];

#define FUSEDLOSS_MASK_BINARY(op)                                           \
    friend FUSEDLOSS_INLINE mask operator op(mask a, mask b) {              \
        mask r;                                                             \
        for (int i = 0; i < parts; ++i) r.part[i] = a.part[i] op b.part[i]; \
        return r;                                                           \
    }
    FUSEDLOSS_MASK_BINARY(&)
    FUSEDLOSS_MASK_BINARY(|)
    FUSEDLOSS_MASK_BINARY(^)
#undef FUSEDLOSS_MASK_BINARY
    friend FUSEDLOSS_INLINE mask operator!(mask a) {
        for (int i = 0; i < parts; ++i) a.part[i] = ~a.part[i];
        return a;
    }
};

// Integer lanes of the same width as T: the bits of a float under construction (exponents, signs).
template <class T>
struct bits {
    using integer = native<typename lane<T>::integer>;
    using scalar = typename lane<T>::integer;
    static constexpr int parts = FUSEDLOSS_PACK_BYTES / FUSEDLOSS_NATIVE_BYTES;
    integer part[parts];

    bits() = default;
    FUSEDLOSS_INLINE bits(scalar s) {
        for (int i = 0; i < parts; ++i) part[i] = s - integer{};
    }
#define FUSEDLOSS_BITS_BINARY(op)                                           \
    friend FUSEDLOSS_INLINE bits operator op(bits a, bits b) {              \
        for (int i = 0; i < parts; ++i) a.part[i] = a.part[i] op b.part[i]; \
        return a;                                                           \
    }
    FUSEDLOSS_BITS_BINARY(+)
    FUSEDLOSS_BITS_BINARY(-)
    FUSEDLOSS_BITS_BINARY(&)
    FUSEDLOSS_BITS_BINARY(|)
    FUSEDLOSS_BITS_BINARY(^)
#undef FUSEDLOSS_BITS_BINARY
    friend FUSEDLOSS_INLINE bits operator<<(bits a, int s) {
        for (int i = 0; i < parts; ++i) a.part[i] = a.part[i] << s;
        return a;
    }
    friend FUSEDLOSS_INLINE bits operator>>(bits a, int s) {  // arithmetic shift
        for (int i = 0; i < parts; ++i) a.part[i] = a.part[i] >> s;
        return a;
    }
#define FUSEDLOSS_BITS_COMPARE(op)                                          \
    friend FUSEDLOSS_INLINE mask<T> operator op(bits a, bits b) {           \
        mask<T> r;                                                          \
        for (int i = 0; i < parts; ++i) r.part[i] = a.part[i] op b.part[i]; \
        return r;                                                           \
    }
    FUSEDLOSS_BITS_COMPARE(==)
    FUSEDLOSS_BITS_COMPARE(<)
    FUSEDLOSS_BITS_COMPARE(>)
#undef FUSEDLOSS_BITS_COMPARE
};

template <class T>
struct pack {
    using scalar = T;
    using mask_type = mask<T>;
    static constexpr int lanes = FUSEDLOSS_PACK_BYTES / int(sizeof(T));
    static constexpr int parts = FUSEDLOSS_PACK_BYTES / FUSEDLOSS_NATIVE_BYTES;
    native<T> part[parts];

    pack() = default;
    FUSEDLOSS_INLINE pack(double s) {
        for (int i = 0; i < parts; ++i) part[i] = broadcast(T(s));
    }

#define FUSEDLOSS_PACK_BINARY(op)                                           \
    friend FUSEDLOSS_INLINE pack operator op(pack a, pack b) {              \
        for (int i = 0; i < parts; ++i) a.part[i] = a.part[i] op b.part[i]; \
        return a;                                                           \
    }
    FUSEDLOSS_PACK_BINARY(+)
    FUSEDLOSS_PACK_BINARY(-)
    FUSEDLOSS_PACK_BINARY(*)
    FUSEDLOSS_PACK_BINARY(/)
#undef FUSEDLOSS_PACK_BINARY
#define FUSEDLOSS_PACK_COMPARE(op)                                          \
    friend FUSEDLOSS_INLINE mask<T> operator op(pack a, pack b) {           \
        mask<T> r;                                                          \
        for (int i = 0; i < parts; ++i) r.part[i] = a.part[i] op b.part[i]; \
        return r;                                                           \
    }
    FUSEDLOSS_PACK_COMPARE(<)
    FUSEDLOSS_PACK_COMPARE(<=)
    FUSEDLOSS_PACK_COMPARE(>)
    FUSEDLOSS_PACK_COMPARE(>=)
    FUSEDLOSS_PACK_COMPARE(==)
    FUSEDLOSS_PACK_COMPARE(!=)
#undef FUSEDLOSS_PACK_COMPARE
    friend FUSEDLOSS_INLINE pack operator-(pack a) {
        for (int i = 0; i < parts; ++i) a.part[i] = -a.part[i];
        return a;
    }
};

template <class T>
FUSEDLOSS_INLINE pack<T> load(const T* p) {
    pack<T> r;
    for (int i = 0; i < pack<T>::parts; ++i)
        std::memcpy(&r.part[i], p + i * (pack<T>::lanes / pack<T>::parts), sizeof r.part[i]);
    return r;
}
template <class T>
FUSEDLOSS_INLINE void store(T* p, pack<T> a) {
    for (int i = 0; i < pack<T>::parts; ++i)
        std::memcpy(p + i * (pack<T>::lanes / pack<T>::parts), &a.part[i], sizeof a.part[i]);
}
// The first n lanes; the others are zero.
template <class T>
FUSEDLOSS_INLINE pack<T> load_partial(const T* p, int n) {
    pack<T> r(0.0);
    std::memcpy(&r, p, std::size_t(n) * sizeof(T));
    return r;
}
template <class T>
FUSEDLOSS_INLINE void store_partial(T* p, pack<T> a, int n) {
    std::memcpy(p, &a, std::size_t(n) * sizeof(T));
}
// Past the caches; p must be aligned to 64 bytes, and stream_fence() must follow the last one.
template <class T>
FUSEDLOSS_INLINE void store_stream(T* p, pack<T> a) {
    for (int i = 0; i < pack<T>::parts; ++i)
        native_stream(p + i * (pack<T>::lanes / pack<T>::parts), a.part[i]);
}

template <class T>
FUSEDLOSS_INLINE bits<T> as_bits(pack<T> a) {
    bits<T> r;
    for (int i = 0; i < bits<T>::parts; ++i) r.part[i] = (typename bits<T>::integer)a.part[i];
    return r;
}
template <class T>
FUSEDLOSS_INLINE pack<T> from_bits(bits<T> a) {
    pack<T> r;
    for (int i = 0; i < pack<T>::parts; ++i) r.part[i] = (native<T>)a.part[i];
    return r;
}
template <class T>
FUSEDLOSS_INLINE bits<T> as_bits(mask<T> a) {
    bits<T> r;
    for (int i = 0; i < bits<T>::parts; ++i) r.part[i] = (typename bits<T>::integer)a.part[i];
    return r;
}

template <class T>
FUSEDLOSS_INLINE pack<T> select(mask<T> m, pack<T> a, pack<T> b) {
    for (int i = 0; i < pack<T>::parts; ++i) a.part[i] = m.part[i] ? a.part[i] : b.part[i];
    return a;
}
template <class T>
FUSEDLOSS_INLINE pack<T> fma(pack<T> a, pack<T> b, pack<T> c) {
    for (int i = 0; i < pack<T>::parts; ++i) a.part[i] = native_fma(a.part[i], b.part[i], c.part[i]);
    return a;
}
template <class T>
FUSEDLOSS_INLINE pack<T> sqrt(pack<T> a) {
    for (int i = 0; i < pack<T>::parts; ++i) a.part[i] = native_sqrt(a.part[i]);
    return a;
}

template <class T>
struct sign_bit;
template <>
struct sign_bit<float> {
    static constexpr std::int32_t value = INT32_MIN;
};
template <>
struct sign_bit<double> {
    static constexpr std::int64_t value = INT64_MIN;
};
template <>
struct sign_bit<wide_float> : sign_bit<double> {};

template <class T>
FUSEDLOSS_INLINE pack<T> abs(pack<T> a) {
    return from_bits(as_bits(a) & bits<T>(~sign_bit<T>::value));
}
template <class T>
FUSEDLOSS_INLINE pack<T> copysign(pack<T> magnitude, pack<T> sign) {
    const bits<T> s(sign_bit<T>::value);
    return from_bits((as_bits(magnitude) & bits<T>(~sign_bit<T>::value)) | (as_bits(sign) & s));
}
// Whether the sign bit is set, also of -0 and NaN.
template <class T>
FUSEDLOSS_INLINE mask<T> is_negative(pack<T> a) {
    return as_bits(a) < bits<T>(0);
}
// a, negated where `sign` is negative.
template <class T>
FUSEDLOSS_INLINE pack<T> times_sign(pack<T> a, pack<T> sign) {
    return from_bits(as_bits(a) ^ (as_bits(sign) & bits<T>(sign_bit<T>::value)));
}
// NaN in either argument gives b: put the argument that may be NaN second.
template <class T>
FUSEDLOSS_INLINE pack<T> min(pack<T> a, pack<T> b) {
    for (int i = 0; i < pack<T>::parts; ++i) a.part[i] = native_min(a.part[i], b.part[i]);
    return a;
}
template <class T>
FUSEDLOSS_INLINE pack<T> max(pack<T> a, pack<T> b) {
    for (int i = 0; i < pack<T>::parts; ++i) a.part[i] = native_max(a.part[i], b.part[i]);
    return a;
}
template <class T>
FUSEDLOSS_INLINE mask<T> is_nan(pack<T> a) {
    return a != a;
}
template <class T>
FUSEDLOSS_INLINE bool any(mask<T> m) {
    typename mask<T>::integer o = m.part[0];
    for (int i = 1; i < mask<T>::parts; ++i) o |= m.part[i];
    return native_any(o);
}

// -1, 0 or 1 with sign(0) = 0; NaN stays NaN.
template <class T>
FUSEDLOSS_INLINE pack<T> sign(pack<T> a) {
    return select(a == pack<T>(0.0), pack<T>(0.0), select(is_nan(a), a, copysign(pack<T>(1.0), a)));
}

// As many floats in memory as a pack of doubles has lanes, and back (round to nearest even).
FUSEDLOSS_INLINE pack<double> load_widened(const float* p) {
    pack<double> r;
    for (int i = 0; i < pack<double>::parts; ++i)
        r.part[i] = native_widen(p + i * (pack<double>::lanes / pack<double>::parts));
    return r;
}
FUSEDLOSS_INLINE void store_narrowed(float* p, pack<double> a) {
    for (int i = 0; i < pack<double>::parts; ++i)
        native_narrow(p + i * (pack<double>::lanes / pack<double>::parts), a.part[i]);
}

FUSEDLOSS_INLINE pack<double> as_double(pack<wide_float> a) {
    pack<double> r;
    std::memcpy(&r, &a, sizeof r);
    return r;
}
FUSEDLOSS_INLINE pack<wide_float> as_wide_float(pack<double> a) {
    pack<wide_float> r;
    std::memcpy(&r, &a, sizeof r);
    return r;
}

// A function of doubles applied to floats: exact where the double result is accurate to a few ULP.
template <class F>
FUSEDLOSS_INLINE pack<float> through_double(pack<float> a, F f) {
    constexpr int half = pack<double>::lanes;
    float buffer[2 * half];
    store(buffer, a);
    store_narrowed(buffer, f(load_widened(buffer)));
    store_narrowed(buffer + half, f(load_widened(buffer + half)));
    return load(buffer);
}

FUSEDLOSS_END
