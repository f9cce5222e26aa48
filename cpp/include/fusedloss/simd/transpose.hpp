// Lanes that see each other: squares of numbers transposed in registers, halves of a vector, and the folding
// of its lanes into one number.
#pragma once

#include "pack.hpp"

FUSEDLOSS_BEGIN

template <class T>
inline constexpr int native_lanes = FUSEDLOSS_NATIVE_BYTES / int(sizeof(T));

// Lane l of the result is lane Index::at(l) of a, or lane Index::at(l) - lanes of b.
template <class Index, class V>
FUSEDLOSS_INLINE V shuffle(V a, V b) {
    constexpr int lanes = int(sizeof(V) / sizeof(a[0]));
    if constexpr (lanes == 2)
        return __builtin_shufflevector(a, b, Index::at(0), Index::at(1));
    else if constexpr (lanes == 4)
        return __builtin_shufflevector(a, b, Index::at(0), Index::at(1), Index::at(2), Index::at(3));
    else if constexpr (lanes == 8)
        return __builtin_shufflevector(a, b, Index::at(0), Index::at(1), Index::at(2), Index::at(3),
                                       Index::at(4), Index::at(5), Index::at(6), Index::at(7));
    else
        return __builtin_shufflevector(a, b, Index::at(0), Index::at(1), Index::at(2), Index::at(3),
                                       Index::at(4), Index::at(5), Index::at(6), Index::at(7), Index::at(8),
                                       Index::at(9), Index::at(10), Index::at(11), Index::at(12),
                                       Index::at(13), Index::at(14), Index::at(15));
}

template <int Lanes, int Step>
struct upper_exchange {  // blocks of Step lanes: a's even ones, and b's even ones in place of a's odd ones
    static constexpr int at(int l) { return l & Step ? Lanes + (l ^ Step) : l; }
};
template <int Lanes, int Step>
struct lower_exchange {
    static constexpr int at(int l) { return l & Step ? Lanes + l : l ^ Step; }
};
template <int Step>
struct rotation {
    static constexpr int at(int l) { return l ^ Step; }
};

// Half a vector of floats to a vector of doubles, and two of those back.
#if FUSEDLOSS_NATIVE_BYTES == 64
#define FUSEDLOSS_LANES(first) \
    first, first + 1, first + 2, first + 3, first + 4, first + 5, first + 6, first + 7
#elif FUSEDLOSS_NATIVE_BYTES == 32
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

// W vectors, each of which holds rows of W numbers one after another: every W x W square is transposed.
template <int W, int Step = W / 2, class V>
FUSEDLOSS_INLINE void transpose(V* v) {
    constexpr int lanes = int(sizeof(V) / sizeof(v[0][0]));
    for (int i = 0; i < W; ++i)
        if (!(i & Step)) {
            const V a = v[i], b = v[i | Step];
            v[i] = shuffle<upper_exchange<lanes, Step>>(a, b);
            v[i | Step] = shuffle<lower_exchange<lanes, Step>>(a, b);
        }
    if constexpr (Step > 1) transpose<W, Step / 2>(v);
}

// Rows [0, rows) of up to W numbers, `stride` apart, into columns `pitch` apart: column j has number j of
// every row. A vector of rows at a time; lanes after the last row repeat it. Nothing is read at or after
// `end`.
template <int W, class T>
FUSEDLOSS_SHARED void rows_to_columns(const T* src, std::ptrdiff_t stride, const T* end, int rows,
                                      int columns, T* dst, std::ptrdiff_t pitch) {
    constexpr int lanes = native_lanes<T>;
    for (int first = 0; first < rows; first += lanes) {
        const T* p = src + first * stride;
        std::ptrdiff_t step = stride;
        T copy[lanes * W];
        if (rows - first < lanes || end - (p + (lanes - 1) * stride) < W) {
            for (int r = 0; r < lanes; ++r) {
                const T* const row = p + (r < rows - first ? r : rows - first - 1) * stride;
                if (end - row >= W)
                    std::memcpy(copy + r * W, row, W * sizeof(T));
                else
                    for (int j = 0; row + j < end; ++j) copy[r * W + j] = row[j];
            }
            p = copy;
            step = W;
        }
        native<T> v[W];
        for (int i = 0; i < W; ++i)
            for (int r = i; r < lanes; r += W)
                std::memcpy(reinterpret_cast<T*>(&v[i]) + (r - i), p + r * step, W * sizeof(T));
        transpose<W>(v);
        for (int j = 0; j < W; ++j)
            if (j < columns) std::memcpy(dst + j * pitch + first, &v[j], sizeof v[j]);
    }
}
// The way back. Rows are written in order, W numbers each up to `end`: what a row of fewer columns writes
// beyond itself, the next one overwrites.
template <int W, class T>
FUSEDLOSS_SHARED void columns_to_rows(const T* src, std::ptrdiff_t pitch, int columns, int rows, T* dst,
                                      std::ptrdiff_t stride, const T* end) {
    constexpr int lanes = native_lanes<T>;
    for (int first = 0; first < rows; first += lanes) {
        native<T> v[W];
        for (int j = 0; j < W; ++j)
            std::memcpy(&v[j], src + (j < columns ? j : 0) * pitch + first, sizeof v[j]);
        transpose<W>(v);
        T* p = dst + first * stride;
        const auto row = [](const native<T>* v, int r) {
            return reinterpret_cast<const T*>(v + r % W) + (r - r % W);
        };
        if (rows - first >= lanes && end - (p + (lanes - 1) * stride) >= W) {
            for (int r = 0; r < lanes; ++r) std::memcpy(p + r * stride, row(v, r), W * sizeof(T));
            continue;
        }
        native<T> copy[W];
        std::memcpy(copy, v, sizeof v);
        for (int r = 0; r < lanes && r < rows - first; ++r, p += stride) {
            const T* const from = row(copy, r);
            if (end - p >= W)
                std::memcpy(p, from, W * sizeof(T));
            else
                for (int j = 0; p + j < end; ++j) p[j] = from[j];
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
