// Matrix products for drivers that consume them while they are in cache: packed panels, a register-blocked
// micro-kernel, no library behind it. Every element of a product is a chain of fused multiply-adds in the
// order of k, cut every `gemm_depth` terms: its bits depend on the length of the sum alone, not on the place
// of the element, on tiles, on threads or on the level (of those with fused multiply-adds).
#pragma once

#include "../simd/transpose.hpp"

FUSEDLOSS_BEGIN

// A matrix that lies in memory with any steps (in elements) from row to row and from column to column.
template <class T>
struct matrix_view {
    const T* data;
    std::ptrdiff_t row, column;

    FUSEDLOSS_INLINE const T* at(std::int64_t i, std::int64_t j) const { return data + i * row + j * column; }
    FUSEDLOSS_INLINE matrix_view transposed() const { return {data, column, row}; }
};

// Tiles of so many rows by two packs keep every register busy: one accumulator each, two for the packs of b.
#if FUSEDLOSS_NATIVE_BYTES == 64
constexpr int tile_rows = 14;
#elif defined(__aarch64__)
constexpr int tile_rows = 12;
#else
constexpr int tile_rows = 6;
#endif
template <class T>
inline constexpr int tile_columns = 2 * pack<T>::lanes;

// Blocks: a panel of b stays in the first-level cache, a block of a in the second.
constexpr int gemm_depth = 256;
template <class T>
inline constexpr int gemm_rows = (sizeof(T) == 4 ? 252 : 126) / tile_rows * tile_rows;
template <class T>
inline constexpr int gemm_columns = sizeof(T) == 4 ? 512 : 256;

// Numbers of scratch that a call of gemm needs, and what vectors may write beyond a panel.
template <class T>
constexpr std::int64_t gemm_workspace = std::int64_t(gemm_depth) * (gemm_rows<T> + gemm_columns<T>)+64;

// ---- packing: panels of `Width` lanes, `depth` after `depth` -------------------------------------------

// Lane i of the panel is src[i * stride + k]: squares are transposed in registers. Lanes after the last
// repeat it, and a vector may write beyond its lanes what the next one overwrites.
template <int Width, class T>
FUSEDLOSS_SHARED void pack_transposed(const T* src, std::ptrdiff_t stride, std::int64_t lanes, int depth,
                                      T* dst) {
    constexpr int side = native_lanes<T>, vectors = (Width + side - 1) / side;
    const T* row[vectors * side];
    for (int i = 0; i < vectors * side; ++i) row[i] = src + (i < lanes ? i : lanes - 1) * stride;
    int k = 0;
    for (; k + side <= depth; k += side) {
        native<T> v[vectors][side];
        for (int n = 0; n < vectors; ++n) {
            for (int i = 0; i < side; ++i) std::memcpy(&v[n][i], row[n * side + i] + k, sizeof v[n][i]);
            transpose<side>(v[n]);
        }
        for (int i = 0; i < side; ++i)
            for (int n = 0; n < vectors; ++n)
                std::memcpy(dst + (k + i) * Width + n * side, &v[n][i], sizeof v[n][i]);
    }
    for (; k < depth; ++k)
        for (int i = 0; i < Width; ++i) dst[k * Width + i] = row[i][k];
}
// Lane i is src[i + k * stride].
template <int Width, class T>
FUSEDLOSS_SHARED void pack_straight(const T* src, std::ptrdiff_t stride, std::int64_t lanes, int depth,
                                    T* dst) {
    if (lanes >= Width) {
        for (int k = 0; k < depth; ++k, src += stride, dst += Width) std::memcpy(dst, src, Width * sizeof(T));
        return;
    }
    for (int k = 0; k < depth; ++k, src += stride, dst += Width)
        for (int i = 0; i < Width; ++i) dst[i] = src[i < lanes ? i : lanes - 1];
}
// Panels over `lanes` lanes, the steps from lane to lane and from term to term being what they are.
template <int Width, class T>
FUSEDLOSS_SHARED void pack_panels(const T* src, std::ptrdiff_t by_lane, std::ptrdiff_t by_term,
                                  std::int64_t lanes, int depth, T* dst) {
    for (; lanes > 0; lanes -= Width, src += Width * by_lane, dst += std::int64_t(Width) * depth) {
        if (by_term == 1) {
            pack_transposed<Width>(src, by_lane, lanes, depth, dst);
        } else if (by_lane == 1) {
            pack_straight<Width>(src, by_term, lanes, depth, dst);
        } else {
            for (int k = 0; k < depth; ++k)
                for (int i = 0; i < Width; ++i)
                    dst[k * Width + i] = src[(i < lanes ? i : lanes - 1) * by_lane + k * by_term];
        }
    }
}

// ---- the tile -------------------------------------------------------------------------------------------

template <class T>
struct tile {
    pack<T> at[tile_rows][2];
};

// What two numbers add to an element: their product, or the square of their difference.
enum class pairing { product, squared_difference };

template <class T, pairing How>
FUSEDLOSS_INLINE tile<T> combine_panels(const T* a, const T* b, int depth) {
    constexpr int lanes = pack<T>::lanes;
    const auto add = [](pack<T> x, pack<T> y, pack<T> sum) {
        if constexpr (How == pairing::product) return fma(x, y, sum);
        const pack<T> d = x - y;
        return fma(d, d, sum);
    };
    tile<T> c;
    for (int i = 0; i < tile_rows; ++i) c.at[i][0] = c.at[i][1] = pack<T>(0.0);
    for (int k = 0; k < depth; ++k, a += tile_rows, b += 2 * lanes) {
        const pack<T> b0 = load(b), b1 = load(b + lanes);
        for (int i = 0; i < tile_rows; ++i) {
            pack<T> s;
            for (int p = 0; p < pack<T>::parts; ++p) s.part[p] = broadcast(a[i]);
            c.at[i][0] = add(s, b0, c.at[i][0]);
            c.at[i][1] = add(s, b1, c.at[i][1]);
        }
    }
    return c;
}

// c = alpha * tile, or c += alpha * tile; of `rows` by `columns` numbers.
template <class T, pairing How>
FUSEDLOSS_SHARED void run_tile(const T* a, const T* b, int depth, T alpha, bool accumulate, T* c,
                               std::ptrdiff_t row, int rows, int columns) {
    constexpr int lanes = pack<T>::lanes;
    const tile<T> t = combine_panels<T, How>(a, b, depth);
    const pack<T> factor = double(alpha);
    if (rows == tile_rows && columns == 2 * lanes) {
        for (int i = 0; i < tile_rows; ++i)
            for (int n = 0; n < 2; ++n) {
                T* const to = c + i * row + n * lanes;
                const pack<T> x = factor * t.at[i][n];
                store(to, accumulate ? load(to) + x : x);
            }
        return;
    }
    T numbers[tile_rows][2 * lanes];
    for (int i = 0; i < tile_rows; ++i)
        for (int n = 0; n < 2; ++n) store(numbers[i] + n * lanes, factor * t.at[i][n]);
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j)
            c[i * row + j] = accumulate ? c[i * row + j] + numbers[i][j] : numbers[i][j];
}

// ---- the product ----------------------------------------------------------------------------------------

// c = alpha a b, or c += alpha a b: a is m x k, b is k x n, c has its columns side by side and its rows `row`
// numbers apart. With squared differences in place of products, element (i, j) is alpha |a_i - b_j|^2, a_i
// being row i of a and b_j column j of b. The workspace has gemm_workspace<T> numbers.
template <class T, pairing How = pairing::product>
inline void gemm(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, matrix_view<T> a, matrix_view<T> b,
                 bool accumulate, T* c, std::ptrdiff_t row, T* workspace) {
    constexpr int width = tile_columns<T>;
    T* const packed_b = workspace;
    T* const packed_a = workspace + std::int64_t(gemm_depth) * gemm_columns<T>;
    if (k == 0 && !accumulate)
        for (std::int64_t i = 0; i < m; ++i) std::memset(c + i * row, 0, std::size_t(n) * sizeof(T));
    for (std::int64_t j = 0; j < n; j += gemm_columns<T>) {
        const int columns = n - j < gemm_columns<T> ? int(n - j) : gemm_columns<T>;
        for (std::int64_t first = 0; first < k; first += gemm_depth) {
            const int depth = k - first < gemm_depth ? int(k - first) : gemm_depth;
            pack_panels<width>(b.at(first, j), b.column, b.row, columns, depth, packed_b);
            for (std::int64_t i = 0; i < m; i += gemm_rows<T>) {
                const int rows = m - i < gemm_rows<T> ? int(m - i) : gemm_rows<T>;
                pack_panels<tile_rows>(a.at(i, first), a.row, a.column, rows, depth, packed_a);
                for (int q = 0; q < columns; q += width)
                    for (int p = 0; p < rows; p += tile_rows)
                        run_tile<T, How>(packed_a + std::int64_t(p) * depth,
                                         packed_b + std::int64_t(q) * depth, depth, alpha,
                                         accumulate || first > 0, c + (i + p) * row + (j + q), row,
                                         rows - p < tile_rows ? rows - p : tile_rows,
                                         columns - q < width ? columns - q : width);
            }
        }
    }
}

// One of `shares` parts of the same product, each of which may be another thread's: a stretch of the longer
// side of c.
template <class T, pairing How = pairing::product>
inline void gemm_share(int share, int shares, std::int64_t m, std::int64_t n, std::int64_t k, T alpha,
                       matrix_view<T> a, matrix_view<T> b, bool accumulate, T* c, std::ptrdiff_t row,
                       T* workspace) {
    const bool by_columns = n >= m;
    const std::int64_t unit = by_columns ? tile_columns<T> : tile_rows, whole = by_columns ? n : m,
                       units = (whole + unit - 1) / unit, begin = units * share / shares * unit,
                       last = units * (share + 1) / shares * unit, end = last < whole ? last : whole;
    if (begin >= end) return;
    if (by_columns)
        gemm<T, How>(m, end - begin, k, alpha, a, {b.at(0, begin), b.row, b.column}, accumulate, c + begin,
                     row, workspace);
    else
        gemm<T, How>(end - begin, n, k, alpha, {a.at(begin, 0), a.row, a.column}, b, accumulate,
                     c + begin * row, row, workspace);
}

FUSEDLOSS_END
