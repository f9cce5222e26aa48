// Classification heads whose classes have several centres each: SoftTriple, sub-centre ArcFace.
#pragma once

#include "margin.hpp"
#include "pair_sets.hpp"

namespace fusedloss {

// Cross entropy of gain s_c, less a margin at the label (margin.hpp), s_c being the similarity of class c:
// that of its nearest centre, or for gamma > 0 the mean over its centres with softmax(cosine / gamma) for
// weights. Centre k of class c is column k * classes + c. Qian et al. (2019), Deng et al. (2020).
struct centre_softmax {
    double gain = 20.0, first = 1.0, second = 0.0, third = 0.01, gamma = 0.1, centres = 10.0;
    static constexpr const char* name = "centre_softmax";
    static constexpr const char* inputs = "scores label";
    static constexpr const char* params = "gain first second third gamma centres";
    static constexpr rows_traits traits{1, 1, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class Row>
FUSEDLOSS_INLINE void eval(const centre_softmax& p, Row& row) {
    using T = typename Row::number;
    using position = typename Row::position;
    const bool soft = p.gamma > 0.0;
    const double sharp = soft ? 1.0 / p.gamma : 0.0;
    const T zero(0.0), none(-__builtin_inf());
    const position end = row.size(), stride = end / position(p.centres);
    Row classes = row.leading(stride);
    // Scratch 0: the similarity of a class, and one stride on the derivative in it; scratch 1: the
    // log-sum-exp over its centres.
    classes.for_each([&](position c) {
        T best = row.in(0, c), total = zero, mean = zero;
        for (position j = c + stride; j < end; j += stride) {
            const T r = row.in(0, j);
            best = select((best >= r) | is_nan(best), best, r);
        }
        for (position j = c; soft && j < end; j += stride) {
            const T r = row.in(0, j), e = exp(sharp * (r - best));
            total = total + e;
            mean = mean + e * r;
        }
        row.put(0, c, soft ? mean / total : best);
        if (soft) row.put(1, c, sharp * best + log(total));
    });
    const auto z = [&](position c) { return p.gain * row.get(0, c); };
    const T cosine = classes.max([&](position c) { return select(row.at_label(c), row.get(0, c), none); });
    double c[T::lanes], harder[T::lanes], slope[T::lanes];
    store(c, cosine);
    for (int l = 0; l < T::lanes; ++l) {
        const margin_terms t = with_margin({p.first, p.second, p.third}, c[l]);
        harder[l] = t.value;
        slope[l] = t.slope;
    }
    const T others = log_sum_exp(classes, [&](position k) { return !row.at_label(k); }, z);
    const auto odds = logistic(others - p.gain * load(harder));
    row.value(odds.softplus);
    if (!row.wants_grad(0)) return;
    const T own = -(p.gain * odds.sigmoid) * load(slope);
    classes.for_each([&](position k) {
        row.put(0, k + stride, select(row.at_label(k), own, p.gain * (odds.sigmoid * exp(z(k) - others))));
    });
    for (position centre = 0; centre < end; centre += stride)
        classes.grad_from(centre, 0, [&](position k) {
            const T r = row.in(0, centre + k), pooled = row.get(0, k), g = row.get(0, k + stride);
            if (soft) return g * exp(sharp * r - row.get(1, k)) * (1.0 + sharp * (r - pooled));
            T share = select((r == pooled) | is_nan(pooled), g, zero);
            for (position earlier = k; earlier < centre; earlier += stride)
                share = select(row.in(0, earlier) == pooled, zero, share);
            return share;
        });
}

FUSEDLOSS_END
