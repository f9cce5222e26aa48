// The similarity family: a loss of rows (families/rows.hpp, softmax.hpp) over the scores of all pairs of two
// sets of vectors, without ever holding all scores. Row by row they are what a loss of rows is given:
//
//     score of row i and column j = scale * <a_i, b_j> + bias_j      or      -scale * |a_i - b_j|^2 + bias_j
//
// src/run_similarity.cpp takes a chunk of rows at a time, whole rows of scores in one bounded buffer:
//   1. scores of the chunk by a matrix product (linalg/gemm.hpp);
//   2. a loss of rows by its index replaces them, in place, by the gradient G with respect to them;
//   3. grad a_i = scale * sum_j G_ij b_j and grad b_j += scale * sum_i G_ij a_i by two more products.
// Chunks depend on sizes alone and follow one another, so that every sum has one order.
//
// What a formula over such rows (losses/contrastive.hpp has examples) finds in its row:
//   in(0, j)   the score of column j; minus infinity where the column is the row itself: skip it, gradient 0
//   in(1, j), in(2, j)   what the caller gave for each column, as doubles: labels of the columns, for example
//   label()    the label of the row, to compare with those of the columns; or the column of its positive
// and it gives value and gradient with respect to in(0, j), as for any other loss of rows.
//
// This header has what is compiled per level: vectors on their way in and out, and what happens to scores
// between products and loss.
#pragma once

#include "../core/similarity_job.hpp"
#include "../linalg/gemm.hpp"
#include "../losses/margin.hpp"
#include "../simd/math.hpp"
#include "row_staging.hpp"

FUSEDLOSS_BEGIN

constexpr double least_norm = 1e-12;

// Sums over positions have one lane for each of this many neighbours, joined in the same order on every
// machine.
constexpr int sum_lanes = int(row_unit);
FUSEDLOSS_INLINE double joined(double* lane) {
    for (int n = sum_lanes / 2; n > 0; n /= 2)
        for (int l = 0; l < n; ++l) lane[l] += lane[l + n];
    return lane[0];
}

// |x|, without the overflow and underflow of its square.
template <class C>
FUSEDLOSS_SHARED double norm_of(const C* x, std::int64_t n) {
    const auto squares = [&](double factor) {
        constexpr int lanes = sum_lanes;
        double lane[lanes] = {};
        std::int64_t i = 0;
        for (; i + lanes <= n; i += lanes)
            for (int l = 0; l < lanes; ++l) {
                const double v = double(x[i + l]) * factor;
                lane[l] += v * v;
            }
        for (; i < n; ++i) {
            const double v = double(x[i]) * factor;
            lane[i % lanes] += v * v;
        }
        return joined(lane);
    };
    const double plain = squares(1.0);
    if (plain > 1e-200 && plain < 1e200) return __builtin_sqrt(plain);
    double largest = 0.0;
    for (std::int64_t i = 0; i < n; ++i) {
        const double v = x[i] < 0 ? -double(x[i]) : double(x[i]);
        largest = v > largest || v != v ? v : largest;
    }
    if (!(largest > 0.0) || largest - largest != 0.0) return largest;
    return __builtin_sqrt(squares(1.0 / largest)) * largest;
}

// Vectors [begin, end) of an input as rows of C side by side, divided by their norms (which are kept).
template <class C>
inline void fetch_vectors(const class_array& a, std::int64_t each, std::int64_t begin, std::int64_t end,
                          std::int64_t dimensions, bool normalize, C* to, double* norms) {
    constexpr std::int64_t most = chunk_bytes / sizeof(C);
    for (std::int64_t v = begin; v < end; ++v) {
        const char* const p =
            static_cast<const char*>(a.rows.data) + v / each * a.rows.stride[0] + v % each * a.rows.stride[1];
        C* const x = to + v * dimensions;
        for (std::int64_t d = 0; d < dimensions; d += most)
            gather_run(a.rows.type, x + d, p + d * a.step, a.step,
                       dimensions - d < most ? dimensions - d : most);
        if (normalize) {
            const double norm = norm_of(x, dimensions), kept = norm < least_norm ? least_norm : norm;
            if (norms) norms[v] = norm;
            for (std::int64_t d = 0; d < dimensions; ++d) x[d] = C(double(x[d]) / kept);
        }
    }
}

// Sums over the dimensions of two vectors, of doubles, in an order that depends on their length alone.
template <class C>
FUSEDLOSS_SHARED double dot(const C* a, const C* b, std::int64_t n) {
    constexpr int lanes = sum_lanes;
    double lane[lanes] = {};
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (int l = 0; l < lanes; ++l) lane[l] += double(a[i + l]) * double(b[i + l]);
    for (; i < n; ++i) lane[i % lanes] += double(a[i]) * double(b[i]);
    return joined(lane);
}

// Whether any of n numbers is not zero.
template <class C>
inline bool any_number(const C* x, std::int64_t n) {
    int any = 0;
    for (std::int64_t d = 0; d < n; ++d) any |= int(x[d] != C(0));
    return any != 0;
}

// The gradient with respect to vectors [begin, end), from that with respect to what fetch_vectors made of
// them and, unless null, to their norms, times a factor to where the caller wants it.
template <class C>
inline void return_gradients(const class_array& out, std::int64_t each, std::int64_t begin, std::int64_t end,
                             std::int64_t dimensions, const C* vectors, const double* norms,
                             const double* of_norms, double factor, C* grad) {
    constexpr std::int64_t most = chunk_bytes / sizeof(C);
    for (std::int64_t v = begin; v < end; ++v) {
        C* const g = grad + v * dimensions;
        const double of_norm = of_norms ? of_norms[v] : 0.0;
        if (norms && (of_norm != 0.0 || any_number(g, dimensions))) {
            const C* const u = vectors + v * dimensions;
            const double along = dot(g, u, dimensions), norm = norms[v];
            // A vector without a direction has no gradient; one that is not a number spoils it.
            for (std::int64_t d = 0; d < dimensions; ++d)
                g[d] = norm < least_norm
                           ? C(0)
                           : C((double(g[d]) - along * double(u[d])) / norm + of_norm * double(u[d]));
        }
        for (std::int64_t d = 0; factor != 1.0 && d < dimensions; ++d) g[d] = C(factor * double(g[d]));
        char* const p =
            static_cast<char*>(out.rows.data) + v / each * out.rows.stride[0] + v % each * out.rows.stride[1];
        if (reinterpret_cast<char*>(g) == p) continue;
        for (std::int64_t d = 0; d < dimensions; d += most)
            scatter_run(out.rows.type, g + d, p + d * out.step, out.step,
                        dimensions - d < most ? dimensions - d : most);
    }
}

// Columns [begin, end) of the chunk are set to the bias.
template <class C>
inline void fill_bias(const score_chunk<C>& s, const double* bias, std::int64_t step, std::int64_t begin,
                      std::int64_t end) {
    for (int r = 0; r < s.rows; ++r)
        for (std::int64_t j = begin; j < end; ++j) s.scores[r * s.pitch + j] = C(bias[j * step]);
}

// Adds up columns [begin, end) of the chunk.
template <class C>
inline void add_columns(const score_chunk<C>& s, double* total, std::int64_t begin, std::int64_t end) {
    for (int r = 0; r < s.rows; ++r)
        for (std::int64_t j = begin; j < end; ++j) total[j] += double(s.scores[r * s.pitch + j]);
}
template <class C>
inline double add_row(const C* x, std::int64_t n) {
    constexpr int lanes = sum_lanes;
    double lane[lanes] = {};
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (int l = 0; l < lanes; ++l) lane[l] += double(x[i + l]);
    for (; i < n; ++i) lane[i % lanes] += double(x[i]);
    return joined(lane);
}

// g += factor * x: what a distance adds to the product.
template <class G, class C>
inline void add_multiple(G* g, const C* x, double factor, std::int64_t n) {
    for (std::int64_t d = 0; d < n; ++d) g[d] = G(double(g[d]) + factor * double(x[d]));
}

// The scores of the labels with their margins, and the slopes that their gradients are multiplied by. Of rows
// and columns that were not normalised (`vectors` and `columns`, else null) the cosine is multiplied by their
// lengths: `radial` and `column_radial` are by how much a multiple of the vector changes it.
template <class C>
inline void apply_margins(const target_margin& margin, double scale, const score_chunk<C>& s,
                          const std::int64_t* labels, const C* vectors, const C* columns,
                          std::int64_t dimensions, double* slopes, double* radial, double* column_radial) {
    const auto length_of = [&](const C* vector) {
        const double length = norm_of(vector, dimensions);
        return length < least_norm ? least_norm : length;
    };
    for (int r = 0; r < s.rows; ++r) {
        slopes[r] = 1.0;
        radial[r] = column_radial[r] = 0.0;
        if (labels[r] < 0) continue;
        const double own = vectors ? length_of(vectors + r * dimensions) : 1.0;
        const double other = columns ? length_of(columns + labels[r] * dimensions) : 1.0;
        const double length = own * other;
        C& score = s.scores[r * s.pitch + labels[r]];
        const double cosine = double(score) / (scale * length);
        const margin_terms t = with_margin(margin, cosine);
        score = C(scale * length * t.value);
        slopes[r] = t.slope;
        const double outward = scale * (t.value - t.slope * cosine);
        if (vectors) radial[r] = other / own * outward;
        if (columns) column_radial[r] = own / other * outward;
    }
}

// Takes the scores of the chunk into the largest score of each column [begin, end) and the sum of the
// exponentials relative to it.
template <class C>
inline void add_exponentials(const score_chunk<C>& s, double* largest, double* total, std::int64_t begin,
                             std::int64_t end) {
    constexpr int lanes = pack<C>::lanes;
    for (std::int64_t j = begin; j < end; j += lanes) {
        const int n = end - j < lanes ? int(end - j) : lanes;
        C lane[lanes], before[lanes];
        double sum[lanes];
        for (int l = 0; l < lanes; ++l) {
            before[l] = l < n ? C(largest[j + l]) : C(0);
            sum[l] = l < n ? total[j + l] : 0.0;
        }
        const auto scores = [&](int r) { return load_partial(s.scores + r * s.pitch + j, n); };
        const pack<C> old = load(before);
        pack<C> most = old;
        for (int r = 0; r < s.rows; ++r) most = max(most, scores(r));
        // Relative to a finite number: an empty column stays empty.
        const pack<C> base = select(most == pack<C>(-__builtin_inf()), pack<C>(0.0), most);
        store(lane, exp(old - base));
        for (int l = 0; l < lanes; ++l) sum[l] *= double(lane[l]);
        for (int r = 0; r < s.rows; ++r) {
            store(lane, exp(scores(r) - base));
            for (int l = 0; l < lanes; ++l) sum[l] += double(lane[l]);
        }
        store(lane, most);
        for (int l = 0; l < n; ++l) {
            largest[j + l] = double(lane[l]);
            total[j + l] = sum[l];
        }
    }
}

// ---- groups of vectors ----------------------------------------------------------------------------------

// The sum of a group's vectors and its direction; returns its norm.
template <class C>
inline double sum_group(const C* unit, const double* norm, std::int64_t members, std::int64_t n,
                        double* total, C* total_unit) {
    for (std::int64_t d = 0; d < n; ++d) total[d] = norm[0] * double(unit[d]);
    for (std::int64_t i = 1; i < members; ++i) add_multiple(total, unit + i * n, norm[i], n);
    const double length = __builtin_sqrt(dot(total, total, n)),
                 divisor = length < least_norm ? least_norm : length;
    for (std::int64_t d = 0; d < n; ++d) total_unit[d] = C(total[d] / divisor);
    return length;
}

template <class C>
inline rest_of_group rest_of(const vector_group<C>& g, std::int64_t member) {
    constexpr int lanes = sum_lanes;
    const std::int64_t n = g.dimensions;
    const C* const unit = g.unit + member * n;
    const double norm = g.norm[member];
    double square[lanes] = {}, product[lanes] = {};
    const auto add = [&](std::int64_t d, int l) {
        const double u = double(unit[d]), rest = g.total[d] - norm * u;
        square[l] += rest * rest;
        product[l] += rest * u;
    };
    std::int64_t d = 0;
    for (; d + lanes <= n; d += lanes)
        for (int l = 0; l < lanes; ++l) add(d + l, l);
    for (; d < n; ++d) add(d, int(d % lanes));
    const double length = __builtin_sqrt(joined(square));
    return {length < least_norm ? 0.0 : joined(product) / length, length, 0.0, 0.0};
}

// The gradients with respect to the members of a group: `grad` comes with what the scores of the other
// columns pull their directions by, and `total_grad` is the gradient with respect to the direction of the
// sum. `common` is scratch for what all members share.
template <class C>
inline void push_back_group(const vector_group<C>& g, rest_of_group* rests, const C* total_grad,
                            double factor, double* common, C* grad) {
    const std::int64_t n = g.dimensions;
    const double along = dot(total_grad, g.total_unit, n);
    const double inverse = g.total_norm < least_norm ? 0.0 : 1.0 / g.total_norm;
    for (std::int64_t d = 0; d < n; ++d)
        common[d] = (double(total_grad[d]) - along * double(g.total_unit[d])) * inverse;
    // With r the sum of the others, cos(u, r) changes by pull r' (u - lean r) and by pull u' r.
    const auto pull_of = [](const rest_of_group& r) { return r.norm < least_norm ? 0.0 : r.slope / r.norm; };
    const auto lean_of = [](const rest_of_group& r) { return r.norm < least_norm ? 0.0 : r.cosine / r.norm; };
    for (std::int64_t i = 0; i < g.members; ++i) {
        const C* const unit = g.unit + i * n;
        const double pull = pull_of(rests[i]), lean = lean_of(rests[i]), norm = g.norm[i];
        if (pull == 0.0) continue;
        for (std::int64_t d = 0; d < n; ++d) {
            const double u = double(unit[d]);
            common[d] += pull * (u - lean * (g.total[d] - norm * u));
        }
    }
    for (std::int64_t i = 0; i < g.members; ++i) {
        const C* const unit = g.unit + i * n;
        C* const own = grad + i * n;
        const double pull = pull_of(rests[i]), lean = lean_of(rests[i]), norm = g.norm[i];
        const double radial = rests[i].radial = dot(own, unit, n) + rests[i].slope * rests[i].cosine;
        const double shrink = norm < least_norm ? 0.0 : 1.0 / norm;
        for (std::int64_t d = 0; d < n; ++d) {
            const double u = double(unit[d]), rest = g.total[d] - norm * u;
            const double turned = double(own[d]) + pull * rest - radial * u;
            own[d] = C(factor * (turned * shrink + (common[d] - pull * (u - lean * rest))));
        }
    }
}

template <class C, pairing How>
inline void run_product(const matrix_product<C>& p, int share, int shares, C* workspace) {
    gemm_share<C, How>(share, shares, p.m, p.n, p.k, p.alpha, {p.a, p.a_row, p.a_column},
                       {p.b, p.b_row, p.b_column}, p.accumulate, p.c, p.c_row, workspace);
}

template <class C>
constexpr similarity_kernels<C> make_similarity_kernels() {
    return {gemm_workspace<C>,
            run_product<C, pairing::product>,
            run_product<C, pairing::squared_difference>,
            fetch_vectors<C>,
            return_gradients<C>,
            fill_bias<C>,
            add_columns<C>,
            add_row<C>,
            dot<C>,
            add_multiple<C, C>,
            apply_margins<C>,
            add_exponentials<C>,
            sum_group<C>,
            rest_of<C>,
            push_back_group<C>};
}

FUSEDLOSS_END
