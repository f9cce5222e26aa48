// The two passes over scores that every loss of the softmax shape shares: exponentials and their sums, and
// the plain gradient. One set for floats, one for doubles.
//
// Scores are not rounded against the maximum m of their row. e^z is 2^k e^r with an exact reduced argument r,
// and all that the maximum decides is the power of two everything is measured in:
//
//     e^(z - c) = 2^K t,   2^K next to e^(m - c)
//
// The shift c is 0 unless scores are so large that they are exact multiples of each other's last digit
// anyway; then it is the maximum. t is kept times 2^lift, so that what is 2^-lift below the smallest normal
// number still counts. The sum of all t but that of one maximal element gives 1 - p and log p without
// cancellation.
#pragma once

#include "../losses/row_terms.hpp"
#include "row_staging.hpp"

FUSEDLOSS_BEGIN

template <class C>
inline constexpr int lift = sizeof(C) == 4 ? 40 : 100;
template <class C>
inline constexpr double lift_power = sizeof(C) == 4 ? 0x1p40 : 0x1p100;

// A panel of rows between the passes.
struct softmax_panel {
    alignas(64) double max[panel_rows], max_low[panel_rows];         // the largest score, and its low part
    double argmax[panel_rows];                                       // the lowest index of it
    double top[panel_rows];                                          // t there; t are not lifted here
    double others[panel_rows], others_low[panel_rows];               // the sum of all other t
    double score[panel_rows], score_low[panel_rows], t[panel_rows];  // of the label
    // sums over soft targets q: q (max - z), q, and q without that of the maximum; q at the label
    double soft_gap[panel_rows], soft_total[panel_rows], soft_others[panel_rows], soft_label[panel_rows];
    double factor[panel_rows], factor_low[panel_rows];  // the gradient: factor t ...
    double at_label[panel_rows];                        // ... but at the label
};

// What a row is measured by.
template <class C>
struct measure {
    pack<C> c;       // the shift
    pack<C> top, k;  // m - c, and K
    pack<C>
        shift;  // adding it to a number of powers of two, less K, makes the float described by power_of_two
    pack<C> lowest;  // z - c below this counts for nothing
};
template <class C>
FUSEDLOSS_INLINE measure<C> measure_by(pack<C> c, pack<C> max) {
    using F = format<C>;
    const pack<C> top = max - c;
    const pack<C> k = fma(top, pack<C>(log2_e), pack<C>(F::round_shift)) - F::round_shift;
    return {c, top, k, (F::round_shift + (F::bias + lift<C>)) - k, (k - (F::bias + lift<C> - 2.0)) * F::ln2};
}
template <class C>
FUSEDLOSS_INLINE pack<C> shift_for(pack<C> max) {
    return has_fma ? select(abs(max) < pack<C>(4096.0), pack<C>(0.0), max) : max;
}

// What z - c rounds off, where c is not chosen such that it is nothing.
template <class C>
FUSEDLOSS_INLINE pack<C> rounded_off(pack<C> z, pack<C> c, pack<C> d) {
    if constexpr (has_fma) {
        return 0.0;
    } else {
        const pack<C> t = d - z, low = (z - (d - t)) - (c + t);
        return select(low - low == pack<C>(0.0), low, pack<C>(0.0));
    }
}

// t of z - c = d + low, of several at a time: step by step next to each other they wait less for their
// results.
template <bool Low = !has_fma, class C, int N>
FUSEDLOSS_INLINE void measured_exp(const pack<C> (&d)[N], const pack<C> (&low)[N], const measure<C>& by,
                                   pack<C> (&t)[N]) {
    using F = format<C>;
    pack<C> k_shifted[N], k[N], rest[N], em1[N];
    for (int i = 0; i < N; ++i) k_shifted[i] = fma(d[i], pack<C>(log2_e), by.shift);
    for (int i = 0; i < N; ++i) k[i] = k_shifted[i] - by.shift;
    for (int i = 0; i < N; ++i) rest[i] = fma(k[i], pack<C>(-F::ln2_hi), d[i]);
    if constexpr (Low && sizeof(C) == 4)  // the reduction of floats takes no low part
        for (int i = 0; i < N; ++i) rest[i] = rest[i] + low[i];
    reduced_expm1(k, rest, low, em1);
    for (int i = 0; i < N; ++i) {
        const pack<C> power = power_of_two(k_shifted[i]);
        t[i] = select(d[i] < by.lowest, pack<C>(0.0), fma(em1[i], power, power));
    }
}

template <class C>
FUSEDLOSS_INLINE pack<C> measured_exp(pack<C> d, pack<C> low, const measure<C>& by) {
    const pack<C> one_d[1] = {d}, one_low[1] = {low};
    pack<C> t[1];
    measured_exp(one_d, one_low, by, t);
    return t[0];
}

// --- numbers of rows, kept in doubles, as packs of either type and back ---

template <class C>
inline constexpr int wide_parts = pack<C>::lanes / pack<double>::lanes;
template <class C>
struct widened {
    pack<double> part[wide_parts<C>];
    FUSEDLOSS_INLINE explicit widened(pack<C> a) {
        if constexpr (sizeof(C) == 8) {
            part[0] = a;
        } else {
            constexpr int each = pack<double>::parts;  // native vectors
            for (int i = 0; i < pack<float>::parts; ++i) {
                part[2 * i / each].part[2 * i % each] = widen_lower(a.part[i]);
                part[(2 * i + 1) / each].part[(2 * i + 1) % each] = widen_upper(a.part[i]);
            }
        }
    }
};
template <class C>
FUSEDLOSS_INLINE pack<C> load_rows(const double* p) {
    if constexpr (sizeof(C) == 8) {
        return load(p);
    } else {
        constexpr int lanes = native_lanes<double>;
        pack<float> r;
        for (int i = 0; i < pack<float>::parts; ++i) {
            native<double> lower, upper;
            std::memcpy(&lower, p + 2 * i * lanes, sizeof lower);
            std::memcpy(&upper, p + (2 * i + 1) * lanes, sizeof upper);
            r.part[i] = narrow_both(lower, upper);
        }
        return r;
    }
}
// As many numbers of type C as a pack of doubles has lanes.
template <class C>
FUSEDLOSS_INLINE pack<double> load_wide(const C* p) {
    if constexpr (sizeof(C) == 8)
        return load(p);
    else
        return load_widened(p);
}
template <class C>
FUSEDLOSS_INLINE void store_rows(double* p, pack<C> a, double factor = 1.0) {
    const widened<C> w(a);
    for (int i = 0; i < wide_parts<C>; ++i) store(p + i * pack<double>::lanes, w.part[i] * factor);
}

// The largest t of floats once more, since all else is relative to it: 2^-43 of relative error.
FUSEDLOSS_INLINE pack<double> largest_t(pack<double> top, pack<double> k) {
    using F = format<wide_float>;
    const pack<double> rest = fma(k, pack<double>(-F::ln2_hi), top);
    const pack<wide_float> e = reduced_expm1(as_wide_float(k), as_wide_float(rest), pack<wide_float>(0.0));
    return 1.0 + as_double(e);
}

// --- rows side by side ---

// The running sum of packs, with what its additions round off.
template <class C>
struct lane_sum {
    pack<C> s = 0.0, e = 0.0;
    FUSEDLOSS_INLINE void add(pack<C> x) {
        const pack<C> t = s + x, z = t - s;
        e = e + ((s - (t - z)) + (x - z));
        s = t;
    }
};
// The same where double will do for floats.
template <class C>
struct wide_lane_sum : lane_sum<C> {};
template <>
struct wide_lane_sum<float> {
    pack<double> part[wide_parts<float>];
    wide_lane_sum() {
        for (pack<double>& p : part) p = 0.0;
    }
    FUSEDLOSS_INLINE void add(pack<float> x) {
        const widened<float> w(x);
        for (int i = 0; i < wide_parts<float>; ++i) part[i] = part[i] + w.part[i];
    }
};

// Infinite scores are the limit of large ones: the row with 0 in place of them, and all else far below.
template <class C>
FUSEDLOSS_SHARED void limit_columns(const C* z, std::ptrdiff_t pitch, pack<C> max, C* copy, int classes) {
    const pack<C> zero(0.0), infinity(__builtin_inf());
    const auto infinite = max == infinity;
    for (int j = 0; j < classes; ++j) {
        const pack<C> x = load(z + j * pitch),
                      limit = select(x == infinity, zero, select(is_nan(x), x, -infinity));
        store(copy + j * pack<C>::lanes, select(infinite, limit, x));
    }
}

// Asks for the scores of the next panels a line at a time, plane after plane: lines that follow each other in
// memory arrive sooner than lines of one panel, a plane apart.
struct reader_ahead {
    const char* next;
    int lines, line;       // of a plane that belong to those panels; none: nothing is read ahead
    std::ptrdiff_t plane;  // bytes from one plane to the next
    template <int Count>
    FUSEDLOSS_INLINE void step() {
        if (!lines) return;
        for (int i = 0; i < Count; ++i) __builtin_prefetch(next + 64 * i, 0, 2);
        next += 64 * Count;
        line += Count;
        if (line >= lines) next += plane - lines * 64, line = 0;
    }
};

// The largest of scores that lie in memory, classes `pitch` apart; they are copied to the panel z on the way:
// lines a power of two apart compete for few places in a cache.
template <class C>
FUSEDLOSS_INLINE pack<C> column_max(const C* source, std::ptrdiff_t pitch, C* z, int classes) {
    pack<C> most = load(source);
    if (source == z) {
        for (int j = 1; j < classes; ++j) most = max(most, load(z + j * panel_rows));
    } else {
        for (int j = 0; j < classes; ++j) {
            const pack<C> own = load(source + j * pitch);
            most = max(most, own);
            store(z + j * panel_rows, own);
        }
    }
    return most;
}

template <int Count>
struct some {
    static constexpr int count = Count;
};
template <bool Value>
struct truth {
    static constexpr bool value = Value;
};

// Scores that are doubles in two floats, less the largest of their row.
FUSEDLOSS_SHARED void narrow_columns(const double* source, std::ptrdiff_t pitch, int classes, int rows,
                                     float* z, float* low, reader_ahead& reader) {
    reader_ahead ahead = reader;
    constexpr int lanes = pack<float>::lanes, parts = wide_parts<float>;
    alignas(64) double rest[lanes], d[lanes];
    for (int r = 0; r < rows; r += lanes) {
        pack<double> shift[parts];
        for (int i = 0; i < parts; ++i) {
            const double* const from = source + r + i * pack<double>::lanes;
            pack<double> most = load(from);
            for (int j = 1; j < classes; ++j) most = max(most, load(from + j * pitch));
            for (int j = 0; j < classes; ++j) ahead.step<1>();
            // Next to infinity all else is far below, and must not become as large in a float.
            shift[i] = select(most - most == pack<double>(0.0), most, pack<double>(__DBL_MAX__));
        }
        for (int j = 0; j < classes; ++j) {
            for (int i = 0; i < parts; ++i) {
                const int at = i * pack<double>::lanes;
                store(d + at, load(source + j * pitch + r + at) - shift[i]);
            }
            const pack<float> high = load_rows<float>(d);
            const widened<float> rounded(high);
            for (int i = 0; i < parts; ++i) {
                const int at = i * pack<double>::lanes;
                const pack<double> left = load(d + at) - rounded.part[i];
                store(rest + at, select(left - left == pack<double>(0.0), left, pack<double>(0.0)));
            }
            store(z + j * panel_rows + r, high);
            store(low + j * panel_rows + r, load_rows<float>(rest));
        }
    }
    reader = ahead;
}

// Scores, and their low parts if they have some, to t. One step for all rows after the other: each has then
// more to do at a time than its results have to be waited for.
template <class C, bool Low>
FUSEDLOSS_SHARED void forward_columns(const C* source, std::ptrdiff_t pitch, C* z, const C* z_low, C* t,
                                      int classes, int rows, softmax_panel& s, const double* labels,
                                      reader_ahead& reader) {
    reader_ahead ahead = reader;
    const pack<C> zero(0.0), infinity(__builtin_inf());
    constexpr double unlift = 1.0 / lift_power<C>;
    alignas(64) C top[panel_rows], power[panel_rows],
        ties[panel_rows];  // ties: others that share the maximum
    auto infinite = infinity != infinity;
    for (int r = 0; r < rows; r += pack<C>::lanes) {
        const pack<C> max = column_max(source + r, pitch, z + r, classes);
        infinite = infinite | (max == infinity);
        store(top + r, max);
        store_rows(s.max + r, max);
    }
    const bool limits = any(infinite);
    for (int r = 0; r < rows; r += pack<C>::lanes) {
        const C* x = z + r;
        std::ptrdiff_t step = panel_rows;
        pack<C> max = load(top + r);
        alignas(64) C copy[most_columns * pack<C>::lanes];
        if (limits && any(max == infinity)) {
            limit_columns(x, step, max, copy, classes);
            x = copy;
            step = pack<C>::lanes;
            max = select(max == infinity, zero, max);
        }
        const measure<C> by = measure_by(shift_for(max), max);
        const pack<C> label = load_rows<C>(labels + r);
        pack<C> score = zero, at_label = zero, at_max = zero, score_low = zero, max_low = zero;
        pack<C> index = zero, smaller = zero;
        wide_lane_sum<C> others;
        // Some classes from j on; returns the sum of t smaller than the largest.
        const auto take = [&](auto some, int j) {
            constexpr int n = decltype(some)::count;
            pack<C> own[n], d[n], low[n], e[n], sum = zero;
            for (int i = 0; i < n; ++i) own[i] = load(x + (j + i) * step);
            for (int i = 0; i < n; ++i) {
                d[i] = own[i] - by.c;
                low[i] = rounded_off(own[i], by.c, d[i]);
                if (Low) low[i] = low[i] + load(z_low + (j + i) * panel_rows + r);
            }
            measured_exp<Low || !has_fma>(d, low, by, e);
            for (int i = 0; i < n; ++i) {
                const auto below = own[i] != max, here = label == index;
                index = index + 1.0;
                store(t + (j + i) * panel_rows + r, e[i]);
                score = select(here, load(z + (j + i) * panel_rows + r), score);
                at_label = select(here, e[i], at_label);
                smaller = select(below, smaller + 1.0, smaller);
                const pack<C> smaller_t = select(below, e[i], zero);
                sum = i == 0 ? smaller_t : sum + smaller_t;
                if constexpr (sizeof(C) == 8) {
                    at_max = select(below, at_max, e[i]);
                    if (!Low) continue;
                    const pack<C> own_low = load(z_low + (j + i) * panel_rows + r);
                    score_low = select(here, own_low, score_low);
                    max_low = select(below, max_low, own_low);
                }
            }
            return sum;
        };
        // The sum of two floats rounded: half an ULP at most, and half the work.
        constexpr int together = sizeof(C) == 4 ? 2 : 1;
        int j = 0;
        for (; j + together <= classes; j += together) {
            ahead.step<together>();
            others.add(take(some<together>{}, j));
        }
        if (j < classes) others.add(take(some<1>{}, j));
        store_rows(s.score + r, score);
        store_rows(s.t + r, at_label, unlift);
        store(ties + r, double(classes - 1) - smaller);
        if constexpr (sizeof(C) == 8) {
            const extended sum = exact_sum(others.s * unlift, others.e * unlift);
            store(s.others + r, sum.hi);
            store(s.others_low + r, sum.lo);
            store(s.max_low + r, max_low);
            store(s.score_low + r, score_low);
            store(s.top + r, at_max * unlift);
        } else {
            store(top + r, by.top);
            store(power + r, by.k);
            for (int i = 0; i < wide_parts<C>; ++i)
                store(s.others + r + i * pack<double>::lanes, others.part[i] * unlift);
        }
    }
    for (int r = 0; r < rows; r += pack<double>::lanes) {
        const pack<double> others = load(s.others + r), equal = load_wide(ties + r);
        if constexpr (sizeof(C) == 8) {
            const extended all = two_sum(others, equal * load(s.top + r));
            store(s.others + r, all.hi);
            store(s.others_low + r, all.lo + load(s.others_low + r));
        } else {
            const pack<double> largest = largest_t(load_wide(top + r), load_wide(power + r));
            store(s.top + r, largest);
            store(s.others + r, fma(equal, largest, others));
        }
    }
    reader = ahead;
}

// Where the largest scores stand, the first of each row.
template <class C>
FUSEDLOSS_SHARED void find_columns(const C* z, int classes, int rows, softmax_panel& s) {
    for (int r = 0; r < rows; r += pack<C>::lanes) {
        const pack<C> max = load_rows<C>(s.max + r);
        pack<C> argmax = 0.0;
        for (int j = classes - 1; j >= 0; --j)
            argmax = select(load(z + j * panel_rows + r) == max, pack<C>(double(j)), argmax);
        store_rows(s.argmax + r, argmax);
    }
}

// A factor to twice the precision: its own rounding would cost the gradient half an ULP.
template <class C>
struct two_parts {
    pack<C> high, low;
    FUSEDLOSS_INLINE two_parts(pack<C> h, pack<C> l) : high(h), low(l) {}
    // Factors of rows. In floats what rounding them leaves is the low part; doubles may bring one along.
    FUSEDLOSS_INLINE two_parts(const double* f, const double* f_low, int r)
        : high(load_rows<C>(f + r)), low(0.0) {
        if constexpr (sizeof(C) == 8) {
            if (f_low) low = load(f_low + r);
        } else {
            alignas(64) double rest[pack<C>::lanes];
            const widened<C> rounded(high);
            for (int i = 0; i < wide_parts<C>; ++i) {
                const int at = i * pack<double>::lanes;
                store(rest + at, load(f + r + at) - rounded.part[i]);
            }
            low = load_rows<C>(rest);
        }
    }
    friend FUSEDLOSS_INLINE pack<C> operator*(const two_parts& f, pack<C> x) {
        return fma(f.high, x, f.low * x);
    }
};

// What becomes of a panel, a pack of rows and a class at a time: Made gives a function of the class for rows
// from r on.
template <class C, class Made>
struct made_columns {
    C* staging;
    int classes, rows;
    const softmax_panel& s;

    // At `out`, classes `pitch` apart.
    template <bool Stream>
    FUSEDLOSS_SHARED void write(C* out, std::ptrdiff_t pitch) const {
        for (int r = 0; r < rows; r += pack<C>::lanes) {
            const auto column = static_cast<const Made&>(*this)(r);
            for (int j = 0; j < classes; ++j) {
                const pack<C> g = column(j);
                Stream ? store_stream(out + j * pitch + r, g) : store(out + j * pitch + r, g);
            }
        }
    }
    // Where it may take the place of what it is made from.
    const C* whole() const {
        write<false>(staging, panel_rows);
        return staging;
    }
};

// factor t, at the label its own: the gradient, or the size of p - y.
template <class C>
struct scaled_columns : made_columns<C, scaled_columns<C>> {
    const C* t;
    const double *factor, *factor_low, *at_label, *labels;

    FUSEDLOSS_INLINE auto operator()(int r) const {
        const two_parts<C> f(factor, factor_low, r);
        const pack<C> own = load_rows<C>(at_label + r), zero(0.0), shift = format<C>::round_shift;
        const auto label = as_bits(load_rows<C>(labels + r) + shift) - as_bits(shift);
        const auto included = f.high != zero;
        return [=, from = t + r](int j) {
            const pack<C> e = select(included, f * load(from + j * panel_rows), zero);
            return select(label == bits<C>(j), own, e);
        };
    }
};

// factor t (1 - p), with p = share t: the Hessian. More than a half is only the largest p, of which the rest
// is known.
template <class C>
struct spread_columns : made_columns<C, spread_columns<C>> {
    const C* t;
    const double *factor, *share, *rest_at_max;

    FUSEDLOSS_INLINE auto operator()(int r) const {
        const two_parts<C> f(factor, nullptr, r), own_share(share, nullptr, r);
        const pack<C> at_max = load_rows<C>(rest_at_max + r), zero(0.0), one(1.0), half(0.5);
        const auto included = f.high != zero;
        return [=, from = t + r](int j) {
            const pack<C> e = load(from + j * panel_rows), p = own_share * e;
            return select(included, (f * e) * select(p > half, at_max, one - p), zero);
        };
    }
};

// log p = (z - max) - log(sum of e^(z - max)): both are at most 0, so nothing cancels.
template <class C>
FUSEDLOSS_INLINE pack<C> log_probability(pack<C> z, pack<C> max, pack<C> log_total) {
    return select(z == max, pack<C>(0.0), z - max) - log_total;
}
template <class C>
struct log_probability_columns : made_columns<C, log_probability_columns<C>> {
    const C* z;
    const double* log_totals;

    FUSEDLOSS_INLINE auto operator()(int r) const {
        const pack<C> max = load_rows<C>(this->s.max + r), log_total = load_rows<C>(log_totals + r);
        return
            [=, from = z + r](int j) { return log_probability(load(from + j * panel_rows), max, log_total); };
    }
};

// --- one row after another ---

// Where chunks of a row end depends on the number of classes alone.
template <class C>
inline constexpr int row_chunk = chunk_bytes / int(sizeof(C));
template <class C>
inline constexpr int sum_unit = 128 / int(sizeof(C));
template <class C>
FUSEDLOSS_INLINE int chunk_at(std::int64_t first, std::int64_t classes) {
    const std::int64_t left = classes - first;
    return int(left < row_chunk<C> ? left : row_chunk<C>);
}
template <class C>
inline std::int64_t chunk_count(std::int64_t classes) {
    return classes / row_chunk<C> + 1;
}
template <class C>
FUSEDLOSS_INLINE int whole_units(int n) {
    return (n + sum_unit<C> - 1) / sum_unit<C> * sum_unit<C>;
}

// The sum of a few lanes, and of what their additions rounded off, folded in halves: the same on every
// machine.
FUSEDLOSS_SHARED sum fold_lanes(double* s, double* e, int lanes) {
    for (int half = lanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) {
            const double a = s[i], b = s[i + half], t = a + b, z = t - a;
            e[i] = (e[i] + e[i + half]) + ((a - (t - z)) + (b - z));
            s[i] = t;
        }
    return {s[0], e[0]};
}
// The sum of a row in as many lanes on every machine. Floats are added in pairs of lanes half a unit apart,
// and these in double; doubles with what their additions round off.
template <class C>
struct row_sum {
    static constexpr int lanes = 16, width = pack<double>::lanes, parts = lanes / width;
    static constexpr int half = sum_unit<C> / 2 / pack<C>::lanes;  // packs in half a unit
    static constexpr bool exact = sizeof(C) == 8;
    pack<double> s[parts], e[exact ? parts : 1];

    row_sum() {
        for (pack<double>& x : s) x = 0.0;
        for (pack<double>& x : e) x = 0.0;
    }
    // Packs i and i + half of a unit.
    FUSEDLOSS_INLINE void add(int i, pack<C> a, pack<C> b) {
        if constexpr (exact) {
            add_exactly(i, a);
            add_exactly(i + half, b);
        } else {
            const widened<C> w(a + b);
            for (int k = 0; k < wide_parts<C>; ++k) {
                const int at = i * wide_parts<C> + k;
                s[at] = s[at] + w.part[k];
            }
        }
    }
    FUSEDLOSS_INLINE void add_unit(const C* t) {
        for (int i = 0; i < half; ++i)
            add(i, load(t + i * pack<C>::lanes), load(t + (i + half) * pack<C>::lanes));
    }
    FUSEDLOSS_INLINE void rescale(double factor) {
        for (pack<double>& x : s) x = x * factor;
        for (pack<double>& x : e) x = x * factor;
    }
    FUSEDLOSS_INLINE sum folded() const {
        alignas(64) double high[lanes], low[lanes];
        for (int i = 0; i < parts; ++i) store(high + i * width, s[i]);
        if constexpr (exact) {
            for (int i = 0; i < parts; ++i) store(low + i * width, e[i]);
            return fold_lanes(high, low, lanes);
        }
        for (int half = lanes / 2; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) high[i] += high[i + half];
        return {high[0], 0.0};
    }

  private:
    FUSEDLOSS_INLINE void add_exactly(int i, pack<double> x) {
        const extended t = two_sum(s[i], x);
        s[i] = t.hi;
        e[i] = e[i] + t.lo;
    }
};

template <class C>
FUSEDLOSS_SHARED C max_of(const C* z, int n) {
    pack<C> a(-__builtin_inf()), b = a;
    for (int i = 0; i < n; i += 2 * pack<C>::lanes) {
        a = max(a, load(z + i));
        b = max(b, load(z + i + pack<C>::lanes));
    }
    return largest(max(a, b));
}
template <class C>
FUSEDLOSS_SHARED int find(const C* z, int n, C value) {
    const pack<C> wanted = double(value);
    constexpr int lanes = pack<C>::lanes;
    const auto found = [&](int i) { return load(z + i) == wanted; };
    int i = 0;
    while (i + 4 * lanes <= n &&
           !any((found(i) | found(i + lanes)) | (found(i + 2 * lanes) | found(i + 3 * lanes))))
        i += 4 * lanes;
    while (i < n && !any(found(i))) i += lanes;
    while (i < n && z[i] != value) ++i;
    return i;
}
// The t of whole units of scores, and their sum. `next` is read soon: asked for here, where there is time for
// it.
template <class C>
FUSEDLOSS_SHARED void exponentials_of(const C* z, const C* z_low, C* t, int n, const measure<C>& row,
                                      const char* next, row_sum<C>& sum) {
    constexpr int lanes = pack<C>::lanes, half = sum_unit<C> / 2;
    const measure<C> by = row;
    row_sum<C> total = sum;
    for (int first = 0; first < n; first += 2 * half)
        for (int i = first; i < first + half; i += lanes) {
            pack<C> d[2], low[2], e[2];
            for (int k = 0; k < 2; ++k) {
                const pack<C> x = load(z + i + k * half);
                d[k] = x - by.c;
                low[k] = rounded_off(x, by.c, d[k]);
                if (sizeof(C) == 8 && z_low) low[k] = low[k] + load(z_low + i + k * half);
                __builtin_prefetch(next + (i + k * half) * sizeof(C));
            }
            measured_exp(d, low, by, e);
            for (int k = 0; k < 2; ++k) store(t + i + k * half, e[k]);
            total.add((i - first) / lanes, e[0], e[1]);
        }
    sum = total;
}

// The first n lanes, n < lanes, in pieces of fixed sizes.
template <int Piece, class C>
FUSEDLOSS_INLINE void store_pieces(C* p, const C* from, int n) {
    if (n & Piece) {
        std::memcpy(p, from, Piece * sizeof(C));
        p += Piece, from += Piece;
    }
    if constexpr (Piece > 1) store_pieces<Piece / 2>(p, from, n);
}
template <class C>
FUSEDLOSS_INLINE void store_first(C* p, pack<C> a, int n) {
    alignas(64) C lane[pack<C>::lanes];
    store(lane, a);
    store_pieces<pack<C>::lanes / 2>(p, lane, n);
}

// Calls f with powers of two whose product is 2^k, k <= 0: one where 2^k is a normal number.
template <class F>
FUSEDLOSS_INLINE void for_powers(double k, F f) {
    for (int left = k < -3000.0 ? -3000 : int(k); left < 0;) {
        const int step = left < -1000 ? -1000 : left;
        const std::uint64_t u = std::uint64_t(1023 + step) << 52;
        double power;
        std::memcpy(&power, &u, sizeof power);
        f(power);
        left -= step;
    }
}

FUSEDLOSS_END
