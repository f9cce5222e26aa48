// The pairs family: losses of how near the vectors of a row are to each other. A panel of rows stays in the
// caches while its distances or products are added up, a formula makes values and slopes of them, and
// gradients are written.
#pragma once

#include "../losses/pair_terms.hpp"
#include "pair_loops.hpp"

FUSEDLOSS_BEGIN

// ---- from a formula to a kernel ------------------------------------------------------------------

template <class Loss>
void run_pair_formula(const void* params, pair_block& b) {
    using T = pack<double>;
    constexpr int measures = pair_list<Loss::traits.pairs>::count;
    Loss loss;
    std::memcpy(static_cast<void*>(&loss), params, sizeof loss);
    for (int r = 0; r < b.rows; r += T::lanes) {
        T measure[measures], number[max_pair_numbers];
        for (int m = 0; m < measures; ++m) measure[m] = load(b.measure[m] + r);
        for (int k = 0; k < Loss::traits.numbers; ++k) number[k] = load(b.number[k] + r);
        const pair_terms<T> t = eval(loss, measure, number);
        store(b.value + r, t.value);
        for (int m = 0; m < measures; ++m) store(b.slope[m] + r, t.slope[m]);
        for (int k = 0; k < Loss::traits.numbers; ++k) store(b.number_grad[k] + r, t.number[k]);
    }
}

template <class Loss>
constexpr pair_entry make_pair_kernels() {
    constexpr vector_pairs p = Loss::traits.pairs;
    return {
        run_pair_formula<Loss>,
        {loops_of<p, float, false>::all, loops_of<p, double, false>::all, loops_of<p, double, true>::all}};
}

// ---- from sums to measures, and from slopes to gradients -----------------------------------------

struct pair_facts {  // of all losses with the same pairs
    int vectors, count;
    int first[max_pair_measures], second[max_pair_measures];
};
template <vector_pairs P>
constexpr pair_facts facts_of() {
    using list = pair_list<P>;
    pair_facts f{list::vectors, list::count, {}, {}};
    for (int m = 0; m < list::count; ++m) f.first[m] = list::first(m), f.second[m] = list::second(m);
    return f;
}
inline pair_facts facts_of(vector_pairs p) {
    switch (p) {
        case vector_pairs::both: return facts_of<vector_pairs::both>();
        case vector_pairs::anchored: return facts_of<vector_pairs::anchored>();
        case vector_pairs::triangle: return facts_of<vector_pairs::triangle>();
        default: return facts_of<vector_pairs::chained>();
    }
}

// Calls f for every pack of rows.
template <class F>
FUSEDLOSS_INLINE void for_each_pack(int rows, F f) {
    for (int r = 0; r < rows; r += pack<double>::lanes) f(r);
}

// Squares of doubles leave the range long before their roots do. Sums that did are added up again, of numbers
// times a power of two; true if there are any.
constexpr double small_sum = 0x1p-960, large_sum = 0x1p960, raise_small = 0x1p600, lower_large = 0x1p-540;
FUSEDLOSS_SHARED bool choose_units(const double* sum, double* unit, int rows) {
    using T = pack<double>;
    bool changed = false;
    for_each_pack(rows, [&](int r) {
        const T s = load(sum + r);
        const auto small = s<T(small_sum), large = s> T(large_sum);
        store(unit + r, select(small, T(raise_small), select(large, T(lower_large), T(1.0))));
        changed = changed || any(small | large);
    });
    return changed;
}
FUSEDLOSS_INLINE void fill(double* numbers, int rows, double x) {
    for_each_pack(rows, [&](int r) { store(numbers + r, pack<double>(x)); });
}

FUSEDLOSS_INLINE pair_loop loop_of(pair_measure measure) {
    switch (measure) {
        case pair_measure::squared_l2:
        case pair_measure::l2: return over_differences;
        case pair_measure::l1:
        case pair_measure::linf:
        case pair_measure::lp: return over_powers;
        default: return over_products;
    }
}

class pair_algebra {
  public:
    pair_algebra(const pairs_job& job, const pair_facts& f, const pair_loops& l)
        : options(job.options), facts(f), loops(l), kind(loop_of(job.options.measure)), single(job.single) {}

    FUSEDLOSS_SHARED void begin(pair_block& b) const {
        for (int m = 0; m < facts.count; ++m) fill(b.ratio[m], b.rows, 1.0), fill(b.unit[m], b.rows, 1.0);
        for (int v = 0; v < facts.vectors; ++v) fill(b.vector_unit[v], b.rows, 1.0);
        b.eps = options.eps;
        b.p = options.p;
    }

    FUSEDLOSS_SHARED void measure(pair_block& b) const {
        if (kind == over_powers) return measure_powers(b);
        loops.sums[kind](b);
        if (kind == over_differences) return measure_differences(b);
        if (options.measure == pair_measure::dot || options.measure == pair_measure::negative_dot) {
            const double sign = options.measure == pair_measure::dot ? 1.0 : -1.0;
            for (int m = 0; m < facts.count; ++m)
                for_each_pack(b.rows, [&](int r) { store(b.measure[m] + r, sign * load(b.sum[m] + r)); });
        } else {
            measure_cosines(b);
        }
    }

    // b.slope times `factors`, one per row, into what the gradients are made of.
    FUSEDLOSS_SHARED void weigh(pair_block& b, const double* factors) const {
        for (int v = 0; v < facts.vectors; ++v) fill(b.own[v], b.rows, 0.0);
        for (int m = 0; m < facts.count; ++m)
            for_each_pack(b.rows, [&](int r) {
                const T zero(0.0), factor = load(factors + r), slope = load(b.slope[m] + r);
                const T s = select((factor == zero) | (slope == zero), zero, slope * factor);
                weigh_pack(b, m, r, s);
            });
        for_each_pack(b.rows, [&](int r) {
            const T zero(0.0);
            auto idle = zero == zero;
            for (int m = 0; m < facts.count; ++m)
                idle = idle & (load(b.pull[m][0] + r) == zero) & (load(b.pull[m][1] + r) == zero);
            store(b.active + r, select(idle, zero, T(1.0)));
        });
        b.mode = options.measure == pair_measure::lp     ? power_sum::power
                 : options.measure == pair_measure::linf ? power_sum::ties
                                                         : power_sum::sum;
    }

  private:
    using T = pack<double>;

    FUSEDLOSS_INLINE void weigh_pack(pair_block& b, int m, int r, T s) const {
        const T zero(0.0);
        const auto put = [&](T first, T second) {
            store(b.pull[m][0] + r, select(s == zero, zero, first));
            store(b.pull[m][1] + r, select(s == zero, zero, second));
        };
        switch (options.measure) {
            case pair_measure::squared_l2: return put(2.0 * s, 2.0 * s);
            case pair_measure::l2: {
                const T d = load(b.measure[m] + r), c = select(d == zero, zero, s / d);
                return put(c, c);
            }
            case pair_measure::linf: {
                const T c = s / load(b.sum[m] + r);  // shared among those that are as large
                return put(c, c);
            }
            case pair_measure::l1:
            case pair_measure::lp: return put(s, s);
            case pair_measure::dot: return put(s, s);
            case pair_measure::negative_dot: return put(-s, -s);
            default: break;
        }
        const int i = facts.first[m], j = facts.second[m];
        const T slope = options.measure == pair_measure::cosine ? s : -s;
        const T cosine = load(b.sum[m] + r), x = load(b.squares[i] + r), y = load(b.squares[j] + r);
        const T smallest = options.eps, cx = max(smallest, x), cy = max(smallest, y);
        const auto no_x = (x < smallest) | (x == zero), no_y = (y < smallest) | (y == zero);
        const T both = select((cx == zero) | (cy == zero), zero, slope / cx / cy);
        put(select(no_x, zero, both), select(no_y, zero, both));
        const auto add = [&](int v, T norm, mask<double> none) {
            const T own = select(none | (slope == zero), zero, slope * cosine / norm / norm);
            store(b.own[v] + r, load(b.own[v] + r) - own);
        };
        add(i, x, no_x);
        add(j, y, no_y);
    }

    FUSEDLOSS_INLINE void measure_differences(pair_block& b) const {
        if (options.measure == pair_measure::squared_l2) {
            std::memcpy(b.measure, b.sum, sizeof b.measure);
            return;
        }
        bool again = false;
        for (int m = 0; !single && m < facts.count; ++m)
            again = choose_units(b.sum[m], b.unit[m], b.rows) || again;
        if (again) loops.sums[over_differences](b);
        for (int m = 0; m < facts.count; ++m)
            for_each_pack(b.rows, [&](int r) {
                store(b.measure[m] + r, sqrt(load(b.sum[m] + r)) / load(b.unit[m] + r));
            });
    }

    FUSEDLOSS_INLINE void measure_powers(pair_block& b) const {
        b.mode = options.measure == pair_measure::l1 ? power_sum::sum : power_sum::largest;
        loops.sums[over_powers](b);
        std::memcpy(b.measure, b.sum, sizeof b.measure);
        std::memcpy(b.largest, b.sum, sizeof b.largest);
        if (options.measure == pair_measure::l1) return;
        // Relative to the largest no power leaves the range.
        b.mode = options.measure == pair_measure::linf ? power_sum::ties : power_sum::power;
        loops.sums[over_powers](b);
        if (options.measure == pair_measure::linf) return;
        for (int m = 0; m < facts.count; ++m)
            for_each_pack(b.rows, [&](int r) {
                const T largest = load(b.largest[m] + r);
                const T norm = largest * pow(load(b.sum[m] + r), T(1.0 / options.p));
                store(b.measure[m] + r, select(largest == T(0.0), largest, norm));
                store(b.largest[m] + r, load(b.measure[m] + r));
            });
    }

    // Afterwards b.sum holds cosines and b.squares norms.
    FUSEDLOSS_INLINE void measure_cosines(pair_block& b) const {
        const T zero(0.0), one(1.0), smallest = options.eps;
        bool again = false;
        for (int v = 0; !single && v < facts.vectors; ++v)
            again = choose_units(b.squares[v], b.vector_unit[v], b.rows) || again;
        if (again) loops.sums[over_products](b);

        bool close = false;
        double scaled[max_pair_vectors][panel_rows];
        for (int v = 0; v < facts.vectors; ++v)
            for_each_pack(b.rows, [&](int r) {
                const T norm = sqrt(load(b.squares[v] + r));
                store(scaled[v] + r, norm);
                store(b.squares[v] + r, norm / load(b.vector_unit[v] + r));
            });
        const T threshold = single ? 0x1p-24 : 0.5;
        for (int m = 0; m < facts.count; ++m) {
            const int i = facts.first[m], j = facts.second[m];
            for_each_pack(b.rows, [&](int r) {
                const T x = load(b.squares[i] + r), y = load(b.squares[j] + r);
                const auto none = (x == zero) | (y == zero);
                const T cosine = load(b.sum[m] + r) / (load(scaled[i] + r) * load(scaled[j] + r)) *
                                 (x / max(smallest, x)) * (y / max(smallest, y));
                const T s = select(none, x * y, cosine);
                store(b.sum[m] + r, s);
                store(b.measure[m] + r, options.measure == pair_measure::cosine ? s : one - s);
                store(b.ratio[m] + r, x / y);
                store(b.unit[m] + r, load(b.vector_unit[i] + r));
                close = close || any(one - s < threshold);
            });
        }
        if (options.measure == pair_measure::cosine || !close) return;
        // 1 - cos = |x - (|x| / |y|) y|^2 / (2 |x|^2), which does not cancel.
        double cosine[max_pair_measures][panel_rows];
        std::memcpy(cosine, b.sum, sizeof cosine);
        b.eps = 0.0;
        loops.sums[over_differences](b);
        for (int m = 0; m < facts.count; ++m) {
            const int i = facts.first[m], j = facts.second[m];
            for_each_pack(b.rows, [&](int r) {
                const T s = load(cosine[m] + r), norm = load(scaled[i] + r);
                const T gap = load(b.sum[m] + r) / (2.0 * norm * norm);
                const auto usable = (one - s < threshold) & (load(b.squares[i] + r) >= smallest) &
                                    (load(b.squares[j] + r) >= smallest);
                store(b.measure[m] + r, select(usable, gap, one - s));
            });
        }
        std::memcpy(b.sum, cosine, sizeof cosine);
    }

    const pair_options& options;
    const pair_facts facts;
    const pair_loops& loops;
    const pair_loop kind;
    const bool single;
};

// ---- around the kernels --------------------------------------------------------------------------

// Vectors shorter than a unit are kept in columns, panels of rows side by side.
FUSEDLOSS_INLINE bool are_short(const pairs_job& job) { return job.classes < row_unit; }

// An array whose rows lie in memory as a kernel takes them.
template <class S>
FUSEDLOSS_INLINE bool plain(const row_frame& job, const class_array& a) {
    bool aligned = a.rows.type == dtype_of<S> && a.step == std::int64_t(sizeof(S)) &&
                   aligned_for(a.rows.data, sizeof(S));
    for (int d = 0; d < job.dims; ++d) aligned = aligned && a.rows.stride[d] % std::int64_t(sizeof(S)) == 0;
    return aligned;
}
// ... and follow each other.
FUSEDLOSS_INLINE bool dense(const row_frame& job, const class_array& a) {
    return job.dims == 1 && a.rows.stride[0] == job.classes * item_size(a.rows.type);
}
// Halves become floats on their way.
FUSEDLOSS_INLINE bool fits_float(dtype type) {
    return type == dtype::float32 || type == dtype::float16 || type == dtype::bfloat16;
}
FUSEDLOSS_INLINE bool all_fit_floats(const pairs_job& job, int vectors) {
    bool floats = !FUSEDLOSS_COMPACT;
    for (int v = 0; v < vectors; ++v)
        floats = floats && fits_float(job.in[v].rows.type) &&
                 (!job.grad[v].rows.data || fits_float(job.grad[v].rows.type));
    return floats;
}

// So many rows at a time that all of their vectors stay in the second-level cache, and while they are few,
// that reading and writing alternate quickly.
constexpr int most_rows = 16, pack_rows = 8;
FUSEDLOSS_INLINE int rows_at_a_time(const pairs_job& job, int vectors) {
    constexpr std::int64_t numbers = 16384;
    if (are_short(job)) return panel_rows;
    const std::int64_t n = numbers / (job.classes * vectors) / pack_rows * pack_rows;
    return n < 1 ? 1 : n < most_rows ? int(n) : most_rows;
}

// A buffer of rows, or of a row and what waits before it.
FUSEDLOSS_INLINE std::size_t pair_buffer(std::size_t rows, std::int64_t width) {
    return (rows * std::size_t(width) * sizeof(double) + 63) / 64 * 64 + 2 * line_bytes;
}

inline std::size_t pairs_workspace(const pairs_job& job, const pairs_traits& traits) {
    const std::size_t rows = std::size_t(rows_at_a_time(job, traits.vectors));
    const std::size_t one = pair_buffer(rows, job.classes);
    return (sizeof(pair_block) + 63) / 64 * 64 + 2 * std::size_t(traits.vectors) * one;
}

// The address of each of n rows; of the second vectors, if there are labels, of the row a label names.
FUSEDLOSS_SHARED void find_rows(const row_frame& job, const class_array& a, std::int64_t begin, int n,
                                void** rows) {
    for_each_run(job.dims, job.shape, a.rows, begin, n,
                 [&](char* p, std::int64_t stride, int offset, int run) {
                     for (int r = 0; r < run; ++r) rows[offset + r] = p + r * stride;
                 });
}

FUSEDLOSS_SHARED void find_labelled_rows(const pairs_job& job, std::int64_t begin, int n, void** rows) {
    alignas(64) double label[panel_rows];
    gather_values(job, job.label, begin, n, label);
    char* const first = static_cast<char*>(job.in[1].rows.data);
    for (int r = 0; r < n; ++r) rows[r] = first + std::int64_t(label[r]) * job.in[1].rows.stride[0];
}

// Rows that lie anywhere, one after another into a buffer; the next ones are on their way where these follow
// each other.
template <class S>
FUSEDLOSS_SHARED void gather_rows(const class_array& a, std::int64_t width, int n, void* const* rows,
                                  S* buffer) {
    constexpr std::int64_t chunk = chunk_bytes / sizeof(S);
    const std::int64_t size = item_size(a.rows.type);
    const char* const first = static_cast<const char*>(rows[0]);
    bool together = a.step == size;
    for (int r = 1; r < n; ++r) together = together && rows[r] == first + r * width * size;
    if (together) {
        const std::int64_t bytes = n * width * size;
        prefetch(first + bytes, bytes < chunk_bytes ? bytes : 0);
        return convert_in(a.rows.type, buffer, first, n * width);
    }
    for (int r = 0; r < n; ++r, buffer += width)
        for (std::int64_t i = 0; i < width; i += chunk)
            gather_run(a.rows.type, buffer + i, static_cast<const char*>(rows[r]) + i * a.step, a.step,
                       width - i < chunk ? width - i : chunk);
}
// And back.
template <class S>
FUSEDLOSS_SHARED void scatter_rows(const row_frame& job, const class_array& a, std::int64_t begin, int n,
                                   const S* buffer) {
    constexpr std::int64_t chunk = chunk_bytes / sizeof(S);
    const std::int64_t width = job.classes, size = item_size(a.rows.type);
    for_each_run(job.dims, job.shape, a.rows, begin, n,
                 [&](char* p, std::int64_t stride, int offset, int run) {
                     const S* from = buffer + offset * width;
                     if (a.step == size && stride == width * size) {
                         // Halves of a panel are few lines, of which the first and the last are shared with
                         // other panels: to stream them costs more than it saves.
                         if (job.stream && size > 2) return stream_out(a.rows.type, p, from, run * width);
                         return convert_out(a.rows.type, p, from, run * width);
                     }
                     for (int r = 0; r < run; ++r, p += stride, from += width)
                         for (std::int64_t i = 0; i < width; i += chunk)
                             scatter_run(a.rows.type, from + i, p + i * a.step, a.step,
                                         width - i < chunk ? width - i : chunk);
                 });
}

// numbers * factor, and exactly 0 where the factor is 0.
FUSEDLOSS_INLINE void scale_numbers(double* numbers, pack<double> factor) {
    store(numbers, select(factor == pack<double>(0.0), pack<double>(0.0), load(numbers) * factor));
}
// The product of the weights of n rows.
FUSEDLOSS_SHARED void gather_weights(const row_frame& job, std::int64_t begin, int n, double* product) {
    alignas(64) double factor[panel_rows];
    fill(product, n, 1.0);
    for (int k = 0; k < job.weights; ++k) {
        gather_values(job, job.weight[k], begin, n, factor);
        for (int r = 0; r < n; ++r) product[r] *= factor[r];
    }
}

// Rows [begin, end) of a job with one layout; returns the sum of the values if the job wants it.
template <class S, pair_layout Layout>
inline sum process_pairs_in(const pairs_job& job, const pairs_traits& traits, const pair_entry& loss,
                            std::int64_t begin, std::int64_t end, char* workspace) {
    constexpr bool columns = Layout == in_short_columns;
    const pair_facts facts = facts_of(traits.pairs);
    const int vectors = facts.vectors, most = rows_at_a_time(job, vectors);
    const std::int64_t width = job.classes, one = std::int64_t(pair_buffer(std::size_t(most), width));
    pair_block& b = *reinterpret_cast<pair_block*>(workspace);
    workspace += (sizeof(pair_block) + 63) / 64 * 64;
    const pair_algebra algebra(job, facts, loss.loops[Layout]);

    bool wanted = false, in_place[max_pair_vectors], out_in_place[max_pair_vectors];
    S *staged[max_pair_vectors], *staged_grad[max_pair_vectors];
    b.width = width;
    b.stream = job.stream && !FUSEDLOSS_COMPACT && !columns && loop_of(job.options.measure) != over_powers;
    for (int v = 0; v < vectors; ++v) {
        const class_array& out = job.grad[v];
        staged[v] = reinterpret_cast<S*>(workspace + 2 * v * one);
        staged_grad[v] = reinterpret_cast<S*>(workspace + (2 * v + 1) * one);
        in_place[v] = !columns && plain<S>(job, job.in[v]);
        out_in_place[v] = !columns && out.rows.data && plain<S>(job, out);
        wanted = wanted || out.rows.data;
        if (out.rows.data) b.stream = b.stream && out_in_place[v] && dense(job, out);
        b.grad[v][0] = nullptr;
    }
    for (int v = 0; b.stream && v < vectors; ++v) {
        if (!job.grad[v].rows.data) continue;
        char* const to = static_cast<char*>(job.grad[v].rows.data) + begin * job.grad[v].rows.stride[0];
        const int offset = int(reinterpret_cast<std::uintptr_t>(to) % line_bytes);
        b.lines[v] = {to - offset, reinterpret_cast<char*>(staged_grad[v]), offset, offset};
    }

    alignas(64) double weight[panel_rows], factor[panel_rows];
    value_sink sink(job);
    for (std::int64_t at = begin; at < end; at += most) {
        const int n = end - at < most ? int(end - at) : most;
        b.rows = n;
        gather_weights(job, at, n, weight);
        for (int k = 0; k < traits.numbers; ++k)
            gather_values(job, job.in[vectors + k].rows, at, n, b.number[k]);
        for (int v = 0; v < vectors; ++v) {
            const class_array& x = job.in[v];
            if (columns && !(v == 1 && job.label.data)) {
                gather_columns(job, x, at, n, staged[v]);
                b.vector[v][0] = staged[v];
                continue;
            }
            void** const rows = b.vector[v];
            if (v == 1 && job.label.data)
                find_labelled_rows(job, at, n, rows);
            else
                find_rows(job, x, at, n, rows);
            b.ahead[v] = 0;
            if (in_place[v]) {
                if (job.dims == 1 && at + 2 * most <= end) b.ahead[v] = most * x.rows.stride[0];
            } else if (columns) {
                gather_rows(x, width, n, rows, staged_grad[v]);
                to_columns(staged_grad[v], width, n, int(width), staged[v]);
                b.vector[v][0] = staged[v];
            } else {
                gather_rows(x, width, n, rows, staged[v]);
                for (int r = 0; r < n; ++r) b.vector[v][r] = staged[v] + r * width;
            }
        }
        algebra.begin(b);
        algebra.measure(b);
        loss.formula(job.params, b);

        for_each_pack(n, [&](int r) { store(factor + r, load(weight + r) * pack<double>(job.grad_scale)); });
        if (wanted || job.pull) algebra.weigh(b, factor);
        if (job.pull)
            for (int r = 0; r < n; ++r) job.pull[at + r] = b.pull[0][0][r];
        if (wanted) {
            for (int v = 0; v < vectors; ++v) {
                if (!job.grad[v].rows.data) continue;
                if (out_in_place[v])
                    find_rows(job, job.grad[v], at, n, b.grad[v]);
                else
                    for (int r = 0; r < n; ++r) b.grad[v][r] = staged_grad[v] + (columns ? 0 : r * width);
            }
            loss.loops[Layout].gradients[loop_of(job.options.measure)](b);
            for (int v = 0; v < vectors; ++v) {
                if (!job.grad[v].rows.data || out_in_place[v]) continue;
                if (columns)
                    scatter_columns(job, job.grad[v], at, n, staged_grad[v]);
                else
                    scatter_rows(job, job.grad[v], at, n, staged_grad[v]);
            }
        }
        for (int k = 0; k < traits.numbers; ++k) {
            const class_array& out = job.grad[vectors + k];
            if (!out.rows.data) continue;
            for_each_pack(n, [&](int r) { scale_numbers(b.number_grad[k] + r, load(factor + r)); });
            scatter_values(job, out.rows, at, n, b.number_grad[k]);
        }
        for_each_pack(n, [&](int r) { scale_numbers(b.value + r, load(weight + r)); });
        sink.put(at, n, b.value);
    }
    for (int v = 0; v < vectors; ++v)
        if (b.stream && job.grad[v].rows.data) finish(b.lines[v]);
    if (job.stream) stream_fence();
    return sink.finish();
}

// The gradient of a looked-up vector: minus the sum of pull[i] (x_i - y) over its rows, in order.
inline void pull_together(const pairs_job& job, const std::int64_t* rows, std::int64_t n, std::int64_t to,
                          const class_array& out) {
    constexpr int chunk = chunk_bytes / int(sizeof(double));
    alignas(64) double x[chunk], y[chunk], total[chunk];
    const class_array& centers = job.in[1];
    for (std::int64_t at = 0; at < job.classes; at += chunk) {
        const int width = job.classes - at < chunk ? int(job.classes - at) : chunk;
        const auto address = [&](const class_array& a, char* row) { return row + at * a.step; };
        gather_run(centers.rows.type, y,
                   address(centers, static_cast<char*>(centers.rows.data) + to * centers.rows.stride[0]),
                   centers.step, width);
        for (int j = 0; j < chunk; ++j) total[j] = 0.0;
        for (std::int64_t i = 0; i < n; ++i) {
            const double pull = job.pull[rows[i]];
            if (pull == 0.0) continue;
            gather_run(job.in[0].rows.type, x, address(job.in[0], row_address(job, job.in[0], rows[i])),
                       job.in[0].step, width);
            for (int j = 0; j < width; ++j) total[j] -= pull * (x[j] - y[j]);
        }
        scatter_run(out.rows.type, total,
                    address(out, static_cast<char*>(out.rows.data) + to * out.rows.stride[0]), out.step,
                    width);
    }
}

inline sum process_pairs(const pairs_job& job, const pairs_traits& traits, const pair_entry& loss,
                         std::int64_t begin, std::int64_t end, void* workspace) {
    char* const own = static_cast<char*>(workspace);
    if (are_short(job)) return process_pairs_in<double, in_short_columns>(job, traits, loss, begin, end, own);
    if (loop_of(job.options.measure) != over_powers && all_fit_floats(job, traits.vectors))
        return process_pairs_in<float, in_rows_of_floats>(job, traits, loss, begin, end, own);
    return process_pairs_in<double, in_rows_of_doubles>(job, traits, loss, begin, end, own);
}

FUSEDLOSS_END
