// Lanes that see each other: squares of numbers transposed in registers, halves of a vector, and the folding
// of its lanes into one number.
#pragma once

#include "pack.hpp"

FUSEDLOSS_BEGIN

template <class T>
inline constexpr int native_lanes = FUSEDLOSS_NATIVE_BYTES / int(sizeof(T));

// Lane l of the result is lane Index::at(l, lanes) of a, or lane Index::at(l, lanes) - lanes of b.
#define FUSEDLOSS_AT(l) Index::at(l, lanes)
template <class Index, class V>
FUSEDLOSS_INLINE V shuffle(V a, V b) {
    constexpr int lanes = int(sizeof(V) / sizeof(a[0]));
    if constexpr (lanes == 2)
        return __builtin_shufflevector(a, b, FUSEDLOSS_AT(0), FUSEDLOSS_AT(1));
    else if constexpr (lanes == 4)
        return __builtin_shufflevector(a, b, FUSEDLOSS_AT(0), FUSEDLOSS_AT(1), FUSEDLOSS_AT(2),
                                       FUSEDLOSS_AT(3));
    else if constexpr (lanes == 8)
        return __builtin_shufflevector(a, b, FUSEDLOSS_AT(0), FUSEDLOSS_AT(1), FUSEDLOSS_AT(2),
                                       FUSEDLOSS_AT(3), FUSEDLOSS_AT(4), FUSEDLOSS_AT(5), FUSEDLOSS_AT(6),
                                       FUSEDLOSS_AT(7));
    else
        return __builtin_shufflevector(a, b, FUSEDLOSS_AT(0), FUSEDLOSS_AT(1), FUSEDLOSS_AT(2),
                                       FUSEDLOSS_AT(3), FUSEDLOSS_AT(4), FUSEDLOSS_AT(5), FUSEDLOSS_AT(6),
                                       FUSEDLOSS_AT(7), FUSEDLOSS_AT(8), FUSEDLOSS_AT(9), FUSEDLOSS_AT(10),
                                       FUSEDLOSS_AT(11), FUSEDLOSS_AT(12), FUSEDLOSS_AT(13), FUSEDLOSS_AT(14),
                                       FUSEDLOSS_AT(15));
}
#undef FUSEDLOSS_AT

// The lower, or the upper, halves of blocks of a and b, number by number in turns.
template <int Block, int Half>
struct interleaved {
    static constexpr int at(int l, int lanes) {
        return l / Block * Block + Half * Block / 2 + l % Block / 2 + l % 2 * lanes;
    }
};
template <int Step>
struct rotation {
    static constexpr int at(int l, int) { return l ^ Step; }
};

// Half a vector of floats to a vector of doubles, and two of those back.
#if FUSEDLOSS_NATIVE_BYTES == 64  // GCC takes the halves apart once more
FUSEDLOSS_INLINE native<double> widen_lower(native<float> a) {
    return _mm512_maskz_cvtps_pd(__mmask8(-1), _mm512_maskz_extractf32x8_ps(__mmask8(-1), a, 0));
}
FUSEDLOSS_INLINE native<double> widen_upper(native<float> a) {
    return _mm512_maskz_cvtps_pd(__mmask8(-1), _mm512_maskz_extractf32x8_ps(__mmask8(-1), a, 1));
}
FUSEDLOSS_INLINE native<float> narrow_both(native<double> lower, native<double> upper) {
    const __m512 a = _mm512_castps256_ps512(_mm512_maskz_cvtpd_ps(__mmask8(-1), lower));
    return _mm512_maskz_insertf32x8(__mmask16(-1), a, _mm512_maskz_cvtpd_ps(__mmask8(-1), upper), 1);
}
#else
#if FUSEDLOSS_NATIVE_BYTES == 32
#define FUSEDLOSS_LANES(first) first, first + 1, first + 2, first + 3
#else
#define FUSEDLOSS_LANES(first) first, first + 1
#endif
typedef float half_vector __attribute__((vector_size(FUSEDLOSS_NATIVE_BYTES / 2)));
FUSEDLOSS_INLINE native<double> widen_lower(native<float> a) {
    const half_vector h = __builtin_shufflevector(a, a, FUSEDLOSS_LANES(0));
    return __builtin_convertvector(h, native<double>);
}
FUSEDLOSS_INLINE native<double> widen_upper(native<float> a) {
    const half_vector h = __builtin_shufflevector(a, a, FUSEDLOSS_LANES(native_lanes<double>));
    return __builtin_convertvector(h, native<double>);
}
FUSEDLOSS_INLINE native<float> narrow_both(native<double> lower, native<double> upper) {
    const half_vector a = __builtin_convertvector(lower, half_vector),
                      b = __builtin_convertvector(upper, half_vector);
    return __builtin_shufflevector(a, b, FUSEDLOSS_LANES(0), FUSEDLOSS_LANES(native_lanes<double>));
}
#undef FUSEDLOSS_LANES
#endif

// W vectors, each of which holds rows of W numbers one after another: every W x W square is transposed.
template <int W, class V>
FUSEDLOSS_INLINE void transpose(V* v) {
    for (int step = 1; step < W; step *= 2) {
        V w[W];
        for (int i = 0; i < W / 2; ++i) {
            w[2 * i] = shuffle<interleaved<W, 0>>(v[i], v[i + W / 2]);
            w[2 * i + 1] = shuffle<interleaved<W, 1>>(v[i], v[i + W / 2]);
        }
        for (int i = 0; i < W; ++i) v[i] = w[i];
    }
}

// Between rows and columns numbers go in pieces of 16 bytes, the halves of which one instruction interleaves.
template <class T>
inline constexpr int piece = 16 / int(sizeof(T));

// A piece of as many rows as a vector has lanes; those after the last repeat it.
template <class T>
FUSEDLOSS_SHARED void copy_rows(const T* src, std::ptrdiff_t stride, int rows, T* copy) {
    for (int r = 0; r < native_lanes<T>; ++r)
        std::memcpy(copy + r * piece<T>, src + (r < rows ? r : rows - 1) * stride, piece<T> * sizeof(T));
}
// Rows of at least a piece, `stride` apart, into columns `Pitch` apart: column j has number j of every row,
// and the lanes after the last row repeat it. The last piece ends with the row, whatever of it the one before
// has done already.
template <int Pitch, class T>
FUSEDLOSS_SHARED void rows_to_columns(const T* src, std::ptrdiff_t stride, int rows, int columns, T* dst) {
    constexpr int lanes = native_lanes<T>, n = piece<T>;
    for (int at = 0;; at = at + 2 * n <= columns ? at + n : columns - n) {
        const T* p = src + at;
        T* to = dst + at * Pitch;
        for (int first = 0; first < rows; first += lanes, p += lanes * stride, to += lanes) {
            T copy[lanes * n];
            native<T> v[n];
            if (rows - first < lanes) copy_rows(p, stride, rows - first, copy);
            const bool whole = rows - first >= lanes;
            const T* const from = whole ? p : copy;
            const std::ptrdiff_t step = whole ? stride : n;
            for (int i = 0; i < n; ++i) v[i] = native_gather(from + i * step, n * step);
            transpose<n>(v);
            for (int j = 0; j < n; ++j) std::memcpy(to + j * Pitch, &v[j], sizeof v[j]);
        }
        if (at + n == columns) break;
    }
}
// The way back: from(first row) gives a function of the column, in packs of rows.
template <class T, class From>
FUSEDLOSS_INLINE void columns_to_rows(From from, int rows, int columns, T* dst, std::ptrdiff_t stride) {
    constexpr int lanes = native_lanes<T>, n = piece<T>;
    for (int first = 0; first < rows; first += pack<T>::lanes) {
        const auto column = from(first);
        for (int at = 0;; at = at + 2 * n <= columns ? at + n : columns - n) {
            pack<T> c[n];
            for (int j = 0; j < n; ++j) c[j] = column(at + j);
            for (int part = 0; part < pack<T>::parts; ++part) {
                native<T> v[n];
                for (int j = 0; j < n; ++j) v[j] = c[j].part[part];
                transpose<n>(v);
                const int row = first + part * lanes, left = rows - row;
                T* const to = dst + row * stride + at;
                if (left >= lanes) {
                    for (int i = 0; i < n; ++i) native_scatter(to + i * stride, n * stride, v[i]);
                } else {
                    T copy[lanes * n];
                    for (int i = 0; i < n; ++i) native_scatter(copy + i * n, n * n, v[i]);
                    for (int r = 0; r < left; ++r) std::memcpy(to + r * stride, copy + r * n, n * sizeof(T));
                }
            }
            if (at + n == columns) break;
        }
    }
}

// Asks for memory that is about to be read, or written.
template <bool Write = false>
FUSEDLOSS_SHARED void prefetch(const void* p, std::int64_t bytes) {
    for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(p) + i, Write);
}

// The largest lane.
template <int Step, class V>
FUSEDLOSS_INLINE V fold_max(V v) {
    v = native_max(v, shuffle<rotation<Step>>(v, v));
    if constexpr (Step > 1)
        return fold_max<Step / 2>(v);
    else
        return v;
}
template <class T>
FUSEDLOSS_INLINE T largest(pack<T> a) {
    native<T> m = a.part[0];
    for (int i = 1; i < pack<T>::parts; ++i) m = native_max(m, a.part[i]);
    return fold_max<native_lanes<T> / 2>(m)[0];
}

FUSEDLOSS_END
