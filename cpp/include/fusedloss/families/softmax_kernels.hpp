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

// t of z - c = d + low.
template <class C>
FUSEDLOSS_INLINE pack<C> measured_exp(pack<C> d, pack<C> low, const measure<C>& by) {
    using F = format<C>;
    const pack<C> k_shifted = fma(d, pack<C>(log2_e), by.shift), k = k_shifted - by.shift;
    pack<C> rest = fma(k, pack<C>(-F::ln2_hi), d);
    if constexpr (!has_fma && sizeof(C) == 4) rest = rest + low;  // the reduction of floats takes no low part
    const pack<C> power = power_of_two(k_shifted);
    return select(d < by.lowest, pack<C>(0.0), fma(reduced_expm1(k, rest, low), power, power));
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

// --- rows side by side ---

// The running sum of packs, with what its additions round off: for floats that takes less than widening them.
template <class C>
struct lane_sum {
    pack<C> s = 0.0, e = 0.0;
    FUSEDLOSS_INLINE void add(pack<C> x) {
        const pack<C> t = s + x, z = t - s;
        e = e + ((s - (t - z)) + (x - z));
        s = t;
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
    int lines, line;       // of a plane that belong to those panels
    std::ptrdiff_t plane;  // bytes from one plane to the next
    FUSEDLOSS_INLINE void step() {
        __builtin_prefetch(next, 0, 2);
        next += 64;
        if (++line == lines) next += plane - lines * 64, line = 0;
    }
};

// Scores, and their low parts unless null, to t. Scores that lie in memory, classes `pitch` apart, are copied
// to the panel z on the way: lines a power of two apart compete for few places in a cache.
template <class C>
FUSEDLOSS_SHARED void forward_columns(const C* source, std::ptrdiff_t pitch, C* z, const C* z_low, C* t,
                                      int classes, int rows, softmax_panel& s, const double* labels,
                                      reader_ahead& reader) {
    reader_ahead ahead = reader;
    const pack<C> zero(0.0), infinity(__builtin_inf());
    for (int r = 0; r < rows; r += pack<C>::lanes) {
        const C* x = z + r;
        std::ptrdiff_t step = panel_rows;
        pack<C> max = load(source + r);
        for (int j = 0; j < classes; ++j) {
            const pack<C> own = load(source + j * pitch + r);
            max = fusedloss::max(max, own);
            store(z + j * panel_rows + r, own);
        }
        store_rows(s.max + r, max);
        alignas(64) C copy[most_columns * pack<C>::lanes];
        if (any(max == infinity)) {
            limit_columns(x, step, max, copy, classes);
            x = copy;
            step = pack<C>::lanes;
            max = select(max == infinity, zero, max);
        }
        const measure<C> by = measure_by(shift_for(max), max);
        const pack<C> label = load_rows<C>(labels + r);
        pack<C> score = zero, at_label = zero, at_max = zero, score_low = zero, max_low = zero;
        pack<C> index = zero, ties = -1.0;  // ties: others that share the maximum
        lane_sum<C> others;
        const auto take = [&](int j) {
            ahead.step();
            const pack<C> own = load(x + j * step), d = own - by.c;
            const auto top = own == max, here = label == index;
            index = index + 1.0;
            pack<C> low = rounded_off(own, by.c, d);
            if (sizeof(C) == 8 && z_low) {
                const pack<C> own_low = load(z_low + j * panel_rows + r);
                low = low + own_low;
                score_low = select(here, own_low, score_low);
                max_low = select(top, own_low, max_low);
            }
            const pack<C> e = measured_exp(d, low, by);
            store(t + j * panel_rows + r, e);
            score = select(here, load(z + j * panel_rows + r), score);
            at_label = select(here, e, at_label);
            if constexpr (sizeof(C) == 8) at_max = select(top, e, at_max);
            ties = select(top, ties + 1.0, ties);
            return select(top, zero, e);
        };
        if constexpr (sizeof(C) == 8) {
            for (int j = 0; j < classes; ++j) others.add(take(j));
        } else {  // the sum of two rounded: half an ULP at most, and half the work
            int j = 0;
            for (; j + 2 <= classes; j += 2) {
                const pack<C> first = take(j);
                others.add(first + take(j + 1));
            }
            if (j < classes) others.add(take(j));
        }
        constexpr double unlift = 1.0 / lift_power<C>;
        store_rows(s.score + r, score);
        store_rows(s.t + r, at_label, unlift);
        const widened<C> sum(others.s), rest(others.e), equal(ties);
        if constexpr (sizeof(C) == 8) {
            const pack<double> largest = at_max * unlift;
            const extended smaller = exact_sum(others.s * unlift, others.e * unlift);
            const extended all = two_sum(smaller.hi, ties * largest);
            store(s.max_low + r, max_low);
            store(s.score_low + r, score_low);
            store(s.top + r, largest);
            store(s.others + r, all.hi);
            store(s.others_low + r, all.lo + smaller.lo);
        } else {
            const widened<C> top(by.top), k(by.k);
            for (int i = 0; i < wide_parts<C>; ++i) {
                const int to = r + i * pack<double>::lanes;
                // The largest once more in double, since all else is relative to it.
                const pack<double> reduced =
                    fma(k.part[i], pack<double>(-format<double>::ln2_hi), top.part[i]);
                const pack<double> largest = 1.0 + reduced_expm1(k.part[i], reduced, pack<double>(0.0));
                store(s.top + to, largest);
                store(s.others + to, fma(equal.part[i], largest, (sum.part[i] + rest.part[i]) * unlift));
            }
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
    FUSEDLOSS_INLINE two_parts(const softmax_panel& s, int r) : high(load_rows<C>(s.factor + r)) {
        alignas(64) double rest[pack<C>::lanes];
        const widened<C> rounded(high);
        for (int i = 0; i < wide_parts<C>; ++i) {
            const int at = i * pack<double>::lanes;
            store(rest + at, (load(s.factor + r + at) - rounded.part[i]) + load(s.factor_low + r + at));
        }
        low = load_rows<C>(rest);
    }
    friend FUSEDLOSS_INLINE pack<C> operator*(const two_parts& f, pack<C> x) {
        return fma(f.high, x, f.low * x);
    }
};

// The gradient factor t, at the label its own, in place of t or at `out`, classes `pitch` apart.
template <class C, bool Stream>
FUSEDLOSS_SHARED void backward_columns(const C* t, C* out, std::ptrdiff_t pitch, int classes, int rows,
                                       const softmax_panel& s, const double* labels) {
    const pack<C> zero(0.0);
    for (int r = 0; r < rows; r += pack<C>::lanes) {
        const two_parts<C> factor(s, r);
        const pack<C> at_label = load_rows<C>(s.at_label + r), label = load_rows<C>(labels + r);
        const auto excluded = factor.high == zero;
        for (int j = 0; j < classes; ++j) {
            const pack<C> e = select(excluded, zero, factor * load(t + j * panel_rows + r));
            const pack<C> g = select(label == pack<C>(double(j)), at_label, e);
            Stream ? store_stream(out + j * pitch + r, g) : store(out + j * pitch + r, g);
        }
    }
}

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
template <class C>
struct row_accumulator : accumulator<C> {
    using base = accumulator<C>;
    FUSEDLOSS_INLINE void rescale(double factor) {
        for (int k = 0; k < base::parts; ++k) {
            base::total[k] = base::total[k] * factor;
            if constexpr (sizeof(C) == 8) base::error[k] = base::error[k] * factor;
        }
    }
    FUSEDLOSS_INLINE sum folded() const {
        alignas(64) double s[base::lanes], e[base::lanes];
        if constexpr (sizeof(C) == 8) {
            for (int k = 0; k < base::parts; ++k) {
                store(s + k * base::width, base::total[k]);
                store(e + k * base::width, base::error[k]);
            }
            return fold_lanes(s, e, base::lanes);
        } else {
            // Exponentials of floats: plain sums of doubles are more than they need.
            pack<double> t[base::parts];
            for (int k = 0; k < base::parts; ++k) t[k] = base::total[k];
            int parts = base::parts;
            for (; parts > 1 && parts * base::width > 8; parts /= 2)
                for (int k = 0; k < parts / 2; ++k) t[k] = t[k] + t[k + parts / 2];
            for (int k = 0; k < parts; ++k) store(s + k * base::width, t[k]);
            return {((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7])), 0.0};
        }
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
    constexpr int step = sum_unit<C>;  // whole units
    int i = 0;
    for (; i < n; i += step) {
        auto found = load(z + i) == wanted;
        for (int k = pack<C>::lanes; k < step; k += pack<C>::lanes)
            found = found | (load(z + i + k) == wanted);
        if (any(found)) break;
    }
    while (i < n && z[i] != value) ++i;
    return i;
}
// `next` is read soon: asked for here, where there is time for it.
template <class C>
FUSEDLOSS_SHARED void exponentials_of(const C* z, const C* z_low, C* t, int n, const measure<C>& row,
                                      const char* next) {
    const measure<C> by = row;
    for (int i = 0; i < n; i += pack<C>::lanes) {
        __builtin_prefetch(next + i * sizeof(C));
        const pack<C> x = load(z + i), d = x - by.c;
        pack<C> low = rounded_off(x, by.c, d);
        if (sizeof(C) == 8 && z_low) low = low + load(z_low + i);
        store(t + i, measured_exp(d, low, by));
    }
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
