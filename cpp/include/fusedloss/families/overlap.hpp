// The overlap family: losses that are functions of sums over the positions of a class
// (losses/overlap_terms.hpp). One pass makes probabilities and targets of a few positions at a time and adds
// them up; a formula turns the sums into a value and slopes; a second pass makes the probabilities once more,
// or finds them where the gradient will be, and the gradient of them. The classes of a softmax are kept side
// by side, in the panels of row_staging.hpp; where every class has its own probability, one after the other
// is.
#pragma once

#include "../core/overlap_job.hpp"
#include "../losses/overlap_terms.hpp"
#include "softmax_kernels.hpp"

FUSEDLOSS_BEGIN

// ---- sums ---------------------------------------------------------------------------------------

// Position i of a block goes to lane i % sum_lanes, on every machine.
constexpr int sum_lanes = 16;
struct alignas(64) class_totals {
    double s[overlap_slots][sum_lanes], e[overlap_slots][sum_lanes];
    double count;  // of positions that are not ignored
};

// A slot's sums over a pack of the lanes. Four floats are added before they are widened, which costs them
// less than an ULP; doubles carry what their additions round off.
template <class S>
struct lane_totals {
    pack<float> few = 0.0;
    pack<double> s[wide_parts<float>];

    FUSEDLOSS_INLINE lane_totals(const class_totals& t, int slot, int lane) {
        for (int i = 0; i < wide_parts<float>; ++i) s[i] = load(t.s[slot] + lane + i * pack<double>::lanes);
    }
    FUSEDLOSS_INLINE void add(pack<float> x) { few = few + x; }
    FUSEDLOSS_INLINE void add_product(pack<float> x, pack<float> y) { few = fma(x, y, few); }
    FUSEDLOSS_INLINE void add_where(mask<float> here, pack<float> x) { few = select(here, few + x, few); }
    FUSEDLOSS_INLINE void settle() {
        const widened<float> w(few);
        for (int i = 0; i < wide_parts<float>; ++i) s[i] = s[i] + w.part[i];
        few = 0.0;
    }
    FUSEDLOSS_INLINE void keep(class_totals& t, int slot, int lane) const {
        for (int i = 0; i < wide_parts<float>; ++i) store(t.s[slot] + lane + i * pack<double>::lanes, s[i]);
    }
};
template <>
struct lane_totals<double> {
    lane_sum<double> sum;

    FUSEDLOSS_INLINE lane_totals(const class_totals& t, int slot, int lane)
        : sum{load(t.s[slot] + lane), load(t.e[slot] + lane)} {}
    FUSEDLOSS_INLINE void add(pack<double> x) { sum.add(x); }
    FUSEDLOSS_INLINE void settle() {}
    FUSEDLOSS_INLINE void keep(class_totals& t, int slot, int lane) const {
        store(t.s[slot] + lane, sum.s);
        store(t.e[slot] + lane, sum.e);
    }
};

// What a position adds to the sums.
template <class S>
struct position_terms {
    pack<S> both, surplus, missing;
};
// p - t, where q = 1 - p has digits that 1 - p lacks.
template <class S>
FUSEDLOSS_INLINE pack<S> difference(pack<S> p, pack<S> q, pack<S> t) {
    return select(t > pack<S>(0.5), (1.0 - t) - q, p - t);
}
template <overlap_form Form, class S>
FUSEDLOSS_INLINE position_terms<S> terms_at(pack<S> p, pack<S> q, pack<S> t) {
    const pack<S> zero(0.0);
    if constexpr (Form == overlap_form::product) {
        return {p * t, p * (1.0 - t), q * t};
    } else {
        const pack<S> d = difference(p, q, t), surplus = max(zero, d), missing = max(zero, -d);
        if constexpr (Form == overlap_form::minimum)
            return {select(d > zero, t, p), surplus, missing};
        else
            return {p * t, surplus * surplus, missing * missing};
    }
}

// One class of a panel. Probabilities and targets are 0 in the lanes after the last position.
template <class S>
struct class_panel {
    const S *p, *q, *t, *w;  // w: null where every position counts alike
    int positions;           // whole panels
};

template <overlap_form Form, bool Weighted, class S>
FUSEDLOSS_SHARED void add_positions(const class_panel<S>& panel, class_totals& totals) {
    const class_panel<S> c = panel;
    for (int lane = 0; lane < sum_lanes; lane += pack<S>::lanes) {
        lane_totals<S> both(totals, slot_both, lane), surplus(totals, slot_surplus, lane),
            missing(totals, slot_missing, lane);
        for (int i = lane; i < c.positions; i += panel_rows) {
            for (int k = i; k < i + panel_rows; k += sum_lanes) {
                const auto own = terms_at<Form>(load(c.p + k), load(c.q + k), load(c.t + k));
                if constexpr (Weighted) {
                    const pack<S> w = load(c.w + k);
                    both.add(weighted(own.both, w));
                    surplus.add(weighted(own.surplus, w));
                    missing.add(weighted(own.missing, w));
                } else {
                    both.add(own.both);
                    surplus.add(own.surplus);
                    missing.add(own.missing);
                }
            }
            both.settle();
            surplus.settle();
            missing.settle();
        }
        both.keep(totals, slot_both, lane);
        surplus.keep(totals, slot_surplus, lane);
        missing.keep(totals, slot_missing, lane);
    }
}
template <class S>
FUSEDLOSS_INLINE void add_positions(overlap_form form, const class_panel<S>& c, class_totals& totals) {
    using F = overlap_form;
    if (c.w) {
        if (form == F::product) return add_positions<F::product, true>(c, totals);
        if (form == F::minimum) return add_positions<F::minimum, true>(c, totals);
        return add_positions<F::squared, true>(c, totals);
    }
    if (form == F::product) return add_positions<F::product, false>(c, totals);
    if (form == F::minimum) return add_positions<F::minimum, false>(c, totals);
    return add_positions<F::squared, false>(c, totals);
}

// The slots that few losses have: numbers x(k) of the pack at k.
template <class S, class F>
FUSEDLOSS_INLINE void add_numbers(int slot, int positions, class_totals& totals, const S* w, F x) {
    for (int lane = 0; lane < sum_lanes; lane += pack<S>::lanes) {
        lane_totals<S> sum(totals, slot, lane);
        for (int i = lane; i < positions; i += panel_rows) {
            for (int k = i; k < i + panel_rows; k += sum_lanes)
                sum.add(w ? weighted(x(k), load(w + k)) : x(k));
            sum.settle();
        }
        sum.keep(totals, slot, lane);
    }
}

FUSEDLOSS_SHARED sum folded_slot(const class_totals& t, int slot) {
    alignas(64) double s[sum_lanes], e[sum_lanes];
    std::memcpy(s, t.s[slot], sizeof s);
    std::memcpy(e, t.e[slot], sizeof e);
    return fold_lanes(s, e, sum_lanes);
}

// ---- probabilities ------------------------------------------------------------------------------

// p and q = 1 - p of scores, each right to its own last digits.
template <class S>
FUSEDLOSS_SHARED void sigmoids(const S* z, S* p, S* q, int n) {
    for (int i = 0; i < n; i += pack<S>::lanes) {
        const auto l = logistic(load(z + i));
        store(p + i, l.sigmoid);
        store(q + i, l.sigmoid_neg);
    }
}
template <class S>
FUSEDLOSS_SHARED void given_probabilities(const S* z, S* p, S* q, int n) {
    for (int i = 0; i < n; i += pack<S>::lanes) {
        const pack<S> x = load(z + i);
        store(p + i, x);
        store(q + i, 1.0 - x);
    }
}
// ---- the loss by position: focal(u) = (1 - p)^gamma u with u = -log(p), cross entropy for gamma = 0 ----

template <class S>
FUSEDLOSS_INLINE pack<S> focus(pack<S> rest, double gamma) {
    return gamma == 0.0 ? pack<S>(1.0) : gamma == 2.0 ? rest * rest : pow(rest, pack<S>(gamma));
}
// d focal / du.
template <class S>
FUSEDLOSS_INLINE pack<S> focal_slope(pack<S> p, pack<S> rest, pack<S> u, double gamma) {
    if (gamma == 0.0) return 1.0;
    const pack<S> less = gamma == 2.0 ? rest : pow(rest, pack<S>(gamma - 1.0));
    return focus(rest, gamma) + weighted(gamma * less, p * u);
}
// Each class by itself: the loss at p where the target is 1 and at q where it is 0, and its gradient in z.
template <class S>
FUSEDLOSS_SHARED void sigmoid_focal(const S* z, const S* t, const focal_by_target& by, S* loss, S* gradient,
                                    int n) {
    const double absent = by.gamma[0], present = by.gamma[1];
    for (int i = 0; i < n; i += pack<S>::lanes) {
        const auto l = logistic(load(z + i));
        const pack<S> target = load(t + i), one = by.factor[1] * target, zero = by.factor[0] * (1.0 - target);
        const pack<S> p = l.sigmoid, q = l.sigmoid_neg;
        if (loss)
            store(loss + i, weighted(focus(q, present) * l.softplus_neg, one) +
                                weighted(focus(p, absent) * l.softplus, zero));
        else
            store(gradient + i, weighted(focal_slope(q, p, l.softplus, absent) * p, zero) -
                                    weighted(focal_slope(p, q, l.softplus_neg, present) * q, one));
    }
}
// A panel of softmaxes: u becomes the loss of each class times its target, or the gradient in the scores.
template <class S>
FUSEDLOSS_SHARED void softmax_focal_loss(const S* q, const S* t, std::ptrdiff_t t_pitch, double gamma,
                                         int classes, S* u) {
    for (int j = 0; j < classes; ++j)
        for (int i = 0; i < panel_rows; i += pack<S>::lanes) {
            S* const own = u + j * panel_rows + i;
            const pack<S> rest = load(q + j * panel_rows + i);
            store(own, weighted(focus(rest, gamma) * load(own), load(t + j * t_pitch + i)));
        }
}
template <class S>
FUSEDLOSS_SHARED void softmax_focal_gradient(const S* p, const S* q, const S* t, std::ptrdiff_t t_pitch,
                                             double gamma, int classes, S* u) {
    for (int i = 0; i < panel_rows; i += pack<S>::lanes) {
        pack<S> slope(0.0);
        for (int j = 0; j < classes; ++j) {
            const int at = j * panel_rows + i;
            const pack<S> own = focal_slope(load(p + at), load(q + at), load(u + at), gamma);
            slope = slope + weighted(own, load(t + j * t_pitch + i));
        }
        for (int j = 0; j < classes; ++j) {  // p - t without its cancellation
            const int at = j * panel_rows + i;
            const pack<S> target = load(t + j * t_pitch + i);
            store(u + at, slope * (load(p + at) * (1.0 - target) - load(q + at) * target));
        }
    }
}

// Numbers are asked for this many positions before they are needed: planes of them follow each other at
// distances that no cache guesses, and a page ends before a cache has learnt where it leads.
constexpr int read_ahead = 512;

// The softmaxes of a panel of positions are e / total; `others` is the total without one of the largest.
template <class S>
struct softmax_sums {
    alignas(64) S largest[panel_rows], others[panel_rows], total[panel_rows], inverse[panel_rows];
    FUSEDLOSS_INLINE pack<S> rest(pack<S> e, int i) const {  // 1 - p
        return select(e == load(largest + i), load(others + i), load(total + i) - e) * load(inverse + i);
    }
};

// Of scores whose classes are `pitch` apart: e go to a panel, and the gaps to the largest score to another
// unless that is null.
template <class S>
FUSEDLOSS_SHARED void exponentials_of(const S* scores, std::ptrdiff_t pitch, int classes, S* panel, S* gaps,
                                      softmax_sums<S>& sums) {
    const pack<S> zero(0.0), infinity(__builtin_inf());
    for (int i = 0; i < panel_rows; i += pack<S>::lanes) {
        const S* z = scores + i;
        std::ptrdiff_t step = pitch;
        pack<S> top = load(z);
        for (int j = 0; j < classes; ++j) {
            __builtin_prefetch(z + j * step + read_ahead);
            top = max(top, load(z + j * step));
        }
        if (any(top == infinity)) {  // the limit of large scores
            for (int j = 0; j < classes; ++j) {
                const pack<S> own = load(z + j * step);
                const pack<S> limit = select(own == infinity, zero, select(is_nan(own), own, -infinity));
                store(panel + j * panel_rows + i, select(top == infinity, limit, own));
            }
            z = panel + i;
            step = panel_rows;
            top = select(top == infinity, zero, top);
        }
        const measure<S> by = measure_by(shift_for(top), top);
        pack<S> largest = zero;
        lane_sum<S> others;
        // Some classes from j on, step by step next to each other.
        const auto take = [&](auto some, int j) {
            constexpr int n = decltype(some)::count;
            pack<S> own[n], d[n], low[n], e[n], sum;
            for (int k = 0; k < n; ++k) own[k] = load(z + (j + k) * step);
            for (int k = 0; k < n; ++k) d[k] = own[k] - by.c;
            for (int k = 0; k < n; ++k) low[k] = rounded_off(own[k], by.c, d[k]);
            measured_exp(d, low, by, e);
            for (int k = 0; k < n; ++k) {
                if (gaps) store(gaps + (j + k) * panel_rows + i, top - own[k]);
                store(panel + (j + k) * panel_rows + i, e[k]);
                const pack<S> smaller = min(largest, e[k]);
                largest = max(largest, e[k]);
                sum = k == 0 ? smaller : sum + smaller;
            }
            others.add(sum);
        };
        int j = 0;
        for (; j + 4 <= classes; j += 4) take(some<4>{}, j);
        if (j + 2 <= classes) take(some<2>{}, j), j += 2;
        if (j < classes) take(some<1>{}, j);
        const pack<S> rest = others.s + others.e, total = rest + largest;
        store(sums.largest + i, largest);
        store(sums.others + i, rest);
        store(sums.total + i, total);
        store(sums.inverse + i, 1.0 / total);
    }
}

// A panel of softmaxes, classes side by side in the panels p, q and, unless null, r for the -log of p.
template <class S>
FUSEDLOSS_SHARED void softmaxes(const S* z, std::ptrdiff_t pitch, int classes, S* p, S* q, S* r) {
    softmax_sums<S> sums;
    exponentials_of(z, pitch, classes, p, r, sums);
    for (int i = 0; i < panel_rows; i += pack<S>::lanes) {
        const pack<S> inverse = load(sums.inverse + i);
        for (int j = 0; j < classes; ++j) {
            const pack<S> e = load(p + j * panel_rows + i);
            store(p + j * panel_rows + i, e * inverse);
            store(q + j * panel_rows + i, sums.rest(e, i));
        }
        if (!r) continue;
        const pack<S> log_total = log1p(load(sums.others + i) / load(sums.largest + i));
        for (int j = 0; j < classes; ++j) {
            S* const own = r + j * panel_rows + i;
            store(own, load(own) + log_total);
        }
    }
}

// ---- gradient -----------------------------------------------------------------------------------

// Of one class: d value / d sum, and what multiplies the gradient of the loss by position.
struct class_slopes {
    double both, surplus, missing, extra, pixel;
};

template <overlap_form Form, bool Weighted, class S>
FUSEDLOSS_SHARED void slope_positions(const class_panel<S>& panel, const class_slopes& s, S* out) {
    const class_panel<S> c = panel;
    const pack<S> zero(0.0), both = s.both, surplus = s.surplus, missing = s.missing;
    const pack<S> at_one = s.both - s.missing, at_zero = s.surplus - s.extra;  // d / dp where t is 1, is 0
    const pack<S> between = 0.5 * (at_one + at_zero);
    for (int i = 0; i < c.positions; i += pack<S>::lanes) {
        const pack<S> t = load(c.t + i);
        pack<S> a;
        if constexpr (Form == overlap_form::product) {
            a = fma(t, at_one, (1.0 - t) * at_zero);
        } else {
            const pack<S> d = difference(load(c.p + i), load(c.q + i), t);
            if constexpr (Form == overlap_form::minimum)
                a = select(d > zero, at_zero, select(d == zero, between, at_one + zero * d));
            else
                a = fma(both, t, 2.0 * d * select(d > zero, surplus, missing));
        }
        store(out + i, Weighted ? weighted(a, load(c.w + i)) : a);
    }
}
template <class S>
FUSEDLOSS_INLINE void slope_positions(overlap_form form, const class_panel<S>& c, const class_slopes& s,
                                      S* out) {
    using F = overlap_form;
    if (c.w) {
        if (form == F::product) return slope_positions<F::product, true>(c, s, out);
        if (form == F::minimum) return slope_positions<F::minimum, true>(c, s, out);
        return slope_positions<F::squared, true>(c, s, out);
    }
    if (form == F::product) return slope_positions<F::product, false>(c, s, out);
    if (form == F::minimum) return slope_positions<F::minimum, false>(c, s, out);
    return slope_positions<F::squared, false>(c, s, out);
}

// The gradient of the loss by position, weighted and scaled in place.
template <class S>
FUSEDLOSS_SHARED void scale_positions(S* r, const S* w, int n, double scale) {
    for (int i = 0; i < n; i += pack<S>::lanes) {
        const pack<S> own = scale * load(r + i);
        store(r + i, w ? weighted(own, load(w + i)) : own);
    }
}

template <class S>
FUSEDLOSS_INLINE void put(S* to, pack<S> x, bool stream) {
    stream ? store_stream(to, x) : store(to, x);
}

// a dp/dz + r.
template <class S>
FUSEDLOSS_SHARED void sigmoid_gradient(const S* p, const S* q, const S* a, const S* r, S* out, int n,
                                       bool stream) {
    for (int i = 0; i < n; i += pack<S>::lanes) {
        const pack<S> g = load(a + i) * (load(p + i) * load(q + i));
        put(out + i, r ? g + load(r + i) : g, stream);
    }
}
// p_j (a_j - sum of p_k a_k) + r_j, relative to the a of a most probable class: where its p is next to 1, the
// other terms of the sum decide.
template <class S>
FUSEDLOSS_SHARED void softmax_gradient(const S* probabilities, std::ptrdiff_t p_pitch, const S* a, const S* r,
                                       int classes, S* out, std::ptrdiff_t pitch, bool stream) {
    for (int i = 0; i < panel_rows; i += pack<S>::lanes) {
        const S* const p = probabilities + i;
        pack<S> largest(0.0), reference(0.0), mean(0.0);
        for (int j = 0; j < classes; ++j) {
            const pack<S> own = load(p + j * p_pitch);
            if (p_pitch != panel_rows) __builtin_prefetch(p + j * p_pitch + read_ahead, 1);
            reference = select(own >= largest, load(a + j * panel_rows + i), reference);
            largest = max(largest, own);
        }
        for (int j = 0; j < classes; ++j)
            mean = fma(load(p + j * p_pitch), load(a + j * panel_rows + i) - reference, mean);
        for (int j = 0; j < classes; ++j) {
            const pack<S> g = load(p + j * p_pitch) * ((load(a + j * panel_rows + i) - reference) - mean);
            put(out + j * pitch + i, r ? g + load(r + j * panel_rows + i) : g, stream);
        }
    }
}

// ---- the form `product` of positions that all count alike, in floats: no panels but those of scores ----
//
// What the gradient takes from a position may be kept where the gradient will be: p q of a sigmoid, p of a
// softmax. Else it is made again.

struct sigmoid_terms {
    pack<float> p, q, slope;  // slope: p q
};
template <int N>
FUSEDLOSS_INLINE void sigmoids_of(const float* z, int step, sigmoid_terms (&r)[N]) {
    pack<float> x[N], e[N];
    for (int k = 0; k < N; ++k) {
        x[k] = load(z + k * step);
        e[k] = abs(x[k]);
        __builtin_prefetch(z + k * step + read_ahead);
    }
    exp_minus(e, e);
    for (int k = 0; k < N; ++k) {
        const pack<float> larger = 1.0 / (1.0 + e[k]), smaller = e[k] * larger;
        const auto negative = is_negative(x[k]);
        r[k] = {select(negative, smaller, larger), select(negative, larger, smaller), larger * smaller};
    }
}

template <bool Keep>
FUSEDLOSS_SHARED void add_sigmoids(const float* z, const float* t, int n, float* kept, class_totals& totals) {
    constexpr int some = panel_rows / sum_lanes;
    for (int lane = 0; lane < sum_lanes; lane += pack<float>::lanes) {
        lane_totals<float> both(totals, slot_both, lane), surplus(totals, slot_surplus, lane),
            missing(totals, slot_missing, lane);
        for (int i = lane; i < n; i += panel_rows) {
            sigmoid_terms own[some];
            sigmoids_of(z + i, sum_lanes, own);
            for (int k = 0; k < some; ++k) {
                const pack<float> target = load(t + i + k * sum_lanes);
                both.add_product(own[k].p, target);
                surplus.add_product(own[k].p, 1.0 - target);
                missing.add_product(own[k].q, target);
                if (Keep) {
                    float* const place = kept + i + k * sum_lanes;
                    __builtin_prefetch(place + read_ahead, 1);
                    store(place, own[k].slope);
                }
            }
            both.settle();
            surplus.settle();
            missing.settle();
        }
        both.keep(totals, slot_both, lane);
        surplus.keep(totals, slot_surplus, lane);
        missing.keep(totals, slot_missing, lane);
    }
}

// The slopes d value / d p where the target is 1, and where it is 0.
struct target_slopes {
    pack<float> at_one, at_zero;
    FUSEDLOSS_INLINE explicit target_slopes(const class_slopes& s)
        : at_one(s.both - s.missing), at_zero(s.surplus - s.extra) {}
    FUSEDLOSS_INLINE pack<float> of(pack<float> t) const { return fma(t, at_one, (1.0 - t) * at_zero); }
};

template <bool Kept>
FUSEDLOSS_SHARED void differentiate_sigmoids(const float* z, const float* t, int n,
                                             const class_slopes& slopes, float* out, bool stream) {
    constexpr int some = panel_rows / sum_lanes, lanes = pack<float>::lanes;
    const target_slopes slope(slopes);
    for (int i = 0; i < n; i += some * lanes) {
        sigmoid_terms own[some];
        if (!Kept) sigmoids_of(z + i, lanes, own);
        for (int k = 0; k < some; ++k) {
            const int at = i + k * lanes;
            if (Kept) __builtin_prefetch(out + at + read_ahead, 1);
            const pack<float> pq = Kept ? load(out + at) : own[k].slope;
            put(out + at, pq * slope.of(load(t + at)), stream);
        }
    }
}

// The exponentials of a panel become probabilities, which are added up.
FUSEDLOSS_SHARED void add_labelled(const float* e, const softmax_sums<float>& sums, const float* labels,
                                   int classes, float* p, std::ptrdiff_t pitch, class_totals* totals) {
    for (int j = 0; j < classes; ++j) {
        const pack<float> own_label = double(j);
        for (int lane = 0; lane < sum_lanes; lane += pack<float>::lanes) {
            lane_totals<float> both(totals[j], slot_both, lane), surplus(totals[j], slot_surplus, lane),
                missing(totals[j], slot_missing, lane);
            for (int i = lane; i < panel_rows; i += sum_lanes) {
                const pack<float> own = load(e + j * panel_rows + i),
                                  probability = own * load(sums.inverse + i);
                const pack<float> label = load(labels + i);
                both.add_where(label == own_label, probability);
                surplus.add_where(label != own_label, probability);
                missing.add_where(label == own_label, sums.rest(own, i));
                if (pitch != panel_rows) __builtin_prefetch(p + j * pitch + i + read_ahead, 1);
                store(p + j * pitch + i, probability);
            }
            both.settle();
            surplus.settle();
            missing.settle();
            both.keep(totals[j], slot_both, lane);
            surplus.keep(totals[j], slot_surplus, lane);
            missing.keep(totals[j], slot_missing, lane);
        }
    }
}

// The slopes in p of a panel, by label.
FUSEDLOSS_SHARED void labelled_slopes(const float* labels, int classes, const class_slopes* slopes,
                                      float* a) {
    for (int j = 0; j < classes; ++j) {
        const target_slopes own(slopes[j]);
        for (int i = 0; i < panel_rows; i += pack<float>::lanes)
            store(a + j * panel_rows + i,
                  select(load(labels + i) == pack<float>(double(j)), own.at_one, own.at_zero));
    }
}

// ---- positions on their way in and out ------------------------------------------------------------

template <class S>
inline constexpr int plane_chunk = chunk_bytes / int(sizeof(S));

// Classes that are kept side by side: all of them, or one.
FUSEDLOSS_INLINE bool side_by_side(const overlap_job& job) {
    return job.activation == overlap_activation::softmax;
}
template <class S>
FUSEDLOSS_INLINE std::int64_t panel_numbers(const overlap_job& job) {
    return side_by_side(job) ? job.rows.classes * panel_rows : plane_chunk<S>;
}
constexpr int overlap_panels = 6;

// An array with a class axis on the way through the positions of a block.
template <class S>
class passage {
  public:
    class_array array;

    // Of class j alone where classes come one after the other.
    void start(const class_array& whole, std::int64_t j) {
        array = whole;
        array.rows.data = static_cast<char*>(array.rows.data) + j * array.step;
        at_ = -1;
    }
    // Where positions [at, at + n) of the array are numbers of type S next to each other, whole panels of
    // them; else null.
    S* in_place(const rows_job& rows, std::int64_t at, int n) {
        if (n % panel_rows != 0) return nullptr;
        if (at != at_ || n > left_) find(rows, at);
        if (n > left_) return nullptr;
        S* const found = next_;
        next_ += n;
        at_ += n;
        left_ -= n;
        return found;
    }
    std::ptrdiff_t pitch() const { return array.step / std::ptrdiff_t(sizeof(S)); }

  private:
    void find(const rows_job& rows, std::int64_t at) {
        constexpr int size = sizeof(S);
        const int last = rows.dims - 1;
        at_ = at;
        left_ = 0;
        if (array.rows.type != dtype_of<S> || last < 0 || array.rows.stride[last] != size) return;
        char* const p = row_address(rows, array, at);
        if (!aligned_for(p, size) || array.step % size != 0) return;
        next_ = reinterpret_cast<S*>(p);
        left_ = rows.shape[last] - at % rows.shape[last];
    }

    S* next_;
    std::int64_t at_, left_;  // `left_` positions from `at_` stand at `next_`
};

// What a worker makes of a panel of positions: `count` classes from `first`, side by side or one.
template <class S>
class overlap_worker {
  public:
    overlap_worker(const overlap_job& j, void* memory) : job(j), rows(j.rows) {
        S* const first = static_cast<S*>(memory);
        S** const panels[overlap_panels] = {&own_z, &p, &q, &own_t, &own_w, &r};
        for (int k = 0; k < overlap_panels; ++k) *panels[k] = first + k * panel_numbers<S>(job);
    }

    // Adds up positions [begin, end). The result has, by class, the slots and then the number of positions.
    void add(std::int64_t begin, std::int64_t end, class_totals* totals, sum* result) {
        constexpr int results = overlap_slots + 1;
        const int classes = int(rows.classes);
        std::memset(static_cast<void*>(totals), 0, sizeof(class_totals) * std::size_t(classes));
        counted = totals;
        for_each_panel(begin, end, job.pixel ? 0 : int(job.first_class),
                       [&](std::int64_t at, int n, int first, int count) {
                           read(at, n, count);
                           for (int k = 0; k < count; ++k) totals[first + k].count += double(n);
                           if (plain(n)) return add_plain(at, n, first, count, totals + first);
                           mark(at, n, first, count);
                           prepare(n, count, false);
                           for (int k = 0; k < count; ++k) add_class(k, totals[first + k]);
                       });
        for (int j = 0; j < classes; ++j, result += results) {
            for (int slot = 0; slot < overlap_slots; ++slot) result[slot] = folded_slot(totals[j], slot);
            result[overlap_slots] = {totals[j].count, 0.0};
        }
    }

    // Errors and kinds of positions [begin, end).
    void find_errors(std::int64_t begin, std::int64_t end, S* errors, target_kind* kinds) {
        for_each_panel(begin, end, int(job.first_class), [&](std::int64_t at, int n, int first, int count) {
            read(at, n, count);
            mark(at, n, first, count);
            prepare(n, count, false);
            for (int k = 0; k < count; ++k) {
                const std::int64_t to = (first + k) * rows.count + at;
                const class_panel<S> c = panel_of(k);
                for (int i = 0; i < n; ++i) {
                    const bool present = c.t[i] > S(0.5);
                    const S otherwise = job.hinge ? S(1) + c.p[i] : c.p[i];
                    errors[to + i] = present ? c.q[i] : otherwise;
                    kinds[to + i] = c.w && c.w[i] == S(0) ? target_kind::ignored
                                    : present             ? target_kind::present
                                                          : target_kind::absent;
                }
            }
        });
    }

    // Writes the gradient of positions [begin, end), given the slopes by class.
    void differentiate(std::int64_t begin, std::int64_t end, const class_slopes* slopes) {
        for_each_panel(begin, end, 0, [&](std::int64_t at, int n, int first, int count) {
            bool wanted = false;
            for (int k = 0; k < count; ++k) wanted = wanted || !excluded(slopes[first + k]);
            S* const direct = gradient.in_place(rows, at, n);
            read(at, n, count);
            const bool all_alike = plain(n), kept = job.keeps && direct && all_alike;
            const bool stream = rows.stream && direct && !kept && aligned_for(direct, 64) &&
                                (count == 1 || gradient.array.step % 64 == 0);
            S* const out = direct && (kept || stream || !rows.stream) ? direct : own_z;
            const std::ptrdiff_t pitch = out == direct ? gradient.pitch() : panel_rows;
            if (!all_alike || !side_by_side(job)) mark(at, n, first, count);
            if (!wanted)
                clear_panel(n, count, out, pitch, stream);
            else if (all_alike)
                differentiate_plain(count, slopes + first, out, pitch, kept, stream);
            else
                differentiate_panel(n, count, slopes + first, out, pitch, stream);
            if (out != direct) scatter(gradient.array, at, n, count);
        });
        if (rows.stream) stream_fence();
    }

  private:
    static int whole_panels(int n) { return (n + panel_rows - 1) / panel_rows * panel_rows; }
    static bool excluded(const class_slopes& s) {
        return s.both == 0.0 && s.surplus == 0.0 && s.missing == 0.0 && s.extra == 0.0 && s.pixel == 0.0;
    }
    static void clear_panel(int n, int count, S* out, std::ptrdiff_t pitch, bool stream) {
        for (int k = 0; k < count; ++k)
            for (int i = 0; i < whole_panels(n); i += pack<S>::lanes)
                put(out + k * pitch + i, pack<S>(0.0), stream);
    }

    template <class F>
    void for_each_panel(std::int64_t begin, std::int64_t end, int first, F f) {
        const bool all = side_by_side(job);
        const std::int64_t step = all ? panel_rows : plane_chunk<S>;
        const int classes = int(rows.classes);
        for (int j = all ? 0 : first; j < classes; j += all ? classes : 1) {
            scores.start(job.in[0], j);
            if (job.mask.rows.data) target.start(job.mask, j);
            if (job.position_weight.rows.data) weight.start(job.position_weight, j);
            if (job.grad[0].rows.data) gradient.start(job.grad[0], j);
            for (std::int64_t at = begin; at < end; at += step)
                f(at, int(end - at < step ? end - at : step), j, all ? classes : 1);
        }
    }

    class_panel<S> panel_of(int k) const {
        return {p + k * panel_rows, q + k * panel_rows, t + k * t_pitch, w ? w + k * panel_rows : nullptr,
                positions};
    }

    void gather(const class_array& a, std::int64_t at, int n, int count, S* panel) const {
        if (count > 1 && count <= most_columns) {
            gather_columns(rows, a, at, n, panel);
        } else {
            for (int k = 0; k < count; ++k) {
                strided plane = a.rows;
                plane.data = static_cast<char*>(plane.data) + k * a.step;
                gather_values(rows, plane, at, n, panel + k * panel_rows);
            }
        }
        clear_tail(panel, n, count);
    }
    void scatter(const class_array& a, std::int64_t at, int n, int count) const {
        if (count > 1 && count <= most_columns) return scatter_columns(rows, a, at, n, own_z);
        for (int k = 0; k < count; ++k) {
            strided plane = a.rows;
            plane.data = static_cast<char*>(plane.data) + k * a.step;
            scatter_values(rows, plane, at, n, own_z + k * panel_rows);
        }
    }
    // The lanes after the last position.
    void clear_tail(S* panel, int n, int count, S to = S(0)) const {
        for (int k = 0; k < count; ++k)
            for (int i = n; i < positions; ++i) panel[k * panel_rows + i] = to;
    }

    void find_labels(std::int64_t at, int n) {
        const bool last = n < positions;  // the lanes after it are those of no label
        if (at < label_begin || at + n > label_end || last) {
            const std::int64_t most = rows.count - at < plane_chunk<S> ? rows.count - at : plane_chunk<S>;
            label_begin = at;
            label_end = at + (last ? n : most);
            gather_values(rows, rows.label, at, int(label_end - at), labels);
            for (int i = 0; i < panel_rows; ++i) labels[label_end - at + i] = S(-1);
        }
        label = labels + (at - label_begin);
    }
    void mark_labels(int first, int count) {
        const pack<S> one(1.0), zero(0.0);
        for (int k = 0; k < count; ++k) {
            const pack<S> own = double(rows.classes == 1 ? 1 : first + k);
            for (int i = 0; i < positions; i += pack<S>::lanes) {
                const pack<S> y = load(label + i);
                store(own_t + k * panel_rows + i, select(job.label_weight ? y > zero : y == own, one, zero));
            }
        }
        t = own_t;
        t_pitch = panel_rows;
    }
    void read_mask(std::int64_t at, int n, int count) {
        t = target.in_place(rows, at, n);
        t_pitch = target.pitch();
        if (t) return;
        gather(target.array, at, n, count, own_t);
        t = own_t;
        t_pitch = panel_rows;
    }
    bool any_ignored(const S* numbers) const {
        const pack<S> ignored = double(rows.ignore_index);
        mask<S> found = load(numbers) == ignored;
        for (int i = pack<S>::lanes; i < positions; i += pack<S>::lanes)
            found = found | (load(numbers + i) == ignored);
        return any(found);
    }
    bool ignores_some(int count) const {
        if (!rows.ignores) return false;
        if (rows.label.data) return any_ignored(label);
        for (int k = 0; k < count; ++k)
            if (any_ignored(t + k * t_pitch)) return true;
        return false;
    }
    void read_weights(std::int64_t at, int n, int first, int count) {
        if (job.position_weight.rows.data) gather(weight.array, at, n, count, own_w);
        const S ignored = S(rows.ignore_index);
        for (int k = 0; k < count; ++k)
            for (int i = 0; i < positions; ++i) {
                S &own = own_w[k * panel_rows + i], &wanted = own_t[k * panel_rows + i];
                if (!job.position_weight.rows.data) own = S(1);
                if (!rows.label.data) wanted = t[k * t_pitch + i];
                const bool skipped = ignoring && (rows.label.data ? label[i] : wanted) == ignored;
                if (skipped && counted) counted[first + k].count -= 1.0;
                if (skipped || i >= n)
                    own = wanted = S(0);
                else if (job.label_weight)
                    own *= S(job.label_weight[std::int64_t(label[i]) * rows.classes + first + k]);
            }
        t = own_t;
        t_pitch = panel_rows;
    }
    // The scores of a panel, its labels or its mask, and whether it has weights.
    void read(std::int64_t at, int n, int count) {
        positions = whole_panels(n);
        z = scores.in_place(rows, at, n);
        z_pitch = scores.pitch();
        if (!z) {
            gather(scores.array, at, n, count, own_z);
            z = own_z;
            z_pitch = panel_rows;
        }
        rows.label.data ? find_labels(at, n) : read_mask(at, n, count);
        ignoring = ignores_some(count);
        w = ignoring || job.position_weight.rows.data || job.label_weight ? own_w : nullptr;
    }
    // Masks of labels, and weights.
    void mark(std::int64_t at, int n, int first, int count) {
        if (rows.label.data) mark_labels(first, count);
        if (w) read_weights(at, n, first, count);
    }
    // Whether positions need no more than their probabilities: those of floats, of the form `product`, which
    // all count alike. Softmaxes also need labels, and a whole panel.
    bool plain(int n) const {
        if (sizeof(S) != sizeof(float) || w || job.form != overlap_form::product || job.pixel ||
            job.extra != overlap_extra::none)
            return false;
        return job.activation == overlap_activation::sigmoid ||
               (job.activation == overlap_activation::softmax && rows.label.data && n == panel_rows);
    }
    void add_plain(std::int64_t at, int n, int first, int count, class_totals* totals) {
        if constexpr (sizeof(S) == sizeof(float)) {
            float* const kept = job.keeps ? gradient.in_place(rows, at, n) : nullptr;
            if (side_by_side(job)) {
                softmax_sums<float> sums;
                exponentials_of(z, z_pitch, count, p, static_cast<float*>(nullptr), sums);
                add_labelled(p, sums, label, count, kept ? kept : p, kept ? gradient.pitch() : panel_rows,
                             totals);
            } else {
                mark(at, n, first, count);
                if (n < positions) clear_tail(own_z, n, count, -__builtin_inff());
                (kept ? add_sigmoids<true> : add_sigmoids<false>)(z, t, positions, kept, *totals);
            }
        }
    }
    void differentiate_plain(int count, const class_slopes* slopes, S* out, std::ptrdiff_t pitch, bool kept,
                             bool stream) {
        if constexpr (sizeof(S) == sizeof(float)) {
            if (!side_by_side(job))
                return (kept ? differentiate_sigmoids<true>
                             : differentiate_sigmoids<false>)(z, t, positions, *slopes, out, stream);
            if (!kept) {
                softmax_sums<float> sums;
                exponentials_of(z, z_pitch, count, p, static_cast<float*>(nullptr), sums);
                for (int j = 0; j < count; ++j)
                    for (int i = 0; i < panel_rows; i += pack<S>::lanes) {
                        S* const own = p + j * panel_rows + i;
                        store(own, load(own) * load(sums.inverse + i));
                    }
            }
            labelled_slopes(label, count, slopes, own_t);
            softmax_gradient(kept ? out : p, kept ? pitch : panel_rows, own_t, static_cast<S*>(nullptr),
                             count, out, pitch, stream);
        }
    }

    // The probabilities of a panel that has been read, and the loss by position or its gradient.
    void prepare(int n, int count, bool backward) {
        const bool pixel = job.pixel;
        switch (job.activation) {
            case overlap_activation::none: given_probabilities(z, p, q, positions); break;
            case overlap_activation::sigmoid:
                if (pixel) sigmoid_focal(z, t, job.focal, backward ? nullptr : r, r, positions);
                sigmoids(z, p, q, positions);
                break;
            case overlap_activation::softmax:
                softmaxes(z, z_pitch, count, p, q, pixel ? r : static_cast<S*>(nullptr));
                if (pixel && backward) softmax_focal_gradient(p, q, t, t_pitch, job.focal.gamma[1], count, r);
                if (pixel && !backward) softmax_focal_loss(q, t, t_pitch, job.focal.gamma[1], count, r);
                break;
        }
        if (n < positions) {
            clear_tail(p, n, count);
            clear_tail(q, n, count);
            clear_tail(r, n, count);
        }
        if (w) exclude(count);
    }
    // Positions without weight count for nothing, whatever they hold.
    void exclude(int count) {
        const pack<S> zero(0.0);
        for (int i = 0; i < positions; i += pack<S>::lanes) {
            pack<S> kept = load(w + i);
            for (int k = 1; k < count; ++k) kept = max(kept, load(w + k * panel_rows + i));
            for (int k = 0; k < count; ++k) {
                S *const own_p = p + k * panel_rows + i, *const own_q = q + k * panel_rows + i;
                store(own_p, select(kept == zero, zero, load(own_p)));
                store(own_q, select(kept == zero, zero, load(own_q)));
            }
        }
    }

    void add_class(int k, class_totals& totals) const {
        const class_panel<S> c = panel_of(k);
        add_positions(job.form, c, totals);
        if (job.extra == overlap_extra::neither)
            add_numbers(slot_extra, positions, totals, c.w,
                        [&](int i) { return load(c.q + i) * (1.0 - load(c.t + i)); });
        if (job.extra == overlap_extra::target)
            add_numbers(slot_extra, positions, totals, static_cast<const S*>(nullptr),
                        [&](int i) { return load(c.t + i); });
        const S* const loss = r + k * panel_rows;
        if (job.pixel) add_numbers(slot_pixel, positions, totals, c.w, [&](int i) { return load(loss + i); });
    }

    void differentiate_panel(int n, int count, const class_slopes* slopes, S* out, std::ptrdiff_t pitch,
                             bool stream) {
        prepare(n, count, true);
        S* const a = side_by_side(job) ? q : own_z;
        for (int k = 0; k < count; ++k) {
            const class_panel<S> c = panel_of(k);
            if (job.pixel) scale_positions(r + k * panel_rows, c.w, positions, slopes[k].pixel);
            slope_positions(job.form, c, slopes[k], a + k * panel_rows);
        }
        const S* const more = job.pixel ? r : nullptr;
        switch (job.activation) {
            case overlap_activation::none:
                for (int i = 0; i < positions; i += pack<S>::lanes) put(out + i, load(a + i), stream);
                break;
            case overlap_activation::sigmoid: sigmoid_gradient(p, q, a, more, out, positions, stream); break;
            case overlap_activation::softmax:
                softmax_gradient(p, panel_rows, a, more, count, out, pitch, stream);
                break;
        }
    }

    const overlap_job& job;
    const rows_job& rows;
    S *own_z, *p, *q, *own_t, *own_w, *r;
    const S *z, *t, *w;  // of the panel; w: null where every position counts alike
    bool ignoring;       // whether some do not count
    class_totals* counted = nullptr;
    std::ptrdiff_t z_pitch, t_pitch;
    int positions;  // of the panel, whole panels
    passage<S> scores, target, weight, gradient;
    const S* label;  // of the panel
    std::int64_t label_begin = 0, label_end = 0;
    alignas(64) S labels[plane_chunk<S> + panel_rows];
};

// Bytes of scratch, aligned to 64, for add_overlap and differentiate_overlap.
template <class S>
inline std::size_t overlap_workspace(const overlap_job& job) {
    return sizeof(class_totals) * std::size_t(job.rows.classes) +
           sizeof(S) * std::size_t(overlap_panels * panel_numbers<S>(job));
}
template <class S>
inline void add_overlap(const overlap_job& job, std::int64_t begin, std::int64_t end, void* workspace,
                        sum* result) {
    class_totals* const totals = static_cast<class_totals*>(workspace);
    overlap_worker<S>(job, totals + job.rows.classes).add(begin, end, totals, result);
}
template <class S>
inline void differentiate_overlap(const overlap_job& job, std::int64_t begin, std::int64_t end,
                                  void* workspace, const double* slopes) {
    class_totals* const totals = static_cast<class_totals*>(workspace);
    overlap_worker<S>(job, totals + job.rows.classes)
        .differentiate(begin, end, reinterpret_cast<const class_slopes*>(slopes));
}
template <class S>
inline void find_errors(const overlap_job& job, std::int64_t begin, std::int64_t end, void* workspace,
                        void* errors, target_kind* kinds) {
    class_totals* const totals = static_cast<class_totals*>(workspace);
    overlap_worker<S>(job, totals + job.rows.classes).find_errors(begin, end, static_cast<S*>(errors), kinds);
}

// ---- formulas -----------------------------------------------------------------------------------

// Groups side by side, seen by a formula.
class overlap_group {
  public:
    using number = pack<double>;

    FUSEDLOSS_INLINE overlap_group(const overlap_block& b, std::int64_t first) : block(b), at(first) {}
    FUSEDLOSS_INLINE int first() const { return int(block.first_class); }
    FUSEDLOSS_INLINE int classes() const { return int(block.classes); }
    FUSEDLOSS_INLINE overlap_sums<number> sums(int j) const {
        return {get(slot_both, j), get(slot_surplus, j), get(slot_missing, j), get(slot_extra, j)};
    }
    FUSEDLOSS_INLINE number pixel(int j) const { return get(slot_pixel, j); }
    FUSEDLOSS_INLINE number count(int j) const { return load(block.count + place(0, j)); }
    FUSEDLOSS_INLINE number weight(int j) const {
        const number own = block.class_weight ? block.class_weight[j - first()] : 1.0;
        const auto absent = (get(slot_both, j) + get(slot_missing, j)) == number(0.0);
        return block.absent_is_zero ? select(absent, number(0.0), own) : own;
    }
    FUSEDLOSS_INLINE void value(number x) { store(block.value + at, x); }
    FUSEDLOSS_INLINE void class_value(int j, number x) { store(block.value + place(0, j), x); }
    FUSEDLOSS_INLINE void slopes(int j, const overlap_sums<number>& s) {
        put(slot_both, j, s.both);
        put(slot_surplus, j, s.surplus);
        put(slot_missing, j, s.missing);
        put(slot_extra, j, s.extra);
    }
    FUSEDLOSS_INLINE void pixel_slope(int j, number x) { put(slot_pixel, j, x); }

  private:
    FUSEDLOSS_INLINE std::int64_t place(int slot, int j) const {
        return (slot * block.classes + j) * block.pitch + at;
    }
    FUSEDLOSS_INLINE number get(int slot, int j) const { return load(block.sums + place(slot, j)); }
    FUSEDLOSS_INLINE void put(int slot, int j, number x) { store(block.slope + place(slot, j), x); }
    const overlap_block block;
    const std::int64_t at;
};

template <class Loss>
void run_formula(const void* params, const overlap_block& block) {
    Loss loss;
    std::memcpy(static_cast<void*>(&loss), params, sizeof loss);
    for (std::int64_t at = 0; at < block.pitch; at += pack<double>::lanes) {
        overlap_group group(block, at);
        if constexpr (Loss::traits.grouped) {
            eval(loss, group);
        } else {
            for (int j = group.first(); j < group.classes(); ++j) {
                const auto r = eval(loss, group.sums(j), group.count(j));
                const pack<double> w = group.weight(j);
                const auto scaled = [w](pack<double> x) { return weighted(x, w); };
                group.class_value(j, scaled(r.value));
                group.slopes(j, {scaled(r.slope.both), scaled(r.slope.surplus), scaled(r.slope.missing),
                                 scaled(r.slope.extra)});
            }
        }
    }
}
template <class Loss>
constexpr overlap_formula formula_of() {
    if constexpr (Loss::traits.sorted)
        return nullptr;
    else
        return run_formula<Loss>;
}

FUSEDLOSS_END
