// Losses of evidence for the classes, and of sparse distributions over them.
#pragma once

#include "simplex.hpp"

namespace fusedloss {

// Sensoy, Kaplan and Kandemir (2018): the expected squared error under a Dirichlet distribution with the
// concentrations 1 + evidence, and kl_weight times the divergence of what speaks for wrong classes from the
// uniform Dirichlet distribution.
struct evidential_dirichlet {
    double kl_weight = 0.0, evidence = softplus_of;
    static constexpr double softplus_of = 0.0, relu_of = 1.0, exp_of = 2.0, given = 3.0;  // the input
    static constexpr const char* name = "evidential_dirichlet";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "kl_weight evidence";
    static constexpr rows_traits traits{1, 0b1, true};
};

// The Fenchel-Young loss whose gradient is p - onehot, p being sparsemax (alpha = 2; Martins and Astudillo
// 2016) or entmax (alpha = 1.5; Peters, Niculae and Martins 2019) of the row.
struct entmax_loss {
    double alpha = 1.5;
    static constexpr const char* name = "entmax_loss";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "alpha";
    static constexpr rows_traits traits{1, 0b1, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class T>
struct evidence_terms {
    T value, slope;
};
template <class T>
FUSEDLOSS_INLINE evidence_terms<T> evidence_of(double kind, T z) {
    if (kind == evidential_dirichlet::softplus_of) {
        const auto s = logistic(z);
        return {s.softplus, s.sigmoid};
    }
    if (kind == evidential_dirichlet::exp_of) {
        const T e = exp(z);
        return {e, e};
    }
    if (kind == evidential_dirichlet::given) return {z, T(1.0)};
    return {max(T(0.0), z), sign(max(T(0.0), z))};
}

template <class Row>
FUSEDLOSS_INLINE void eval(const evidential_dirichlet& d, Row& row) {
    using T = typename Row::number;
    const T zero(0.0), count = row.classes();
    row.for_each([&](auto j) { row.put(0, j, 1.0 + evidence_of(d.evidence, row.in(0, j)).value); });
    const T others = row.sum([&](auto j) { return select(row.at_label(j), zero, row.get(0, j)); });
    const T own = row.sum([&](auto j) { return select(row.at_label(j), row.get(0, j), zero); });
    const T strength = others + own, wider = strength + 1.0;

    // The mean m of the distribution, its distance from the label, and the variance m (1 - m) / (S + 1).
    const auto mean = [&](auto j) { return row.get(0, j) / strength; };
    const auto rest = [&](auto j) { return select(row.at_label(j), others / strength, 1.0 - mean(j)); };
    const auto miss = [&](auto j) { return select(row.at_label(j), rest(j), -mean(j)); };
    const T variance = row.sum([&](auto j) { return mean(j) * rest(j); }) / wider;
    T value = variance + row.sum([&](auto j) { return miss(j) * miss(j); });

    const bool regularised = d.kl_weight != 0.0;
    T mistaken, rate, fall;  // of the concentrations with the label's set to 1: their sum, digamma, trigamma
    if (regularised) {
        mistaken = others + 1.0;
        rate = digamma(mistaken);
        fall = trigamma(mistaken) * (mistaken - count);
        const T pieces = row.sum([&](auto j) {
            const T a = row.get(0, j), piece = lgamma(a) - (a - 1.0) * (digamma(a) - rate);
            return select(row.at_label(j), zero, piece);
        });
        value = value + d.kl_weight * (lgamma(mistaken) - lgamma(count) - pieces);
    }
    row.value(value);
    if (!row.wants_grad(0)) return;
    const auto slope = [&](auto j) { return (1.0 - 2.0 * mean(j)) / wider - 2.0 * miss(j); };
    const T pull = row.sum([&](auto j) { return slope(j) * mean(j); });
    row.grad(0, [&](auto j) {
        T g = (slope(j) - pull) / strength - variance / wider;
        if (regularised) {
            const T a = row.get(0, j), push = (a - 1.0) * trigamma(a) - fall;
            g = g + d.kl_weight * select(row.at_label(j), zero, push);
        }
        return g * evidence_of(d.evidence, row.in(0, j)).slope;
    });
}

// With o the one-hot vector of the label, r_j^power = p_j and s = max(0, threshold - x_y), the loss is
//   |o - p|^2 / 2 + s                                        for sparsemax
//   2/3 sum_j (o_j^(1/2) - r_j)^2 (2 o_j^(1/2) + r_j) + 2 s   for entmax
// where no term is negative.
template <class Row>
FUSEDLOSS_INLINE void eval(const entmax_loss& e, Row& row) {
    using T = typename Row::number;
    const T zero(0.0);
    const double power = e.alpha == 2.0 ? 1.0 : 2.0;
    const auto s = project(row, power);
    const T others =
        row.sum([&](auto j) { return select(row.at_label(j), zero, s.prob_of(s.root(row, j))); });
    row.value(row.sum([&](auto j) {
        const T r = s.root(row, j),
                gap = select(row.at_label(j), power == 1.0 ? others : others / (1.0 + r), r);
        const T slack = select(row.at_label(j), max(zero, -s.distance(row, j)), zero);
        const T square = gap * gap;
        if (power == 1.0) return 0.5 * square + slack;
        return square * (r + select(row.at_label(j), T(2.0), zero)) * (2.0 / 3.0) + 2.0 * slack;
    }));
    if (row.wants_grad(0))
        row.grad(0, [&](auto j) {
            const T r = s.root(row, j);
            return select(row.at_label(j) & !is_nan(r), -others, s.prob_of(r));
        });
}

FUSEDLOSS_END
