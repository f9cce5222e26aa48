// Metric learning: what one anchor's similarities or distances to a batch cost.
#pragma once

#include "pair_sets.hpp"

namespace fusedloss {

// log(1 + sum_same e^(-alpha (s - base))) / alpha + log(1 + sum_other e^(beta (s - base))) / beta.
// Wang et al. (2019).
struct multi_similarity {
    double alpha = 2.0, beta = 50.0, base = 0.5;
    static constexpr const char* name = "multi_similarity";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "alpha beta base";
    static constexpr rows_traits traits{2, 1, true};
};

// softplus(lse_same(-gain a (s - 1 + relaxation)) + lse_other(gain b (s - relaxation))) with the weights
// a = max(0, 1 + relaxation - s), b = max(0, s + relaxation), constants if detached. Sun et al. (2020).
struct circle {
    double relaxation = 0.4, gain = 80.0, detach = 1.0;
    static constexpr const char* name = "circle";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "relaxation gain detach";
    static constexpr rows_traits traits{2, 1, true};
};

// -log of the probability of the anchor's class in softmax(s). Goldberger et al. (2004) with s = -d^2.
struct neighbourhood_components {
    static constexpr const char* name = "nca";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{2, 1, true};
};

// max(0, lse_same(d - positive_margin) + lse_other(negative_margin - d)). Hermans et al. (2017).
struct generalized_lifted {
    double positive_margin = 0.0, negative_margin = 1.0, measure = euclidean_distance;
    static constexpr const char* name = "generalized_lifted";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "positive_margin negative_margin measure";
    static constexpr rows_traits traits{2, 1, true};
};

// lse_other(negative_margin - d): what the next loss knows of every column.
struct lifted_negatives {
    double positive_margin = 0.0, negative_margin = 1.0, measure = euclidean_distance;
    static constexpr const char* name = "lifted_negatives";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "positive_margin negative_margin measure";
    static constexpr rows_traits traits{2, 1, true};
};

// sum_same max(0, J)^2 / 2 with J = log(e^a + e^b) + d - positive_margin, a and b being the lifted_negatives
// of the two, which row input 2 holds. Its gradient counts the pair from both ends. Oh Song et al. (2016).
struct lifted_structure {
    double positive_margin = 0.0, negative_margin = 1.0, measure = euclidean_distance;
    static constexpr const char* name = "lifted_structure";
    static constexpr const char* inputs = "scores column_label of_negatives label";
    static constexpr const char* params = "positive_margin negative_margin measure";
    static constexpr rows_traits traits{3, 1, true, false, 1};
};

// sum_same log(1 + sum_other e^(gain (s_other - cos(acos s - turn)))). Yu and Tao (2019).
struct tuplet_margin {
    double turn = 0.1, gain = 64.0;
    static constexpr const char* name = "tuplet_margin";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "turn gain";
    static constexpr rows_traits traits{2, 1, true};
};

// log(1 + sum_other e^(s - pull)), the row being the sum of two vectors of a class and the pull what it has
// learned. Wang et al. (2017), Deep metric learning with angular loss.
struct angular {
    static constexpr const char* name = "angular";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{2, 1, true};
};

// 1 - average precision of the anchor's ranking of the others, ranks being sums of sigmoid(sharpness (s -
// s_p)) over all s. Brown et al. (2020).
struct smooth_ap {
    double sharpness = 100.0;
    static constexpr const char* name = "smooth_ap";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "sharpness";
    static constexpr rows_traits traits{2, 1, true};
};

// The mean over the positives of what it costs to have so many negatives before them, ranks being sums of
// sigmoid(sharpness (s - s_p)); with_self counts the anchor, whose cosine is 1, as one of them. Li et al.
// (2021).
struct pnp {
    double sharpness = 100.0, curve = 0.0, alpha = 1.0, b = 2.0, with_self = 0.0;
    static constexpr const char* name = "pnp";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "sharpness curve alpha b with_self";
    static constexpr rows_traits traits{2, 1, true};
};
// What a rank R costs: R, (1 + R) log(1 + R), (b R - log(1 + b R)) / b^2, log(1 + R), 1 - (1 + R)^-alpha.
constexpr double rank_itself = 0.0, rank_rising = 1.0, rank_bounded_rise = 2.0, rank_slowing = 3.0,
                 rank_quotient = 4.0;

// (1 - share) sum_same w h / sum w with h = d - near > 0 and weights w = e^(near_sharpness h), share times
// the like with h = far - d > 0 of others; sums of weights are more by eps for each column. The weights are
// constants if detached. Wang et al. (2019).
struct ranked_list {
    double near = 0.8, far = 1.2, near_sharpness = 0.0, far_sharpness = 10.0, share = 0.5, eps = 0.0,
           detach = 1.0, measure = euclidean_distance;
    static constexpr const char* name = "ranked_list";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "near far near_sharpness far_sharpness share eps detach measure";
    static constexpr rows_traits traits{2, 1, true};
};

// 1 - average precision of histograms of distances with so many bins up to a largest distance. Cakir et al.
// (2019).
struct fast_ap {
    double bins = 10.0, farthest = 4.0;
    static constexpr const char* name = "fast_ap";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "bins farthest";
    static constexpr rows_traits traits{2, 1, true};
};
constexpr int most_bins = 128;

// sum_same max(0, alpha + d - beta) + sum_other max(0, alpha + beta - d), beta being what the row has
// learned. Wu et al. (2017).
struct margin_pairs {
    double alpha = 0.2, measure = euclidean_distance;
    static constexpr const char* name = "margin_pairs";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "alpha measure";
    static constexpr rows_traits traits{2, 1, true};
};

// The farthest of the same class against the nearest of another. `valid_only` leaves out anchors that lack
// either; otherwise 0 stands for the farthest of none, and the largest distance for the nearest of none.
// Hermans et al. (2017).
struct batch_hard {
    double gap = 5.0, soft = 0.0, valid_only = 1.0, measure = euclidean_distance;
    static constexpr const char* name = "batch_hard";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "gap soft valid_only measure";
    static constexpr rows_traits traits{2, 1, true};
};

// sum over same p, other n of max(0, d_p - d_n + gap).
struct batch_all {
    double gap = 5.0, measure = euclidean_distance;
    static constexpr const char* name = "batch_all";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "gap measure";
    static constexpr rows_traits traits{2, 1, true};
};

// sum over same p of max(0, d_p - d_n + gap), n being the nearest other beyond p or else the farthest.
// Schroff et al. (2015).
struct batch_semi_hard {
    double gap = 5.0, measure = euclidean_distance;
    static constexpr const char* name = "batch_semi_hard";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "gap measure";
    static constexpr rows_traits traits{2, 1, true};
};

// [p has partners] positive_share log(1 + sum_same e^(-gain (s - offset))) + log(1 + sum_other e^(gain (s +
// offset))): one proxy against a batch. Kim et al. (2020).
struct proxy_anchor {
    double gain = 32.0, offset = 0.1, positive_share = 1.0;
    static constexpr const char* name = "proxy_anchor";
    static constexpr const char* inputs = "scores column_label label";
    static constexpr const char* params = "gain offset positive_share";
    static constexpr rows_traits traits{2, 1, true};
};

// max(0, positive_margin - s_ii) + max(0, max_{j != i} s_ij - negative_margin), the label being i.
// Wieting and Gimpel (2018).
struct mega_batch_margin {
    double positive_margin = 0.8, negative_margin = 0.3;
    static constexpr const char* name = "mega_batch_margin";
    static constexpr const char* inputs = "scores label";
    static constexpr const char* params = "positive_margin negative_margin";
    static constexpr rows_traits traits{1, 1, true};
};

// sigmoid(-s_y) + max_{k != y} sigmoid(s_k). Wan et al. (2018), the contrast loss.
struct ge2e_contrast {
    static constexpr const char* name = "ge2e_contrast";
    static constexpr const char* inputs = "scores label";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{1, 1, true};
};

// sum_j (s_j - [j = y])^2. Zhang et al. (2019) with the s_j being cosines.
struct target_regression {
    static constexpr const char* name = "target_regression";
    static constexpr const char* inputs = "scores label";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{1, 1, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class Row>
FUSEDLOSS_INLINE void eval(const multi_similarity& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row);
    const auto near = [&](auto j) { return -p.alpha * (row.in(0, j) - p.base); };
    const auto far = [&](auto j) { return p.beta * (row.in(0, j) - p.base); };
    const T same = log_sum_exp(row, [&](auto j) { return set.same(j); }, near, 0.0);
    const T other = log_sum_exp(row, [&](auto j) { return set.other(j); }, far, 0.0);
    row.value(same / p.alpha + other / p.beta);
    if (!row.wants_grad(0)) return;
    row.grad(0, [&](auto j) { return set.choose(j, -exp(near(j) - same), exp(far(j) - other)); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const circle& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row);
    const T zero(0.0), one(1.0);
    const auto lack = [&](auto j) { return positive_part((1.0 + p.relaxation) - row.in(0, j)); };
    const auto excess = [&](auto j) { return positive_part(row.in(0, j) + p.relaxation); };
    const auto near = [&](auto j) { return -p.gain * (lack(j) * (row.in(0, j) - (1.0 - p.relaxation))); };
    const auto far = [&](auto j) { return p.gain * (excess(j) * (row.in(0, j) - p.relaxation)); };
    const T same = log_sum_exp(row, [&](auto j) { return set.same(j); }, near);
    const T other = log_sum_exp(row, [&](auto j) { return set.other(j); }, far);
    const auto joined = logistic(same + other);
    row.value(joined.softplus);
    row.count(select((same == T(-__builtin_inf())) | (other == T(-__builtin_inf())), zero, one));
    if (!row.wants_grad(0)) return;
    const T follows(p.detach != 0.0 ? 0.0 : 1.0), slope = p.gain * joined.sigmoid;
    row.grad(0, [&](auto j) {
        const T s = row.in(0, j), a = lack(j), b = excess(j);
        const T da = a - follows * sign(a) * (s - (1.0 - p.relaxation));
        const T db = b + follows * sign(b) * (s - p.relaxation);
        return set.choose(j, -slope * (da * exp(near(j) - same)), slope * (db * exp(far(j) - other)));
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const neighbourhood_components&, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row);
    const T none(-__builtin_inf()), zero(0.0), one(1.0);
    const auto z = [&](auto j) { return row.in(0, j); };
    const T same = log_sum_exp(row, [&](auto j) { return set.same(j); }, z);
    const T other = log_sum_exp(row, [&](auto j) { return set.other(j); }, z);
    // The probability of the other classes is sigmoid(other - same).
    const auto counts = !(same == none);
    const auto odds = logistic(select(counts, other - same, none));
    row.value(odds.softplus);
    row.count(select(counts, one, zero));
    if (!row.wants_grad(0)) return;
    row.grad(0, [&](auto j) {
        return set.choose(j, -odds.sigmoid * exp(z(j) - same), odds.sigmoid * exp(z(j) - other));
    });
}

// lse_other(margin - d).
template <class Row>
FUSEDLOSS_INLINE typename Row::number log_sum_of_negatives(const partners<Row>& set, double margin) {
    return log_sum_exp(
        set.row, [&](auto j) { return set.other(j); }, [&](auto j) { return margin - set.distance(j); });
}
template <class T>
FUSEDLOSS_INLINE T or_zero(T log_sum) {
    return select(log_sum == T(-__builtin_inf()), T(0.0), log_sum);
}

template <class Row>
FUSEDLOSS_INLINE void eval(const generalized_lifted& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row, p.measure);
    const auto near = [&](auto j) { return set.distance(j) - p.positive_margin; };
    const T same = log_sum_exp(row, [&](auto j) { return set.same(j); }, near);
    const T other = log_sum_of_negatives(set, p.negative_margin);
    const T value = positive_part(or_zero(same) + or_zero(other));
    row.value(value);
    if (!row.wants_grad(0)) return;
    const T active = sign(value);
    row.grad(0, [&](auto j) {
        const T far = p.negative_margin - set.distance(j);
        return set.slope(j) * set.choose(j, active * exp(near(j) - same), -active * exp(far - other));
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const lifted_negatives& p, Row& row) {
    row.value(log_sum_of_negatives(partners<Row>(row, p.measure), p.negative_margin));
}

template <class Row>
FUSEDLOSS_INLINE void eval(const lifted_structure& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row, p.measure);
    const T none(-__builtin_inf()), zero(0.0), one(1.0), weight = row.learned();
    const T own = log_sum_of_negatives(set, p.negative_margin);
    // log(e^own + e^theirs), 0 of nothing, and the share that `own` has in it.
    const auto joined = [&](auto j) { return logistic(select(own == none, none, own - row.in(2, j))); };
    const auto excess = [&](auto j) {
        const T theirs = row.in(2, j), both = select(theirs == none, own, theirs + joined(j).softplus);
        const T found = positive_part(or_zero(both) + (set.distance(j) - p.positive_margin));
        return select(set.same(j), found, zero);
    };
    const T squares = row.sum([&](auto j) {
        const T e = excess(j);
        return 0.5 * (e * e);
    });
    row.value(select(weight == zero, zero, weight * squares));
    row.count(weight * set.count_same());
    if (!row.wants_grad(0)) return;
    // A pair has the same excess from both ends, and the negatives of both in it.
    const T through_own = row.sum([&](auto j) {
        const T share = select(row.in(2, j) == none, one, joined(j).sigmoid);
        return (weight + row.class_weight(j)) * (excess(j) * share);
    });
    row.grad(0, [&](auto j) {
        const T far = p.negative_margin - set.distance(j);
        return set.slope(j) * set.choose(j, weight * excess(j), -through_own * exp(far - own));
    });
}

// The sine of the angle whose cosine is c, at least 1e-6: the derivative in the cosine has it for a divisor.
template <class T>
FUSEDLOSS_INLINE T sine_of(T c) {
    const T square = (1.0 - c) * (1.0 + c);
    return sqrt(select(square < T(1e-12), T(1e-12), square));
}

template <class Row>
FUSEDLOSS_INLINE void eval(const tuplet_margin& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row);
    const T zero(0.0);
    const double turn_cos = __builtin_cos(p.turn), turn_sin = __builtin_sin(p.turn);
    const auto far = [&](auto j) { return p.gain * row.in(0, j); };
    const T other = log_sum_exp(row, [&](auto j) { return set.other(j); }, far);
    const auto odds = [&](auto j) {
        const T c = row.in(0, j);
        return logistic(other - p.gain * (c * turn_cos + sine_of(c) * turn_sin));
    };
    row.value(row.sum([&](auto j) { return select(set.same(j), odds(j).softplus, zero); }));
    row.count(set.count_same());
    if (!row.wants_grad(0)) return;
    const T all = p.gain * row.sum([&](auto j) { return select(set.same(j), odds(j).sigmoid, zero); });
    row.grad(0, [&](auto j) {
        const T c = row.in(0, j), turned = turn_cos - turn_sin * (c / sine_of(c));
        return set.choose(j, -p.gain * odds(j).sigmoid * turned, all * exp(far(j) - other));
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const angular&, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row);
    const auto score = [&](auto j) { return row.in(0, j); };
    const T other = log_sum_exp(row, [&](auto j) { return set.other(j); }, score);
    const auto odds = logistic(other - row.learned());
    row.value(odds.softplus);
    if (!row.wants_grad(0)) return;
    row.learned_grad(-odds.sigmoid);
    row.grad(0, [&](auto j) { return set.choose(j, T(0.0), odds.sigmoid * exp(score(j) - other)); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const margin_pairs& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row, p.measure);
    const T beta = row.learned();
    const auto excess = [&](auto j) {
        const T beyond = set.distance(j) - beta;
        const T far = positive_part(p.alpha + beyond), near = positive_part(p.alpha - beyond);
        return set.choose(j, far, near);
    };
    const auto pull = [&](auto j) { return set.choose(j, sign(excess(j)), -sign(excess(j))); };
    row.value(row.sum(excess));
    row.count(row.sum([&](auto j) { return abs(pull(j)); }));
    if (!row.wants_grad(0)) return;
    row.learned_grad(-row.sum(pull));
    row.grad(0, [&](auto j) { return set.slope(j) * pull(j); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const batch_hard& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row, p.measure);
    const T zero(0.0), one(1.0), none(__builtin_inf());
    const auto distance = [&](auto j) { return set.distance(j); };
    const auto any_of = [&](auto j) { return set.same(j) | set.other(j); };
    const T farthest = row.max([&](auto j) { return select(set.same(j), distance(j), -none); });
    const T nearest = row.min([&](auto j) { return select(set.other(j), distance(j), none); });
    const T largest = row.max([&](auto j) { return select(any_of(j), distance(j), -none); });
    const auto lonely = farthest == -none, unopposed = nearest == none;
    const auto counts = p.valid_only != 0.0 ? !(lonely | unopposed) : !(largest == -none);
    const T easy = select(unopposed, largest, nearest);
    const T gap = select(counts, select(lonely, zero, farthest) - easy, zero);
    const auto curve = logistic(gap);
    const T hinge = positive_part(gap + p.gap);
    row.value(select(counts, p.soft != 0.0 ? curve.softplus : hinge, zero));
    row.count(select(counts, one, zero));
    if (!row.wants_grad(0)) return;
    const T slope = select(counts, p.soft != 0.0 ? curve.sigmoid : sign(hinge), zero);
    const T positive = first_index(row, [&](auto j) { return set.same(j) & (distance(j) == farthest); });
    const T negative = first_index(
        row, [&](auto j) { return (set.other(j) | (unopposed & any_of(j))) & (distance(j) == easy); });
    row.grad(0, [&](auto j) {
        const T pull = select(row.index(j) == positive, slope, zero);
        return set.slope(j) * (pull - select(row.index(j) == negative, slope, zero));
    });
}

// f(index, whether, score) for every column that is a positive of any of the rows, one after another.
template <class Row, class F>
FUSEDLOSS_INLINE void for_each_positive(Row& row, F f) {
    using T = typename Row::number;
    double classes[T::lanes];
    store(classes, row.classes());
    for (double p = 0.0; p < classes[0]; p += 1.0) {
        const T score = row.at(0, T(p));
        const auto found = (row.at(1, T(p)) == row.label()) & !(score == T(-__builtin_inf()));
        if (any(found)) f(T(p), found, score);
    }
}

template <class Row>
FUSEDLOSS_INLINE void eval(const batch_all& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row, p.measure);
    const T zero(0.0);
    T total(0.0), count(0.0);
    // Scratch 1: the distances. Scratch 0: in how many triplets with a loss a positive is, and minus that of
    // a negative.
    row.for_each([&](auto j) {
        row.put(0, j, zero);
        row.put(1, j, set.distance(j));
    });
    for_each_positive(row, [&](T index, auto is_positive, T score) {
        const T reach = set.distance_of(score) + p.gap;
        const auto excess = [&](auto j) {
            return select(set.other(j) & is_positive, positive_part(reach - row.get(1, j)), zero);
        };
        total = total + row.sum(excess);
        const T active = row.sum([&](auto j) {
            const T one = sign(excess(j));
            row.put(0, j, row.get(0, j) - one);
            return one;
        });
        row.add_at(0, index, active);
        count = count + active;
    });
    row.value(total);
    row.count(count);
    if (row.wants_grad(0)) row.grad(0, [&](auto j) { return set.slope(j) * row.get(0, j); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const smooth_ap& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row);
    const T zero(0.0), one(1.0), least(1e-300), many = set.count_same();
    const T share = select(many == zero, zero, one / many);
    T total(0.0);
    // Scratch 0: the gradient. Scratch 1: by how much a column is ahead of the positive, q = sigmoid(x);
    // where x > 0 it is q - 1, of which no digit is lost either.
    row.for_each([&](auto j) { row.put(0, j, zero); });
    const auto ahead = [&](auto j) {
        const T kept = row.get(1, j);
        return select(kept < zero, one + kept, kept);
    };
    for_each_positive(row, [&](T index, auto is_positive, T score) {
        const auto same = [&](auto j) { return set.same(j) & !(row.index(j) == index); };
        row.for_each([&](auto j) {
            const T x = p.sharpness * (row.in(0, j) - score);
            const auto curve = logistic(x);
            row.put(1, j, select(x > zero, -max(curve.sigmoid_neg, least), curve.sigmoid));
        });
        const T near = one + row.sum([&](auto j) { return select(same(j), ahead(j), zero); });
        const T far = row.sum([&](auto j) { return select(set.other(j), ahead(j), zero); });
        const T rank = near + far;
        total = total + select(is_positive, share * (far / rank), zero);
        if (!row.wants_grad(0)) return;
        const T factor = select(is_positive, share * p.sharpness / (rank * rank), zero);
        const T pulled = row.sum([&](auto j) {
            const T side = select(set.other(j), near, select(same(j), -far, zero));
            const T slope = factor * side * (abs(row.get(1, j)) * (one - abs(row.get(1, j))));
            row.put(0, j, row.get(0, j) + slope);
            return slope;
        });
        row.add_at(0, index, -pulled);
    });
    row.value(total);
    row.count(sign(many));
    if (row.wants_grad(0)) row.grad(0, [&](auto j) { return row.get(0, j); });
}

// x - log(1 + x) for x >= 0.
template <class T>
FUSEDLOSS_INLINE T log1p_lag(T x) {
    T series(1.0 / 9.0);
    for (double k = 8.0; k >= 2.0; k -= 1.0) series = 1.0 / k - x * series;
    return select(x < T(0.01), x * x * series, x - log1p(x));
}

// What a rank costs, and what one more costs there.
template <class T>
struct rank_cost {
    T value, slope;
};
template <class T>
FUSEDLOSS_INLINE rank_cost<T> cost_of_rank(const pnp& p, T rank) {
    const T log_one_more = log1p(rank);
    if (p.curve == rank_itself) return {rank, T(1.0)};
    if (p.curve == rank_rising) return {(1.0 + rank) * log_one_more, 1.0 + log_one_more};
    if (p.curve == rank_bounded_rise) return {log1p_lag(p.b * rank) / (p.b * p.b), rank / (1.0 + p.b * rank)};
    if (p.curve == rank_slowing) return {log_one_more, 1.0 / (1.0 + rank)};
    return {-expm1(-p.alpha * log_one_more), p.alpha * exp(-(p.alpha + 1.0) * log_one_more)};
}

template <class Row>
FUSEDLOSS_INLINE void eval(const pnp& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row);
    const T zero(0.0), one(1.0), found = set.count_same();
    const T share = select(found == zero, zero, one / (found + p.with_self));
    T total(0.0);
    // Scratch 0: the gradient. Scratch 1: by how much the rank of the positive grows with a similarity.
    row.for_each([&](auto j) { row.put(0, j, zero); });
    const auto add = [&](T score, auto counts) -> T {
        const T rank = row.sum([&](auto j) {
            const auto ahead = logistic(p.sharpness * (row.in(0, j) - score));
            const T q = select(set.other(j), ahead.sigmoid, zero);
            row.put(1, j, q * ahead.sigmoid_neg);
            return q;
        });
        const auto cost = cost_of_rank(p, rank);
        total = total + select(counts, share * cost.value, zero);
        if (!row.wants_grad(0)) return zero;
        const T factor = select(counts, share * (p.sharpness * cost.slope), zero);
        return row.sum([&](auto j) {
            const T slope = factor * row.get(1, j);
            row.put(0, j, row.get(0, j) + slope);
            return slope;
        });
    };
    for_each_positive(row, [&](T index, auto is_positive, T score) {
        const T pulled = add(score, is_positive);
        row.add_at(0, index, -pulled);
    });
    if (p.with_self != 0.0) add(one, !(found == zero));
    row.value(total);
    row.count(sign(found));
    if (row.wants_grad(0)) row.grad(0, [&](auto j) { return row.get(0, j); });
}

// sum w h / (sum w + slack) over a set of columns with weights w = e^(sharpness h), 0 without any; and what
// its derivative in one of the h is.
template <class T>
struct weighted_excess {
    double sharpness;
    T origin, inverse, mean;  // of the exponents; of the sum of weights

    FUSEDLOSS_INLINE T by(T h, double detach) const {
        const T through = detach != 0.0 ? T(1.0) : 1.0 + sharpness * (h - mean);
        return exp(sharpness * h - origin) * inverse * through;
    }
};
template <class Row, class Set, class F>
FUSEDLOSS_INLINE weighted_excess<typename Row::number> mean_excess(const Row& row, Set set, F h,
                                                                   double sharpness, double eps) {
    using T = typename Row::number;
    const T zero(0.0), none(-__builtin_inf());
    const T most = row.max([&](auto j) { return select(set(j), sharpness * h(j), none); });
    const T origin = select(most == none, zero, most);
    const auto weight = [&](auto j) { return select(set(j), exp(sharpness * h(j) - origin), zero); };
    const T total = row.sum(weight) + eps * row.classes() * exp(-origin);
    const T excess = row.sum([&](auto j) { return select(set(j), weight(j) * h(j), zero); });
    const T inverse = select(most == none, zero, 1.0 / total);
    return {sharpness, origin, inverse, excess * inverse};
}

template <class Row>
FUSEDLOSS_INLINE void eval(const ranked_list& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row, p.measure);
    const T zero(0.0);
    const auto lack = [&](auto j) { return set.distance(j) - p.near; };
    const auto excess = [&](auto j) { return p.far - set.distance(j); };
    // Not below: a number that is none belongs to both.
    const auto same = [&](auto j) { return set.same(j) & !(lack(j) <= zero); };
    const auto other = [&](auto j) { return set.other(j) & !(excess(j) <= zero); };
    const auto of_same = mean_excess(row, same, lack, p.near_sharpness, p.eps);
    const auto of_other = mean_excess(row, other, excess, p.far_sharpness, p.eps);
    row.value((1.0 - p.share) * of_same.mean + p.share * of_other.mean);
    if (!row.wants_grad(0)) return;
    row.grad(0, [&](auto j) {
        const T near = select(same(j), (1.0 - p.share) * of_same.by(lack(j), p.detach), zero);
        const T far = select(other(j), p.share * of_other.by(excess(j), p.detach), zero);
        return set.slope(j) * set.choose(j, near, -far);
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const fast_ap& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row, squared_distance);
    const T zero(0.0), one(1.0), many = set.count_same();
    const T share = select(many == zero, zero, one / many);
    const int bins = int(p.bins);
    const double width = p.farthest / p.bins;
    // How far a column is from the middle of a bin, in widths of bins: it counts for the two next to it.
    const auto away = [&](auto j, int b) { return set.distance(j) / width - double(b); };
    const auto pulse = [&](auto j, int b) { return positive_part(one - abs(away(j, b))); };
    // By bin: how many positives it has, what part of all up to it they are, and how many those are.
    T found[most_bins + 1], precision[most_bins + 1], inverse[most_bins + 1];
    T positives(0.0), all(0.0), gained(0.0);
    for (int b = 0; b <= bins; ++b) {
        found[b] = row.sum([&](auto j) { return select(set.same(j), pulse(j, b), zero); });
        const T other = row.sum([&](auto j) { return select(set.other(j), pulse(j, b), zero); });
        positives = positives + found[b];
        all = all + (found[b] + other);
        inverse[b] = select(all == zero, zero, one / all);
        precision[b] = positives * inverse[b];
        gained = gained + found[b] * precision[b];
    }
    row.value(select(many == zero, many, one - share * gained));
    row.count(sign(many));
    if (!row.wants_grad(0)) return;
    // Derivatives of `gained` in what a bin has of positives and of others take the place of the first two.
    T later_same(0.0), later_other(0.0);
    for (int b = bins; b >= 0; --b) {
        const T weight = found[b] * inverse[b];
        later_same = later_same + weight * (one - precision[b]);
        later_other = later_other - weight * precision[b];
        found[b] = precision[b] + later_same;
        precision[b] = later_other;
    }
    const T factor = share / width;
    row.grad(0, [&](auto j) {
        T slope(0.0);
        for (int b = 0; b <= bins; ++b) {
            const T side = away(j, b), inside = sign(positive_part(one - abs(side)));
            slope = slope + inside * sign(side) * set.choose(j, found[b], precision[b]);
        }
        return select(set.same(j) | set.other(j), -(factor * slope), zero);
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const batch_semi_hard& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row, p.measure);
    const T zero(0.0), one(1.0), none(__builtin_inf());
    T total(0.0), count(0.0);
    row.for_each([&](auto j) {
        row.put(0, j, zero);
        row.put(1, j, set.distance(j));
    });
    const auto distance = [&](auto j) { return row.get(1, j); };
    const T farthest = row.max([&](auto j) { return select(set.other(j), distance(j), -none); });
    const T last = first_index(row, [&](auto j) { return set.other(j) & (distance(j) == farthest); });
    const auto opposed = !(farthest == -none);
    for_each_positive(row, [&](T index, auto is_positive, T score) {
        const T d = set.distance_of(score);
        const auto beyond = [&](auto j) { return set.other(j) & (distance(j) > d); };
        const T nearest = row.min([&](auto j) { return select(beyond(j), distance(j), none); });
        const T first = first_index(row, [&](auto j) { return beyond(j) & (distance(j) == nearest); });
        const auto found = nearest < none, counts = is_positive & opposed;
        const T excess = positive_part((d - select(found, nearest, farthest)) + p.gap);
        const T active = select(counts, sign(excess), zero);
        total = total + select(counts, excess, zero);
        count = count + select(counts, one, zero);
        row.add_at(0, index, active);
        row.add_at(0, select(found, first, last), -active);
    });
    row.value(total);
    row.count(count);
    if (row.wants_grad(0)) row.grad(0, [&](auto j) { return set.slope(j) * row.get(0, j); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const proxy_anchor& p, Row& row) {
    using T = typename Row::number;
    const partners<Row> set(row);
    const auto near = [&](auto j) { return -p.gain * (row.in(0, j) - p.offset); };
    const auto far = [&](auto j) { return p.gain * (row.in(0, j) + p.offset); };
    const T same = log_sum_exp(row, [&](auto j) { return set.same(j); }, near, 0.0);
    const T other = log_sum_exp(row, [&](auto j) { return set.other(j); }, far, 0.0);
    row.value(p.positive_share * same + other);
    if (!row.wants_grad(0)) return;
    const T pull = p.gain * p.positive_share, push = p.gain;
    row.grad(0,
             [&](auto j) { return set.choose(j, -pull * exp(near(j) - same), push * exp(far(j) - other)); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const mega_batch_margin& p, Row& row) {
    using T = typename Row::number;
    const T zero(0.0), none(__builtin_inf());
    const T lack = positive_part(p.positive_margin - row.at(0, row.label()));
    const T hardest = row.max([&](auto j) { return select(row.at_label(j), -none, row.in(0, j)); });
    const T excess = positive_part(hardest - p.negative_margin);
    row.value(lack + excess);
    if (!row.wants_grad(0)) return;
    const T pull = sign(lack), push = sign(excess);
    const T at = first_index(row, [&](auto j) { return (row.in(0, j) == hardest) & !row.at_label(j); });
    row.grad(0,
             [&](auto j) { return select(row.at_label(j), -pull, select(row.index(j) == at, push, zero)); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const target_regression&, Row& row) {
    const auto error = [&](auto j) { return row.in(0, j) - row.onehot(j); };
    row.value(row.sum([&](auto j) { return error(j) * error(j); }));
    if (row.wants_grad(0)) row.grad(0, [&](auto j) { return 2.0 * error(j); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const ge2e_contrast&, Row& row) {
    using T = typename Row::number;
    const T zero(0.0), none(-__builtin_inf());
    const T nearest = row.max([&](auto j) { return select(row.at_label(j), none, row.in(0, j)); });
    const auto own = logistic(row.at(0, row.label())), other = logistic(nearest);
    row.value(own.sigmoid_neg + other.sigmoid);
    if (!row.wants_grad(0)) return;
    const T pull = own.sigmoid * own.sigmoid_neg, push = other.sigmoid * other.sigmoid_neg;
    const T at = first_index(row, [&](auto j) { return (row.in(0, j) == nearest) & !row.at_label(j); });
    row.grad(0,
             [&](auto j) { return select(row.at_label(j), -pull, select(row.index(j) == at, push, zero)); });
}

FUSEDLOSS_END
