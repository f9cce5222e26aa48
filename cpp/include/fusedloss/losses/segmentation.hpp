// Losses of the overlap of predicted and true masks.
#pragma once

#include "overlap_terms.hpp"

namespace fusedloss {

// What is made of 1 - score.
namespace overlap_transform {
constexpr double none = 0.0;
constexpr double log = 1.0;       // -log(score), not below `exponent`
constexpr double power = 2.0;     // to the power of `exponent`
constexpr double log_cosh = 3.0;  // its log cosh
}  // namespace overlap_transform

// 1 - (both + smooth_nr) / (both + alpha surplus + beta missing + smooth_dr): Dice, Jaccard and what lies
// between.
struct tversky {
    double alpha, beta, smooth_nr, smooth_dr, transform, exponent;
    static constexpr char name[] = "tversky";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "alpha beta smooth_nr smooth_dr transform exponent";
    static constexpr overlap_traits traits{};
};

// (mean of 1 - score over the classes)^exponent.
struct tversky_mean {
    double alpha, beta, smooth_nr, smooth_dr, exponent;
    static constexpr char name[] = "tversky_mean";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "alpha beta smooth_nr smooth_dr exponent";
    static constexpr overlap_traits traits{true};
};

// The Dice loss of weighted sums over the classes; weights are volume^-exponent, and that of an empty class
// the largest of the others.
struct generalized_dice {
    double smooth_nr, smooth_dr, exponent;
    static constexpr char name[] = "generalized_dice";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "smooth_nr smooth_dr exponent";
    static constexpr overlap_traits traits{true};
};

// 1 - Matthews correlation coefficient of the soft counts, to each of which `smooth` is added.
struct matthews {
    double smooth;
    static constexpr char name[] = "matthews";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "smooth";
    static constexpr overlap_traits traits{false, overlap_extra::neither};
};

// The mean of p times the distance over the positions.
struct boundary {
    static constexpr char name[] = "boundary";
    static constexpr char inputs[] = "input distance";
    static constexpr char params[] = "";
    static constexpr overlap_traits traits{};
};

// The mean over the positions of what only one of the masks has.
struct mean_difference {
    static constexpr char name[] = "mean_difference";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "";
    static constexpr overlap_traits traits{};
};

// The terms are weighted by the cost of the class at the label: both + surplus is the Wasserstein distance of
// all positions, both that of the foreground, and extra the number of positions in it.
struct wasserstein_dice {
    double smooth_nr, smooth_dr;
    static constexpr char name[] = "wasserstein_dice";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "smooth_nr smooth_dr";
    static constexpr overlap_traits traits{true, overlap_extra::target, false, true};
};

// overlap_weight times the mean of 1 - score over the classes, plus pixel_weight times the mean loss by
// position; of every class by itself (by_class) or of all together.
struct tversky_and_pixels {
    double alpha, beta, smooth_nr, smooth_dr, overlap_weight, pixel_weight, by_class;
    static constexpr char name[] = "tversky_and_pixels";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "alpha beta smooth_nr smooth_dr overlap_weight pixel_weight by_class";
    static constexpr overlap_traits traits{true, overlap_extra::none, true};
};

// The mean over the classes, each a mask by itself, of pixel_weight times the mean loss by position and the
// rest of it times 1 - score of the background plus (1 - score)^exponent of the foreground, all of them
// halved.
struct unified_focal {
    double alpha, beta, smooth_nr, smooth_dr, pixel_weight, exponent;
    static constexpr char name[] = "unified_focal";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "alpha beta smooth_nr smooth_dr pixel_weight exponent";
    static constexpr overlap_traits traits{true, overlap_extra::neither, true};
};

// The Lovasz extension of the Jaccard loss: of margins for each class, or of probabilities for all classes of
// a group, those without any target left out (`present`) or not. Their errors are sorted
// (core/radix_sort.hpp).
struct lovasz_hinge {
    static constexpr char name[] = "lovasz_hinge";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "";
    static constexpr overlap_traits traits{false, overlap_extra::none, false, false, true};
};
struct lovasz_softmax {
    double present;
    static constexpr char name[] = "lovasz_softmax";
    static constexpr char inputs[] = "input target";
    static constexpr char params[] = "present";
    static constexpr overlap_traits traits{true, overlap_extra::none, false, false, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// 1 - score of sums with weights, and the score; `scale` is the inverse of the denominator.
template <class T>
struct tversky_score {
    T rest, score, scale;
};
template <class P, class T>
FUSEDLOSS_INLINE tversky_score<T> score_of(const P& p, const overlap_sums<T>& s) {
    const T wrong = p.alpha * s.surplus + p.beta * s.missing, den = s.both + wrong + p.smooth_dr;
    const T scale = select(den == T(0.0), T(0.0), 1.0 / den);  // nothing predicted and nothing there: no loss
    return {(wrong + (p.smooth_dr - p.smooth_nr)) * scale, (s.both + p.smooth_nr) * scale, scale};
}
// slope times the derivatives of 1 - score.
template <class P, class T>
FUSEDLOSS_INLINE overlap_sums<T> slopes_of(const P& p, const tversky_score<T>& r, T slope) {
    const T by = slope * r.scale;
    return {-by * r.rest, p.alpha * by * r.score, p.beta * by * r.score, T(0.0)};
}

template <class T>
FUSEDLOSS_INLINE overlap_terms<T> eval(const tversky& p, const overlap_sums<T>& s, T) {
    const auto r = score_of(p, s);
    T value = r.rest, slope = 1.0;
    if (p.transform == overlap_transform::log) {
        const auto limited = r.score < T(p.exponent);
        const T log_score = select(r.rest < T(0.5), log1p(-r.rest), log(r.score));
        value = -select(limited, log(T(p.exponent)), log_score);
        slope = select(limited, T(0.0), 1.0 / r.score);
    } else if (p.transform == overlap_transform::power) {
        value = pow(r.rest, T(p.exponent));
        slope = select(r.rest == T(0.0), T(0.0), p.exponent * pow(r.rest, T(p.exponent - 1.0)));
    } else if (p.transform == overlap_transform::log_cosh) {
        value = log_cosh(r.rest);
        slope = tanh(r.rest);
    }
    return {value, slopes_of(p, r, slope)};
}

// The mean over the classes that a combined loss takes.
template <class P, class Group>
FUSEDLOSS_INLINE typename Group::number mean_rest(const P& p, const Group& group) {
    typename Group::number total(0.0);
    for (int j = group.first(); j < group.classes(); ++j)
        total = total + weighted(score_of(p, group.sums(j)).rest, group.weight(j));
    return total / double(group.classes() - group.first());
}
template <class P, class Group>
FUSEDLOSS_INLINE void spread_slope(const P& p, Group& group, typename Group::number slope) {
    const auto own = slope / double(group.classes() - group.first());
    for (int j = group.first(); j < group.classes(); ++j)
        group.slopes(j, slopes_of(p, score_of(p, group.sums(j)), weighted(own, group.weight(j))));
}

template <class Group>
FUSEDLOSS_INLINE void eval(const tversky_mean& p, Group& group) {
    using T = typename Group::number;
    const T mean = mean_rest(p, group);
    group.value(pow(mean, T(p.exponent)));
    const T slope = p.exponent * pow(mean, T(p.exponent - 1.0));
    spread_slope(p, group, select(mean == T(0.0), T(p.exponent == 1.0 ? 1.0 : 0.0), slope));
}

template <class Group>
FUSEDLOSS_INLINE void eval(const tversky_and_pixels& p, Group& group) {
    using T = typename Group::number;
    T surprise(0.0), count(0.0);
    for (int j = 0; j < group.classes(); ++j) {
        surprise = surprise + group.pixel(j);
        if (j == 0 || p.by_class != 0.0) count = count + group.count(j);
    }
    const T scale = select(count == T(0.0), T(0.0), p.pixel_weight / count);
    group.value(p.overlap_weight * mean_rest(p, group) + weighted(surprise, scale));
    spread_slope(p, group, T(p.overlap_weight));
    for (int j = 0; j < group.classes(); ++j) group.pixel_slope(j, scale);
}

template <class Group>
FUSEDLOSS_INLINE void eval(const unified_focal& p, Group& group) {
    using T = typename Group::number;
    const T zero(0.0);
    const double half = 0.5 / double(group.classes() - group.first());
    T total(0.0);
    for (int j = group.first(); j < group.classes(); ++j) {
        const auto s = group.sums(j);
        const auto foreground = score_of(p, s);
        // What the foreground has too much, the background lacks.
        const auto background = score_of(p, overlap_sums<T>{s.extra, s.missing, s.surplus, zero});
        const T power = pow(foreground.rest, T(p.exponent));
        const T slope = select(foreground.rest == zero, zero, p.exponent * power / foreground.rest);
        const T count = group.count(j),
                by_overlap = weighted(T((1.0 - p.pixel_weight) * half), group.weight(j));
        const T by_pixel =
            weighted(select(count == zero, zero, p.pixel_weight * half / count), group.weight(j));
        total = total + weighted(background.rest + power, by_overlap) + weighted(group.pixel(j), by_pixel);
        const auto own = slopes_of(p, foreground, weighted(slope, by_overlap));
        const auto other = slopes_of(p, background, by_overlap);
        group.slopes(j, {own.both, own.surplus + other.missing, own.missing + other.surplus, other.both});
        group.pixel_slope(j, by_pixel);
    }
    group.value(total);
}

template <class Group>
FUSEDLOSS_INLINE void eval(const generalized_dice& p, Group& group) {
    using T = typename Group::number;
    const T zero(0.0), infinity(__builtin_inf());
    const auto inverse = [&](int j) {
        const auto s = group.sums(j);
        const T volume = s.both + s.missing;
        return p.exponent == 2.0 ? 1.0 / (volume * volume) : pow(volume, T(-p.exponent));
    };
    T largest(0.0);
    for (int j = group.first(); j < group.classes(); ++j) {
        const T w = inverse(j);
        largest = select((w > largest) & (w < infinity), w, largest);
    }
    const auto weight = [&](int j) {
        const T w = inverse(j);
        return weighted(select(w == infinity, largest, w), group.weight(j));
    };
    T wrong(0.0), right(0.0);
    for (int j = group.first(); j < group.classes(); ++j) {
        const auto s = group.sums(j);
        const T w = weight(j);
        wrong = wrong + w * (s.surplus + s.missing);
        right = right + 2.0 * w * s.both;
    }
    const T den = right + wrong + p.smooth_dr, scale = select(den == zero, zero, 1.0 / den);
    const T rest = (wrong + (p.smooth_dr - p.smooth_nr)) * scale, score = (right + p.smooth_nr) * scale;
    group.value(rest);
    for (int j = group.first(); j < group.classes(); ++j) {
        const T w = weight(j) * scale;
        group.slopes(j, {-2.0 * w * rest, w * score, w * score, zero});
    }
}

// With a, b, c, d the true positives and negatives and the false ones, 1 - x / y of x = a b - c d and
// y^2 = (a + c)(a + d)(b + c)(b + d) is (y^2 - x^2) / (y (y + x)), and y^2 - x^2 a sum of positive terms.
template <class T>
FUSEDLOSS_INLINE overlap_terms<T> eval(const matthews& p, const overlap_sums<T>& s, T) {
    const T a = s.both + p.smooth, b = s.extra + p.smooth, c = s.surplus + p.smooth, d = s.missing + p.smooth;
    const T x = a * b - c * d, y = sqrt((a + c) * (a + d)) * sqrt((b + c) * (b + d));
    const auto undefined = y == T(0.0);
    const T gap = (a + b + c + d) * (a * b * (c + d) + c * d * (a + b));
    const T value = select(x > T(0.0), gap / (y * (y + x)), 1.0 - x / y);
    const T r = x / y, ac = 0.5 / (a + c), ad = 0.5 / (a + d), bc = 0.5 / (b + c), bd = 0.5 / (b + d);
    const auto slope = [&](T dx, T dlog_y) { return select(undefined, T(0.0), r * dlog_y - dx / y); };
    return {select(undefined, T(1.0), value),
            {slope(b, ac + ad), slope(-d, ac + bc), slope(-c, ad + bd), slope(a, bc + bd)}};
}

template <class T>
FUSEDLOSS_INLINE overlap_terms<T> eval(const boundary&, const overlap_sums<T>& s, T count) {
    const T scale = select(count == T(0.0), T(0.0), 1.0 / count);
    return {s.both * scale, {scale, T(0.0), T(0.0), T(0.0)}};
}
template <class T>
FUSEDLOSS_INLINE overlap_terms<T> eval(const mean_difference&, const overlap_sums<T>& s, T count) {
    const T scale = select(count == T(0.0), T(0.0), 1.0 / count);
    return {(s.surplus + s.missing) * scale, {T(0.0), scale, scale, T(0.0)}};
}

template <class Group>
FUSEDLOSS_INLINE void eval(const wasserstein_dice& p, Group& group) {
    using T = typename Group::number;
    T distance(0.0), foreground(0.0);
    for (int j = 0; j < group.classes(); ++j) {
        const auto s = group.sums(j);
        distance = distance + (s.both + s.surplus);
        foreground = foreground + s.both;
    }
    const T right = 2.0 * (group.sums(0).extra - foreground), den = right + distance + p.smooth_dr;
    const T wrong = distance + (p.smooth_dr - p.smooth_nr), scale = select(den == T(0.0), T(0.0), 1.0 / den);
    const T rest = wrong * scale, score = (right + p.smooth_nr) * scale;
    group.value(rest);
    for (int j = 0; j < group.classes(); ++j)
        group.slopes(j, {(1.0 + rest) * scale, score * scale, T(0.0), T(0.0)});
}

FUSEDLOSS_END
