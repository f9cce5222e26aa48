// The loops of the pairs family over the numbers of vectors, in double whatever the data: sums of squares,
// powers and products on the way in, gradients on the way out. Vectors lie in rows, and lanes are positions,
// or they are short and lie in columns, and lanes are rows.
#pragma once

#include "../core/pairs_job.hpp"
#include "../simd/special.hpp"
#include "row_staging.hpp"

FUSEDLOSS_BEGIN

template <vector_pairs P>
struct pair_list {
    static constexpr int vectors = P == vector_pairs::both ? 2 : P == vector_pairs::chained ? 4 : 3;
    static constexpr int count = P == vector_pairs::both ? 1 : P == vector_pairs::anchored ? 2 : 3;
    static constexpr int first(int m) { return m < 2 ? 0 : P == vector_pairs::triangle ? 1 : 2; }
    static constexpr int second(int m) { return m < 2 ? m + 1 : P == vector_pairs::triangle ? 2 : 3; }
};

// A number of the rows that a pack belongs to: of one row, or of as many as it has lanes.
template <bool Columns>
FUSEDLOSS_INLINE pack<double> row_number(const double* numbers, int row) {
    if constexpr (Columns)
        return load(numbers + row);
    else
        return numbers[row];
}

FUSEDLOSS_INLINE pack<double> load_number(const float* p) { return load_widened(p); }
FUSEDLOSS_INLINE pack<double> load_number(const double* p) { return load(p); }

// ---- what is added up, and the gradient of it ----------------------------------------------------
//
// A kind of loop begins with what it needs of its rows. It adds the terms of one pack of positions to its
// sums, and gives the gradient in every vector there. Doubles may leave the range when squared: they are
// multiplied by a power of two first.

struct adding {
    template <class V>
    static FUSEDLOSS_INLINE V join(V a, V b) {
        return a + b;
    }
};

template <vector_pairs P, bool Floats, bool Columns>
struct differences {
    using T = pack<double>;
    using list = pair_list<P>;
    using join = adding;
    static constexpr int sums = list::count;
    T ratio[list::count], unit[list::count], pull[list::count], eps;

    FUSEDLOSS_INLINE void begin_sums(const pair_block& b, int row) {
        eps = b.eps;
        for (int m = 0; m < list::count; ++m) {
            ratio[m] = -row_number<Columns>(b.ratio[m], row);
            if constexpr (!Floats) unit[m] = row_number<Columns>(b.unit[m], row);
        }
    }
    FUSEDLOSS_INLINE void add(const T* x, T* sum) const {
        for (int m = 0; m < list::count; ++m) {
            T u = fma(ratio[m], x[list::second(m)], x[list::first(m)]) + eps;
            if constexpr (!Floats) u = u * unit[m];
            sum[m] = fma(u, u, sum[m]);
        }
    }
    static FUSEDLOSS_INLINE double* sum_of(pair_block& b, int k) { return b.sum[k]; }

    FUSEDLOSS_INLINE void begin_gradients(const pair_block& b, int row) {
        eps = b.eps;
        for (int m = 0; m < list::count; ++m) pull[m] = row_number<Columns>(b.pull[m][0], row);
    }
    FUSEDLOSS_INLINE void gradients(const T* x, T* grad) const {
        bool begun[list::vectors]{};
        for (int m = 0; m < list::count; ++m) {
            const int i = list::first(m), j = list::second(m);
            const T u = (x[i] - x[j]) + eps;
            grad[i] = begun[i] ? fma(pull[m], u, grad[i]) : pull[m] * u;
            grad[j] = begun[j] ? fma(-pull[m], u, grad[j]) : -(pull[m] * u);
            begun[i] = begun[j] = true;
        }
    }
};

// Called, not pasted: they would be most of the family.
FUSEDLOSS_OUTLINE pack<double> power_term(pack<double> size, pack<double> largest, double p, power_sum mode) {
    if (mode == power_sum::power) return pow(size / largest, pack<double>(p));
    return mode == power_sum::ties ? select(size == largest, pack<double>(1.0), pack<double>(0.0)) : size;
}
FUSEDLOSS_OUTLINE pack<double> power_slope(pack<double> u, pack<double> norm, double p, power_sum mode) {
    const pack<double> zero(0.0), size = abs(u);
    if (mode == power_sum::power)
        return select(size == zero, size, sign(u) * pow(size / norm, pack<double>(p - 1.0)));
    return mode == power_sum::ties ? select(size < norm, zero, sign(u)) : sign(u);
}

template <vector_pairs P, bool Columns>
struct powers {
    using T = pack<double>;
    using list = pair_list<P>;
    static constexpr int sums = list::count;
    T largest[list::count], pull[list::count], eps;
    double p;
    power_sum mode;

    FUSEDLOSS_INLINE void begin_sums(const pair_block& b, int row) {
        eps = b.eps;
        p = b.p;
        mode = b.mode;
        for (int m = 0; m < list::count; ++m) largest[m] = row_number<Columns>(b.largest[m], row);
    }
    FUSEDLOSS_INLINE void begin_gradients(const pair_block& b, int row) {
        begin_sums(b, row);
        for (int m = 0; m < list::count; ++m) pull[m] = row_number<Columns>(b.pull[m][0], row);
    }
    // `largest` is the norm.
    FUSEDLOSS_INLINE void gradients(const T* x, T* grad) const {
        for (int v = 0; v < list::vectors; ++v) grad[v] = 0.0;
        for (int m = 0; m < list::count; ++m) {
            const int i = list::first(m), j = list::second(m);
            const T slope = pull[m] * power_slope((x[i] - x[j]) + eps, largest[m], p, mode);
            grad[i] = grad[i] + slope;
            grad[j] = grad[j] - slope;
        }
    }
    static FUSEDLOSS_INLINE double* sum_of(pair_block& b, int k) { return b.sum[k]; }
};
// The largest of all, NaN if there is one; and sums.
struct larger {
    static FUSEDLOSS_INLINE pack<double> join(pack<double> a, pack<double> b) {
        return select(is_nan(a), a, max(a, b));
    }
    static FUSEDLOSS_INLINE native<double> join(native<double> a, native<double> b) {
        return a != a ? a : a > b ? a : b;
    }
};
template <vector_pairs P, bool Columns, class Join>
struct joined_powers : powers<P, Columns> {
    using T = pack<double>;
    using join = Join;
    FUSEDLOSS_INLINE void add(const T* x, T* sum) const {
        using list = pair_list<P>;
        for (int m = 0; m < list::count; ++m) {
            const T size = abs((x[list::first(m)] - x[list::second(m)]) + this->eps);
            sum[m] = Join::join(sum[m], power_term(size, this->largest[m], this->p, this->mode));
        }
    }
};

template <vector_pairs P, bool Floats, bool Columns>
struct products {
    using T = pack<double>;
    using list = pair_list<P>;
    using join = adding;
    static constexpr int sums = list::count + list::vectors;
    T unit[list::vectors], pull[list::count][2], own[list::vectors];

    FUSEDLOSS_INLINE void begin_sums(const pair_block& b, int row) {
        if constexpr (!Floats)
            for (int v = 0; v < list::vectors; ++v) unit[v] = row_number<Columns>(b.vector_unit[v], row);
    }
    FUSEDLOSS_INLINE void add(const T* vectors, T* sum) const {
        T x[list::vectors];
        for (int v = 0; v < list::vectors; ++v) {
            x[v] = vectors[v];
            if constexpr (!Floats) x[v] = x[v] * unit[v];
            sum[list::count + v] = fma(x[v], x[v], sum[list::count + v]);
        }
        for (int m = 0; m < list::count; ++m) sum[m] = fma(x[list::first(m)], x[list::second(m)], sum[m]);
    }
    static FUSEDLOSS_INLINE double* sum_of(pair_block& b, int k) {
        return k < list::count ? b.sum[k] : b.squares[k - list::count];
    }

    FUSEDLOSS_INLINE void begin_gradients(const pair_block& b, int row) {
        for (int m = 0; m < list::count; ++m)
            for (int side = 0; side < 2; ++side) pull[m][side] = row_number<Columns>(b.pull[m][side], row);
        for (int v = 0; v < list::vectors; ++v) own[v] = row_number<Columns>(b.own[v], row);
    }
    FUSEDLOSS_INLINE void gradients(const T* x, T* grad) const {
        for (int v = 0; v < list::vectors; ++v) grad[v] = own[v] * x[v];
        for (int m = 0; m < list::count; ++m) {
            const int i = list::first(m), j = list::second(m);
            grad[i] = fma(pull[m][0], x[j], grad[i]);
            grad[j] = fma(pull[m][1], x[i], grad[j]);
        }
    }
};

// ---- vectors in rows -----------------------------------------------------------------------------

// Lanes of a unit are joined in the same order on every machine: l and l + 8, then l and l + 4, ...
template <class Join, int Step>
FUSEDLOSS_INLINE native<double> join_lanes(native<double> v) {
    v = Join::join(v, shuffle<rotation<Step>>(v, v));
    if constexpr (Step > 1)
        return join_lanes<Join, Step / 2>(v);
    else
        return v;
}
constexpr int unit_packs = int(row_unit) / pack<double>::lanes;
template <class Join>
FUSEDLOSS_INLINE native<double> join_halves(const pack<double>* sum) {
    constexpr int vectors = int(row_unit) / native_lanes<double>;
    native<double> v[vectors];
    std::memcpy(v, sum, sizeof v);
    for (int n = vectors / 2; n > 0; n /= 2)
        for (int i = 0; i < n; ++i) v[i] = Join::join(v[i], v[i + n]);
    return v[0];
}
template <class Join>
FUSEDLOSS_INLINE double join_unit(const pack<double>* sum) {
    return join_lanes<Join, native_lanes<double> / 2>(join_halves<Join>(sum))[0];
}
// The same of as many rows as a vector has lanes, of each a vector: lane r is of row r. Lanes that belong to
// one row are a block; two vectors become one of blocks half as long.
template <int Block, int Half>
struct halves_of_blocks {
    static constexpr int at(int l, int lanes) {
        const int of_first = l % (lanes / 2), half = Block / 2;
        return l / (lanes / 2) * lanes + of_first / half * Block + Half * half + l % half;
    }
};
template <class Join, int Block = native_lanes<double>>
FUSEDLOSS_INLINE native<double> join_rows(native<double>* v) {
    for (int i = 0; i < Block / 2; ++i) {
        const native<double> a = v[2 * i], b = v[2 * i + 1];
        v[i] =
            Join::join(shuffle<halves_of_blocks<Block, 0>>(a, b), shuffle<halves_of_blocks<Block, 1>>(a, b));
    }
    if constexpr (Block > 2)
        return join_rows<Join, Block / 2>(v);
    else
        return v[0];
}

// Sums start anew after this many positions: the rounding errors of long ones stay small.
constexpr std::int64_t positions_per_sum = 128 * row_unit;

// Whether the lanes of pack `part` of a unit are at or after position `first` of it.
FUSEDLOSS_INLINE mask<double> lanes_from(int part, int first) {
    double index[pack<double>::lanes];
    for (int l = 0; l < pack<double>::lanes; ++l) index[l] = double(part * pack<double>::lanes + l);
    return load(index) >= pack<double>(double(first));
}

template <class Kind, int Vectors, class S>
FUSEDLOSS_INLINE void sum_rows(pair_block& b) {
    using T = pack<double>;
    const std::int64_t whole = b.width & -row_unit;
    const int rest = int(b.width - whole);
    constexpr int together = native_lanes<double>;
    native<double> joined[Kind::sums][together];
    for (auto& rows : joined)
        for (native<double>& row : rows) row = native<double>{};
    for (int r = 0; r < b.rows; ++r) {
        const S* row[Vectors];
        for (int v = 0; v < Vectors; ++v) row[v] = static_cast<const S*>(b.vector[v][r]);
        Kind kind;
        kind.begin_sums(b, r);
        T sum[unit_packs][Kind::sums], x[Vectors];
        for (auto& part : sum)
            for (T& s : part) s = 0.0;
        const auto add = [&](std::int64_t at, int part, T* to) {
            for (int v = 0; v < Vectors; ++v) x[v] = load_number(row[v] + at + part * T::lanes);
            kind.add(x, to);
        };
        if (rest > 0)  // the last unit overlaps the one before: those lanes count there
            for (int k = 0; k < unit_packs; ++k) {
                T to[Kind::sums];
                for (T& s : to) s = 0.0;
                add(b.width - row_unit, k, to);
                const auto counts = lanes_from(k, int(row_unit) - rest);
                for (int s = 0; s < Kind::sums; ++s) sum[k][s] = select(counts, to[s], T(0.0));
            }
        for (std::int64_t begin = 0; begin < whole; begin += positions_per_sum) {
            const std::int64_t end = begin + positions_per_sum < whole ? begin + positions_per_sum : whole;
            T part[unit_packs][Kind::sums];
            for (auto& p : part)
                for (T& s : p) s = 0.0;
            for (std::int64_t i = begin; i < end; i += row_unit)
                for (int k = 0; k < unit_packs; ++k) add(i, k, part[k]);
            for (int k = 0; k < unit_packs; ++k)
                for (int s = 0; s < Kind::sums; ++s) sum[k][s] = Kind::join::join(sum[k][s], part[k][s]);
        }
        for (int s = 0; s < Kind::sums; ++s) {
            T lanes[unit_packs];
            for (int k = 0; k < unit_packs; ++k) lanes[k] = sum[k][s];
            joined[s][r % together] = join_halves<typename Kind::join>(lanes);
        }
        if (r % together < together - 1 && r < b.rows - 1) continue;
        for (int s = 0; s < Kind::sums; ++s) {
            const native<double> total = join_rows<typename Kind::join>(joined[s]);
            std::memcpy(Kind::sum_of(b, s) + r / together * together, &total, sizeof total);
        }
    }
}

FUSEDLOSS_INLINE void write_unit(double* out, const pack<double>* values) {
    for (int k = 0; k < unit_packs; ++k) store(out + k * pack<double>::lanes, values[k]);
}
FUSEDLOSS_INLINE void write_unit(float* out, const pack<double>* values) {
    for (int k = 0; k < unit_packs; ++k) store_narrowed(out + k * pack<double>::lanes, values[k]);
}

// Sends the whole lines that wait on their way: before the next row is computed, as what was stored a moment
// ago is slow to load across the borders of stores. The first line of all may belong to somebody else, too.
constexpr int line_bytes = 64;
FUSEDLOSS_INLINE void flush(line_writer& l) {
    const int whole = l.end & -line_bytes;
    int i = 0;
    if (whole > 0 && l.begin > 0) {
        std::memcpy(l.to + l.begin, l.buffer + l.begin, std::size_t(line_bytes - l.begin));
        l.begin = 0;
        i = line_bytes;
    }
    for (; i < whole; i += FUSEDLOSS_PACK_BYTES)
        store_stream(reinterpret_cast<float*>(l.to + i), load(reinterpret_cast<const float*>(l.buffer + i)));
    if (whole > 0) std::memcpy(l.buffer, l.buffer + whole, line_bytes);
    l.to += whole;
    l.end -= whole;
}
FUSEDLOSS_INLINE void finish(line_writer& l) {
    flush(l);
    std::memcpy(l.to + l.begin, l.buffer + l.begin, std::size_t(l.end - l.begin));
}

template <class Kind, int Vectors, class S, bool Stream>
FUSEDLOSS_INLINE void write_rows(pair_block& b) {
    using T = pack<double>;
    const std::int64_t width = b.width, whole = width & -row_unit;
    for (int r = 0; r < b.rows; ++r) {
        const S *row[Vectors], *next[Vectors];
        S* out[Vectors];
        for (int v = 0; v < Vectors; ++v) {
            row[v] = static_cast<const S*>(b.vector[v][r]);
            next[v] = row[v] + b.ahead[v] / std::ptrdiff_t(sizeof(S));
            out[v] = static_cast<S*>(b.grad[v][0] ? b.grad[v][r] : nullptr);
            if (!Stream || !out[v]) continue;
            line_writer& line = b.lines[v];
            flush(line);
            out[v] = reinterpret_cast<S*>(line.buffer + line.end);
            line.end += int(width * std::int64_t(sizeof(S)));
        }
        Kind kind;
        kind.begin_gradients(b, r);
        const auto active = T(b.active[r]) != T(0.0);
        const auto compute = [&](std::int64_t at, T(*grad)[unit_packs]) {
            for (int k = 0; k < unit_packs; ++k) {
                T x[Vectors], g[Vectors];
                for (int v = 0; v < Vectors; ++v) x[v] = load_number(row[v] + at + k * T::lanes);
                kind.gradients(x, g);
                for (int v = 0; v < Vectors; ++v) grad[v][k] = select(active, g[v], T(0.0));
            }
        };
        T grad[Vectors][unit_packs], last[Vectors][unit_packs];
        // The last unit overlaps the one before, and the gradient may replace the vector.
        if (whole < width) compute(width - row_unit, last);
        for (std::int64_t i = 0; i < whole; i += row_unit) {
            compute(i, grad);
            for (int v = 0; v < Vectors; ++v) {
                if (out[v]) write_unit(out[v] + i, grad[v]);
                // The next panel is on its way while this one is written.
                for (int line = 0; line < int(row_unit * sizeof(S)); line += line_bytes)
                    __builtin_prefetch(reinterpret_cast<const char*>(next[v] + i) + line);
            }
        }
        if (whole < width)
            for (int v = 0; v < Vectors; ++v)
                if (out[v]) write_unit(out[v] + width - row_unit, last[v]);
    }
}

// ---- short vectors in columns --------------------------------------------------------------------

template <class Kind, int Vectors>
FUSEDLOSS_INLINE void sum_columns(pair_block& b) {
    using T = pack<double>;
    for (int r = 0; r < b.rows; r += T::lanes) {
        Kind kind;
        kind.begin_sums(b, r);
        T sum[Kind::sums], x[Vectors];
        for (T& s : sum) s = 0.0;
        for (std::int64_t j = 0; j < b.width; ++j) {
            for (int v = 0; v < Vectors; ++v)
                x[v] = load(static_cast<const double*>(b.vector[v][0]) + j * panel_rows + r);
            kind.add(x, sum);
        }
        for (int s = 0; s < Kind::sums; ++s) store(Kind::sum_of(b, s) + r, sum[s]);
    }
}

template <class Kind, int Vectors>
FUSEDLOSS_INLINE void write_columns(pair_block& b) {
    using T = pack<double>;
    const T zero(0.0);
    for (int r = 0; r < b.rows; r += T::lanes) {
        Kind kind;
        kind.begin_gradients(b, r);
        const auto active = load(b.active + r) != zero;
        for (std::int64_t j = 0; j < b.width; ++j) {
            const std::int64_t at = j * panel_rows + r;
            T x[Vectors], g[Vectors];
            for (int v = 0; v < Vectors; ++v) x[v] = load(static_cast<const double*>(b.vector[v][0]) + at);
            kind.gradients(x, g);
            for (int v = 0; v < Vectors; ++v)
                if (b.grad[v][0]) store(static_cast<double*>(b.grad[v][0]) + at, select(active, g[v], zero));
        }
    }
}

// ---- the table -----------------------------------------------------------------------------------

template <vector_pairs P, class S, bool Columns>
struct loops_of {
    static constexpr bool floats = sizeof(S) == sizeof(float);
    static constexpr int vectors = pair_list<P>::vectors;

    template <class Kind>
    static void sums(pair_block& b) {
        if constexpr (Columns)
            sum_columns<Kind, vectors>(b);
        else
            sum_rows<Kind, vectors, S>(b);
    }
    static void sums_of_powers(pair_block& b) {
        if (b.mode == power_sum::largest)
            sums<joined_powers<P, Columns, larger>>(b);
        else
            sums<joined_powers<P, Columns, adding>>(b);
    }
    template <class Kind, bool Stream = !FUSEDLOSS_COMPACT>
    static void gradients(pair_block& b) {
        if constexpr (Columns)
            return write_columns<Kind, vectors>(b);
        else if (Stream && b.stream)
            return write_rows<Kind, vectors, S, Stream>(b);
        else
            return write_rows<Kind, vectors, S, false>(b);
    }
    // Powers are taken of doubles alone, and the chain of a quadruplet knows distances alone.
    static constexpr pair_loops make() {
        pair_loops l{};
        if constexpr (floats && FUSEDLOSS_COMPACT) return l;  // copied into doubles
        l.sums[over_differences] = sums<differences<P, floats, Columns>>;
        l.gradients[over_differences] = gradients<differences<P, floats, Columns>>;
        if constexpr (P != vector_pairs::chained) {
            l.sums[over_products] = sums<products<P, floats, Columns>>;
            l.gradients[over_products] = gradients<products<P, floats, Columns>>;
        }
        if constexpr (P != vector_pairs::chained && !floats) {
            l.sums[over_powers] = sums_of_powers;
            l.gradients[over_powers] = gradients<powers<P, Columns>, false>;
        }
        return l;
    }
    static constexpr pair_loops all = make();
};

FUSEDLOSS_END
