// Classification heads whose margins go with the length of an embedding or with the state of the training:
// AdaFace, MagFace, CurricularFace.
#pragma once

#include "margin.hpp"
#include "pair_sets.hpp"

namespace fusedloss {

// Cross entropy of gain c_j, the c_j being cosines, with a margin at the label (margin.hpp). Where the row
// has the length a, which it has learned, it is at z = clamp((a - origin) / width, least, most): its margin
// has the angle second + second_by z and takes off third + third_by z; `follows` says whether a gradient goes
// through z. The length itself costs length_cost (b / u^2 + 1 / b), b being origin + width z and u the
// greatest b. With a curriculum, cosines c_j above that of the label with its margin count as
// c_j (hardness + c_j). Kim et al. (2022), Meng et al. (2021), Huang et al. (2020).
struct adaptive_margin {
    double gain = 64.0, second = 0.0, third = 0.0, beyond = 0.0;
    double origin = 0.0, width = 1.0, least = 0.0, most = 1.0;
    double second_by = 0.0, third_by = 0.0, follows = 0.0, length_cost = 0.0;
    double curriculum = 0.0, hardness = 0.0;
    static constexpr const char* name = "adaptive_margin";
    static constexpr const char* inputs = "scores label";
    static constexpr const char* params =
        "gain second third beyond origin width least most second_by third_by follows length_cost curriculum "
        "hardness";
    static constexpr rows_traits traits{1, 1, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class Row>
FUSEDLOSS_INLINE void eval(const adaptive_margin& p, Row& row) {
    using T = typename Row::number;
    const T zero(0.0), one(1.0), least(p.least), most(p.most);
    const T free = (row.learned() - p.origin) / p.width;
    const T place = select(free < least, least, select(free > most, most, free));
    const T moves = select((free > least) & (free < most), T(p.follows / p.width), zero);
    const T cosine = row.at(0, row.label());
    double c[T::lanes], z[T::lanes], harder[T::lanes], slope[T::lanes], by_place[T::lanes];
    store(c, cosine);
    store(z, place);
    for (int l = 0; l < T::lanes; ++l) {
        const target_margin margin{1.0, p.second + p.second_by * z[l], p.third + p.third_by * z[l],
                                   margin_beyond(int(p.beyond))};
        const margin_terms t = with_margin(margin, c[l]);
        harder[l] = t.value;
        slope[l] = t.slope;
        by_place[l] = t.by_second * p.second_by - p.third_by;
    }
    const T sine = sqrt(positive_part((1.0 - cosine) * (1.0 + cosine)));
    const T turned = cosine * __builtin_cos(p.second) - sine * __builtin_sin(p.second);
    const T limit = p.curriculum != 0.0 ? turned : T(__builtin_inf());
    const auto score = [&](auto j) {
        const T s = row.in(0, j);
        return p.gain * select(s > limit, s * (p.hardness + s), s);
    };
    const T others = log_sum_exp(row, [&](auto j) { return !row.at_label(j); }, score);
    const auto odds = logistic(others - p.gain * load(harder));
    const T length = p.origin + p.width * place, longest = p.origin + p.width * p.most;
    const T inverse = one / length, least_inverse = one / longest;
    const bool costs = p.length_cost != 0.0;
    const T cost = costs ? p.length_cost * (length * (least_inverse * least_inverse) + inverse) : zero;
    row.value(odds.softplus + cost);
    if (!row.wants_grad(0)) return;
    const T pull = p.gain * odds.sigmoid;
    const T by_length = costs ? p.length_cost * (least_inverse * least_inverse - inverse * inverse) : zero;
    row.learned_grad(moves * (p.width * by_length - pull * load(by_place)));
    row.grad(0, [&](auto j) {
        const T s = row.in(0, j), rise = select(s > limit, p.hardness + 2.0 * s, one);
        return select(row.at_label(j), -pull * load(slope), pull * rise * exp(score(j) - others));
    });
}

FUSEDLOSS_END
