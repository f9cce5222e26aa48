// Binary classification: cross entropies of a probability or a logit, and losses of the margin m = y x.
#pragma once

#include "products.hpp"

namespace fusedloss {

// Binary cross entropy of a probability p: -(t log p + (1 - t) log(1 - p)), with 0 log 0 = 0.
// A finite log_clamp is PyTorch's convention: logarithms no lower than -log_clamp, and the gradient's
// denominator p (1 - p) no lower than 1e-12.
struct bce {
    double log_clamp = __builtin_inf();
    static constexpr const char* name = "bce";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "log_clamp";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::working};
};

// The same of a logit: (1 - t) softplus(x) + t softplus(-x). Gradient (1 - t) s(x) - t s(-x), which is s(x) -
// t without the cancellation.
struct bce_with_logits {
    static constexpr const char* name = "bce_with_logits";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::working};
};

// bce_with_logits with the target moved towards 1/2 by label_smoothing, and its positive part times
// pos_weight.
struct weighted_bce_with_logits {
    double label_smoothing = 0.0;
    static constexpr const char* name = "weighted_bce_with_logits";
    static constexpr const char* inputs = "input target pos_weight";
    static constexpr const char* params = "label_smoothing";
    static constexpr elementwise_traits traits{3, 0b001, true, arithmetic::wide};
};

// Logistic loss of a margin: log(1 + e^-m).
struct soft_margin {
    static constexpr const char* name = "soft_margin";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::working};
};

// Hinge: max(0, margin - m). The perceptron loss is margin = 0.
struct hinge {
    double margin = 1.0;
    static constexpr const char* name = "hinge";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "margin";
    static constexpr elementwise_traits traits{2, 0b01, false, arithmetic::working};
};

// A hinge with a quadratic foot: with v = max(0, margin - m), curvature v^2 / 2 up to v = width and its
// tangent beyond. One formula for the squared hinge {1, 2, inf}, modified Huber {1, 2, 2}, Rennie's smooth
// hinge {1, 1, 1} and the binary sparsemax loss {1, 0.5, 2}.
struct smoothed_hinge {
    double margin = 1.0, curvature = 2.0, width = __builtin_inf();
    static constexpr const char* name = "smoothed_hinge";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "margin curvature width";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::working};
};

// w e^-x + (1 - w) e^x with w = t for binary labels, (1 + y) / 2 for signed ones (hence e^-yx).
struct exponential_margin {
    double binary_labels = 0.0;
    static constexpr const char* name = "exponential_margin";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "binary_labels";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::wide};
};

// Savage loss (Masnadi-Shirazi and Vasconcelos 2008): s(-m)^2.
struct savage {
    static constexpr const char* name = "savage";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b01, false, arithmetic::extended};
};

// Tangent loss (Masnadi-Shirazi, Mahadevan and Vasconcelos 2010): (2 atan(m) - 1)^2.
struct tangent {
    static constexpr const char* name = "tangent";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b01, false, arithmetic::extended};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const bce& p, T x, T t) {
    const T zero(0.0), s = 1.0 - t, limit = p.log_clamp;
    const T a = select((x >= zero) & (x <= T(1.0)), x, T(__builtin_nan(""))), b = 1.0 - a;
    const T value = zero_times(t, min(limit, -log(a))) + zero_times(s, min(limit, -log1p(-a)));
    const T variance = fma(a, b, a * ((1.0 - b) - a));  // a (1 - a) without the rounding of 1 - a
    const T spread = max(T(p.log_clamp < __builtin_inf() ? 1e-12 : 0.0), variance);
    const T slope =
        select((spread == zero) & (a == t), 1.0 - (t + t), (a - t) / spread);  // the limit of 0 / 0
    return input_terms<2>(value, slope,
                          select(t == zero, zero, t / a / a) + select(s == zero, zero, s / b / b));
}

// positive softplus(-x) + negative softplus(x), from one exponential. `both` is the sum of the two weights,
// which the caller may know exactly. The weight of the linear side multiplies |x|; where it is 0, |x| may be
// infinite.
template <class T>
FUSEDLOSS_INLINE terms<T, 1> logit_terms(T x, T positive, T negative, T both) {
    const T a = abs(x), e = exp_minus(a), r = reciprocal_of_one_plus(e), zero(0.0);
    const auto right = x > zero;
    const T linear = select(right, negative, positive), other = select(right, positive, negative);
    const T value = fma(linear, select(linear == zero, zero, a), both * log_of_one_plus(e));
    const T slope = r * fma(-other, e, linear);
    return {value, {select(right, slope, -slope)}, both * (r * (e * r))};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const bce_with_logits&, T x, T t) {
    const auto r = logit_terms(x, t, 1.0 - t, T(1.0));
    return input_terms<2>(r.value, r.grad[0], r.hess);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const weighted_bce_with_logits& p, T x, T t, T pos_weight) {
    const T keep = 1.0 - p.label_smoothing, half = 0.5 * p.label_smoothing;
    const T positive = pos_weight * fma(t, keep, half), negative = fma(1.0 - t, keep, half);
    const T both = positive + negative, linear = select(x > T(0.0), negative, positive);
    auto r = logit_terms(x, positive, negative, both);
    const auto far = abs(x) > T(700.0);
    if (any(far)) {
        // What remains beside the linear part, without the coarse rounding of a subnormal e^-|x|.
        const T rest = times_exp(both, -abs(x));
        const auto alone = far & (linear == T(0.0));
        r.value = select(alone, rest, r.value);
        r.grad[0] = select(alone, copysign(rest, -x), r.grad[0]);
        r.hess = select(far, rest, r.hess);
    }
    return input_terms<3>(r.value, r.grad[0], r.hess);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const soft_margin&, T x, T y) {
    const auto s = logistic(y * x);
    return input_terms<2>(s.softplus_neg, -y * s.sigmoid_neg, y * y * (s.sigmoid * s.sigmoid_neg));
}

// `value` stands for the 0 of an inactive hinge: it is NaN where an input is.
template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const hinge& p, T x, T y) {
    const T gap = p.margin - y * x, value = max(T(0.0), gap);
    return input_terms<2>(value, select(gap > T(0.0), -y, value));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const smoothed_hinge& p, T x, T y) {
    const T m = y * x, gap = max(T(0.0), p.margin - m), c = p.curvature, slope = p.curvature * p.width;
    const auto line = m < T(p.margin - p.width);  // of m itself: the gap may be rounded to the width
    const T foot = slope * gap - 0.5 * p.width * slope;
    return input_terms<2>(select(line, foot, 0.5 * c * gap * gap), -y * select(line, slope, c * gap),
                          select(line | !(gap > T(0.0)), T(0.0), y * y * c));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const exponential_margin& p, T x, T t) {
    const T w = p.binary_labels != 0.0 ? t : 0.5 + 0.5 * t;
    const T fall = times_exp(w, -x), rise = times_exp(1.0 - w, x);
    return input_terms<2>(rise + fall, rise - fall, rise + fall);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const savage&, T x, T y) {
    const auto s = logistic(y * x);
    const T value = s.sigmoid_neg * s.sigmoid_neg;
    return input_terms<2>(value, -2.0 * y * value * s.sigmoid);
}

// atan(m) - 1/2 is the angle of the vector (1 + m c, m - c), c = tan(1/2): no cancellation at its zero. Two
// more halvings of the angle bring it where the arc tangent loses half a digit at most, for the square
// doubles that.
template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const tangent&, T x, T y) {
    const T m = y * x, c = 0x1.17b4f5bf3474ap-1, c_rest = 0x1.0c5e59201e209p-55, one(1.0);
    const T far = max(T(-1e150), min(T(1e150), m)), along = 1.0 + far * c, across = (far - c) - c_rest;
    const T sum = abs(along) + sqrt(along * along + across * across);
    T t = select(along < T(0.0), sum / across, across / sum);
    for (int i = 0; i < 2; ++i) t = t / (1.0 + sqrt(1.0 + t * t));
    const T d = 16.0 * atan(t);
    // 1 + m^2 = b (1 / b + a^2 / b) with b = max(1, a): no square that overflows before the quotient
    // vanishes.
    const T a = min(T(1e300), abs(m)), b = max(one, a);
    return input_terms<2>(d * d, 4.0 * y * d / b / (1.0 / b + a / b * a));
}

FUSEDLOSS_END
