// Output activations of rows, and their vector-Jacobian products: kernels whose result is a row.
#pragma once

#include "simplex.hpp"

namespace fusedloss {

// Softmax of z / temperature, or its logarithm. A negative temperature gives softmin.
struct softmax_row {
    double temperature = 1.0, log = 0.0;
    static constexpr const char* name = "softmax";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "temperature log";
    static constexpr rows_traits traits{1, 0b1};
};
struct softmax_row_vjp {
    double temperature = 1.0, log = 0.0;
    static constexpr const char* name = "softmax_vjp";
    static constexpr const char* inputs = "input grad_output";
    static constexpr const char* params = "temperature log";
    static constexpr rows_traits traits{2, 0b01};
};

// Jang, Gu and Poole (2017): softmax of (z + noise) / temperature, where the noise is Gumbel's.
struct gumbel_softmax_row {
    double temperature = 1.0;
    static constexpr const char* name = "gumbel_softmax";
    static constexpr const char* inputs = "input noise";
    static constexpr const char* params = "temperature";
    static constexpr rows_traits traits{2, 0b01};
};
struct gumbel_softmax_row_vjp {
    double temperature = 1.0;
    static constexpr const char* name = "gumbel_softmax_vjp";
    static constexpr const char* inputs = "input noise grad_output";
    static constexpr const char* params = "temperature";
    static constexpr rows_traits traits{3, 0b001};
};

// De Brebisson and Vincent (2016): t_j / sum(t) with t = sum_k z^k / k! for k up to an even
// order, where t is positive.
struct taylor_softmax_row {
    double order = 2.0;
    static constexpr const char* name = "taylor_softmax";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "order";
    static constexpr rows_traits traits{1, 0b1};
};
struct taylor_softmax_row_vjp {
    double order = 2.0;
    static constexpr const char* name = "taylor_softmax_vjp";
    static constexpr const char* inputs = "input grad_output";
    static constexpr const char* params = "order";
    static constexpr rows_traits traits{2, 0b01};
};

// Sparsemax (alpha = 2) or entmax with alpha = 1.5.
struct entmax_row {
    double alpha = 2.0;
    static constexpr const char* name = "entmax";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "alpha";
    static constexpr rows_traits traits{1, 0b1};
};
struct entmax_row_vjp {
    double alpha = 2.0;
    static constexpr const char* name = "entmax_vjp";
    static constexpr const char* inputs = "input grad_output";
    static constexpr const char* params = "alpha";
    static constexpr rows_traits traits{2, 0b01};
};

// x / max(|x|, eps). Where |x| < eps the gradient is 0: there the direction means nothing.
struct l2_normalize_row {
    double eps = 1e-12;
    static constexpr const char* name = "l2_normalize";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "eps";
    static constexpr rows_traits traits{1, 0b1};
};
struct l2_normalize_row_vjp {
    double eps = 1e-12;
    static constexpr const char* name = "l2_normalize_vjp";
    static constexpr const char* inputs = "input grad_output";
    static constexpr const char* params = "eps";
    static constexpr rows_traits traits{2, 0b01};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// The largest score of a row, or the smallest where the temperature is negative, and the first class that has
// it: exponentials are relative to it. Noise, if any, is added to the scores first.
template <class Row>
struct foremost {
    using T = typename Row::number;
    double temperature;
    bool noisy;
    T score, at;

    FUSEDLOSS_INLINE foremost(const Row& row, double t, bool with_noise = false)
        : temperature(t), noisy(with_noise) {
        const T sign(t < 0.0 ? -1.0 : 1.0);
        score = sign * row.max([&](auto j) { return sign * score_of(row, j); });
        at = row.min([&](auto j) { return select(score_of(row, j) == score, row.index(j), row.classes()); });
    }
    template <class J>
    FUSEDLOSS_INLINE T score_of(const Row& row, J j) const {
        return noisy ? row.in(0, j) + row.in(1, j) : row.in(0, j);
    }
    // Leaves the exponentials of all other classes, and `own` at this one, in spare row 0.
    FUSEDLOSS_INLINE void put_exponentials(Row& row, double own) const {
        row.for_each([&](auto j) {
            const T z = score_of(row, j);
            const T e = temperature == 1.0 ? exp_difference(z, score) : exp_quotient(z, score, temperature);
            row.put(0, j, select(row.index(j) == at, T(own), e));
        });
    }
};
template <class Row>
FUSEDLOSS_INLINE typename Row::number sum_of_spare(const Row& row) {
    return row.sum([&](auto j) { return row.get(0, j); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const softmax_row& a, Row& row) {
    const foremost<Row> top(row, a.temperature);
    const bool log = a.log != 0.0;
    top.put_exponentials(row, log ? 0.0 : 1.0);
    const auto total = sum_of_spare(row), log_total = log ? log1p(total) : total;
    row.output([&](auto j) {
        return log ? (row.in(0, j) - top.score) / a.temperature - log_total : row.get(0, j) / total;
    });
}
// p_j (g_j - sum(p g)) for the cotangent g in row input k. A constant in g has no effect: with none at the
// top nothing cancels there.
template <class Row>
FUSEDLOSS_INLINE void pull_back_softmax(Row& row, const foremost<Row>& top, int k) {
    using T = typename Row::number;
    const T own = row.at(k, top.at);
    top.put_exponentials(row, 1.0);
    const T total = sum_of_spare(row), divisor = total * top.temperature;
    const T mean = row.sum([&](auto j) { return row.get(0, j) * (row.in(k, j) - own); }) / total;
    row.grad(0, [&](auto j) { return row.get(0, j) * ((row.in(k, j) - own) - mean) / divisor; });
}
// Of the softmax, or of its logarithm: g_j - p_j sum(g), at the top g (1 - p) - p sum(g elsewhere).
template <class Row>
FUSEDLOSS_INLINE void eval(const softmax_row_vjp& a, Row& row) {
    using T = typename Row::number;
    const foremost<Row> top(row, a.temperature);
    if (a.log == 0.0) {
        pull_back_softmax(row, top, 1);
    } else {
        const T own = row.at(1, top.at);
        top.put_exponentials(row, 0.0);
        const T others = sum_of_spare(row), total = 1.0 + others;
        const T rest = row.sum([&](auto j) { return select(row.index(j) == top.at, T(0.0), row.in(1, j)); });
        const T share = (rest + own) / total, at_top = (own * others - rest) / total;
        row.grad(0, [&](auto j) {
            const T g = row.in(1, j) - row.get(0, j) * share;
            return select(row.index(j) == top.at, at_top, g) / a.temperature;
        });
    }
}

template <class Row>
FUSEDLOSS_INLINE void eval(const gumbel_softmax_row& a, Row& row) {
    const foremost<Row> top(row, a.temperature, true);
    top.put_exponentials(row, 1.0);
    const auto total = sum_of_spare(row);
    row.output([&](auto j) { return row.get(0, j) / total; });
}
template <class Row>
FUSEDLOSS_INLINE void eval(const gumbel_softmax_row_vjp& a, Row& row) {
    pull_back_softmax(row, foremost<Row>(row, a.temperature, true), 2);
}

// sum_k z^k / k! for k up to an order, divided by the order's power of `unit`: no power overflows.
template <class T>
FUSEDLOSS_INLINE T exponential_series(T z, T unit, int order) {
    const T u = z / unit, small = 1.0 / unit;
    double factor = 1.0;
    for (int k = 2; k <= order; ++k) factor /= k;
    T sum(factor), power(1.0);
    for (int k = order; k > 0; --k) {
        factor *= k;
        power = power * small;
        sum = sum * u + factor * power;
    }
    return sum;
}
// Leaves the series of all classes in spare row 0 and returns their unit.
template <class Row>
FUSEDLOSS_SHARED typename Row::number put_series(Row& row, int order) {
    using T = typename Row::number;
    const T unit = max(T(1.0), row.max([&](auto j) { return abs(row.in(0, j)); }));
    row.for_each([&](auto j) { row.put(0, j, exponential_series(row.in(0, j), unit, order)); });
    return unit;
}
template <class Row>
FUSEDLOSS_INLINE void eval(const taylor_softmax_row& a, Row& row) {
    put_series(row, int(a.order));
    const auto total = sum_of_spare(row);
    row.output([&](auto j) { return row.get(0, j) / total; });
}
// The derivative of a series is the series of the order before. A constant in g has no effect: with none at
// the most probable class nothing cancels there.
template <class Row>
FUSEDLOSS_INLINE void eval(const taylor_softmax_row_vjp& a, Row& row) {
    using T = typename Row::number;
    const T unit = put_series(row, int(a.order));
    const T best = row.max([&](auto j) { return row.get(0, j); });
    const T top = row.min([&](auto j) { return select(row.get(0, j) == best, row.index(j), row.classes()); });
    const T own = row.at(1, top), total = sum_of_spare(row), divisor = total * unit;
    const T mean = row.sum([&](auto j) { return row.get(0, j) * (row.in(1, j) - own); }) / total;
    row.grad(0, [&](auto j) {
        const T slope = exponential_series(row.in(0, j), unit, int(a.order) - 1);
        return slope * ((row.in(1, j) - own) - mean) / divisor;
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const entmax_row& a, Row& row) {
    const auto s = project(row, a.alpha == 2.0 ? 1.0 : 2.0);
    row.output([&](auto j) { return s.prob_of(s.root(row, j)); });
}
// d p_j / d z_k = w_j ([j == k] - w_k / sum(w)), where w_j is 1 (sparsemax) or sqrt(p_j) (entmax) on the
// support.
template <class Row>
FUSEDLOSS_INLINE void eval(const entmax_row_vjp& a, Row& row) {
    using T = typename Row::number;
    const auto s = project(row, a.alpha == 2.0 ? 1.0 : 2.0);
    const auto weight = [&](auto j) {
        const T r = s.root(row, j);
        return a.alpha == 2.0 ? sign(r) : r;
    };
    const T total = row.sum(weight);
    const T mean = row.sum([&](auto j) { return zero_times(weight(j), row.in(1, j)); }) / total;
    row.grad(0, [&](auto j) { return zero_times(weight(j), row.in(1, j) - mean); });
}

// The Euclidean norm of row input 0, with no overflow or underflow on the way.
template <class Row>
FUSEDLOSS_SHARED typename Row::number norm_of(const Row& row) {
    using T = typename Row::number;
    const T largest = row.max([&](auto j) { return abs(row.in(0, j)); });
    const T unit = select(largest == T(0.0), T(1.0), largest);
    return unit * sqrt(row.sum([&](auto j) {
               const T x = row.in(0, j) / unit;
               return x * x;
           }));
}
template <class Row>
FUSEDLOSS_INLINE void eval(const l2_normalize_row& a, Row& row) {
    using T = typename Row::number;
    const T norm = max(T(a.eps), norm_of(row));
    row.output([&](auto j) { return row.in(0, j) / norm; });
}
template <class Row>
FUSEDLOSS_INLINE void eval(const l2_normalize_row_vjp& a, Row& row) {
    using T = typename Row::number;
    const T length = norm_of(row), norm = max(T(a.eps), length);
    const T along = row.sum([&](auto j) { return row.in(1, j) * (row.in(0, j) / norm); });
    row.grad(0, [&](auto j) {
        const T g = (row.in(1, j) - along * (row.in(0, j) / norm)) / norm;
        return select(length < T(a.eps), T(0.0), g);
    });
}

FUSEDLOSS_END
