// Rows of class scores on their way between the caller's arrays, of any type and layout, and buffers of the
// kernels. Few classes are kept in columns, a panel of rows side by side: element j of row r at
// [j * panel_rows + r], so that lanes are rows. Longer rows lie one after another and lanes are classes.
#pragma once

#include "../core/reduction.hpp"
#include "../core/rows_job.hpp"
#include "../core/views.hpp"
#include "../simd/extended.hpp"
#include "../simd/transpose.hpp"

FUSEDLOSS_BEGIN

FUSEDLOSS_INLINE bool in_columns(const row_frame& job) { return job.classes <= most_columns; }
// Buffers of rows end in whole units of this many numbers, on every machine.
constexpr std::int64_t row_unit = 16;

FUSEDLOSS_INLINE std::int64_t padded(std::int64_t n) { return (n + row_unit - 1) / row_unit * row_unit; }

// s + e is the sum so far.
struct compensated {
    pack<double> s, e;
};
FUSEDLOSS_INLINE compensated add(compensated a, pack<double> x) {
    const extended t = two_sum(a.s, x);
    return {t.hi, a.e + t.lo};
}
FUSEDLOSS_INLINE pack<double> rounded(compensated a) { return select(is_finite(a.s), a.s + a.e, a.s); }

// One number per row.
template <class C>
FUSEDLOSS_SHARED void gather_values(const row_frame& job, const strided& a, std::int64_t begin, int n,
                                    C* values) {
    for_each_run(job.dims, job.shape, a, begin, n,
                 [&](const char* p, std::int64_t stride, int offset, int run) {
                     gather_run(a.type, values + offset, p, stride, run);
                 });
}
template <class C>
FUSEDLOSS_SHARED void scatter_values(const row_frame& job, const strided& a, std::int64_t begin, int n,
                                     const C* values) {
    for_each_run(job.dims, job.shape, a, begin, n, [&](char* p, std::int64_t stride, int offset, int run) {
        scatter_run(a.type, values + offset, p, stride, run);
    });
}

// Rows one after another, `stride` numbers apart, into columns and back.
template <class C>
FUSEDLOSS_SHARED void to_columns(const C* rows, std::ptrdiff_t stride, int n, int classes, C* panel) {
    if (classes >= piece<C>) return rows_to_columns<panel_rows>(rows, stride, n, classes, panel);
    for (int j = 0; j < classes; ++j)
        for (int r = 0; r < n; ++r) panel[j * panel_rows + r] = rows[r * stride + j];
}
template <class C, class From>
FUSEDLOSS_SHARED void to_rows(const From& from, int begin, int n, int classes, C* rows) {
    if (classes >= piece<C>)
        return columns_to_rows([&](int r) { return from(begin + r); }, n, classes, rows, classes);
    alignas(64) C lane[pack<C>::lanes];
    for (int j = 0; j < classes; ++j)
        for (int r = 0; r < n; ++r) {
            if (r % pack<C>::lanes == 0) store(lane, from(begin + r)(j));
            rows[r * classes + j] = lane[r % pack<C>::lanes];
        }
}

// A panel as scatter_panel takes it: a function of the first row and the column, in packs of rows, so that
// numbers may be made on their way to the caller; or all of them in memory.
template <class C>
struct panel_in_memory {
    const C* first;
    FUSEDLOSS_INLINE auto operator()(int r) const {
        return [from = first + r](int j) { return load(from + j * panel_rows); };
    }
    const C* whole() const { return first; }
};

FUSEDLOSS_INLINE bool aligned_for(const void* p, int size) {
    return reinterpret_cast<std::uintptr_t>(p) % unsigned(size) == 0;
}

// Rows on their way between types are brought together in a buffer of this many numbers.
constexpr int staged_numbers = 4096;
FUSEDLOSS_INLINE int rows_staged(int classes) {
    const int n = staged_numbers / classes / int(row_unit) * int(row_unit);
    return n < panel_rows ? n : panel_rows;
}

// Calls f with the type of halves that a vector converts from or to C at a time, if `type` is one.
template <class C, class F>
FUSEDLOSS_INLINE bool with_halves(dtype type, F f) {
    if constexpr (converts_packs<float16, C>)
        if (type == dtype::float16) return f(float16{}), true;
    if constexpr (converts_packs<bfloat16, C>)
        if (type == dtype::bfloat16) return f(bfloat16{}), true;
    return false;
}

// A panel of n rows, in columns; the lanes after the last row repeat it.
template <class C>
FUSEDLOSS_SHARED void gather_columns(const row_frame& job, const class_array& a, std::int64_t begin, int n,
                                     C* panel) {
    const int classes = int(job.classes), size = item_size(a.rows.type), each = rows_staged(classes);
    const bool same = a.rows.type == dtype_of<C>;
    const auto take = [&](const char* p, std::int64_t stride, int offset, int run) {
        const bool together = stride == classes * size;
        const bool in_place = same && stride >= classes * size && stride % size == 0 && aligned_for(p, size);
        if (a.step == size && run == n && (together || in_place)) {
            for (int r = 0; r < n; r += each) {
                const int m = n - r < each ? n - r : each;
                alignas(64) C rows[staged_numbers];
                const char* const from = p + r * stride;
                prefetch(from + m * stride, m * stride < chunk_bytes ? m * stride : 0);
                if (!in_place) convert_in(a.rows.type, rows, from, std::int64_t(m) * classes);
                to_columns(in_place ? reinterpret_cast<const C*>(from) : rows,
                           in_place ? stride / size : classes, m, classes, panel + r);
            }
            return;
        }
        const auto halves = [&](auto half) {
            for (int j = 0; j < classes; ++j) {
                const char* const from = p + j * a.step;
                for (int i = 0; i < run * size; i += 64) __builtin_prefetch(from + run * size + i);
                convert_in<decltype(half)>(panel + j * panel_rows + offset, from, run);
            }
        };
        if (stride == size && with_halves<C>(a.rows.type, halves)) return;
        for (int j = 0; j < classes; ++j) {
            const char* const from = p + j * a.step;
            if (stride == size) prefetch(from + run * size, run * size);
            gather_run(a.rows.type, panel + j * panel_rows + offset, from, stride, run);
        }
    };
    for_each_run(job.dims, job.shape, a.rows, begin, n, take);
    for (int j = 0; j < classes && n % row_unit != 0; ++j)
        for (int r = n; r % row_unit != 0; ++r) panel[j * panel_rows + r] = panel[j * panel_rows + n - 1];
}
template <class C, class Panel>
FUSEDLOSS_SHARED void scatter_panel(const row_frame& job, const class_array& a, std::int64_t begin, int n,
                                    const Panel& panel) {
    const int classes = int(job.classes), size = item_size(a.rows.type), each = rows_staged(classes);
    const bool same = a.rows.type == dtype_of<C>;
    const auto put = [&](char* p, std::int64_t stride, int offset, int run) {
        if (a.step == size && run == n && stride == classes * size) {
            const bool plain = same && aligned_for(p, size) && !job.stream;
            for (int r = 0; r < n; r += each) {
                const int m = n - r < each ? n - r : each;
                char* const to = p + r * stride;
                alignas(64) C rows[staged_numbers];
                if (plain) prefetch<true>(to + m * stride, m * stride < chunk_bytes ? m * stride : 0);
                to_rows(panel, r, m, classes, plain ? reinterpret_cast<C*>(to) : rows);
                if (job.stream)
                    stream_out(a.rows.type, to, rows, std::int64_t(m) * classes);
                else if (!plain)
                    convert_out(a.rows.type, to, rows, std::int64_t(m) * classes);
            }
            return;
        }
        const C* const columns = panel.whole() + offset;
        const bool lines = job.stream && aligned_for(p, 64) && a.step % 64 == 0 && run * size % 64 == 0;
        const auto halves = [&](auto half) {
            using D = decltype(half);
            for (int j = 0; j < classes; ++j) {
                const C* const from = columns + j * panel_rows;
                char* const to = p + j * a.step;
                lines ? convert_out<D, true>(to, from, run) : convert_out<D>(to, from, run);
            }
        };
        if (stride == size && (lines || !job.stream) && with_halves<C>(a.rows.type, halves)) return;
        for (int j = 0; j < classes; ++j) {
            const C* const from = columns + j * panel_rows;
            char* const to = p + j * a.step;
            if (job.stream && stride == size)
                stream_out(a.rows.type, to, from, run);
            else
                scatter_run(a.rows.type, from, to, stride, run);
        }
    };
    for_each_run(job.dims, job.shape, a.rows, begin, n, put);
}
template <class C>
FUSEDLOSS_INLINE void scatter_columns(const row_frame& job, const class_array& a, std::int64_t begin, int n,
                                      const C* panel) {
    scatter_panel<C>(job, a, begin, n, panel_in_memory<C>{panel});
}

FUSEDLOSS_INLINE char* row_address(const row_frame& job, const class_array& a, std::int64_t row) {
    char* p = static_cast<char*>(a.rows.data);
    for (int d = job.dims - 1; d >= 0; --d) {
        p += (d == 0 ? row : row % job.shape[d]) * a.rows.stride[d];
        row /= job.shape[d];
    }
    return p;
}

// Classes [first, first + n) of a row.
template <class C>
FUSEDLOSS_SHARED void gather_row(const row_frame& job, const class_array& a, std::int64_t row,
                                 std::int64_t first, std::int64_t n, C* buffer) {
    constexpr std::int64_t chunk = chunk_bytes / sizeof(C);
    const char* const p = row_address(job, a, row) + first * a.step;
    for (std::int64_t i = 0; i < n; i += chunk)
        gather_run(a.rows.type, buffer + i, p + i * a.step, a.step, n - i < chunk ? n - i : chunk);
}
template <class C>
FUSEDLOSS_SHARED void scatter_row(const row_frame& job, const class_array& a, std::int64_t row,
                                  std::int64_t first, std::int64_t n, const C* buffer) {
    constexpr std::int64_t chunk = chunk_bytes / sizeof(C);
    char* const p = row_address(job, a, row) + first * a.step;
    for (std::int64_t i = 0; i < n; i += chunk)
        scatter_run(a.rows.type, buffer + i, p + i * a.step, a.step, n - i < chunk ? n - i : chunk);
}

// What belongs to each row: its label (0 where there is none or the row is excluded), the product of its
// weights (0 for the ignored) and the class weight of the label.
struct row_facts {
    alignas(64) double label[panel_rows], weight[panel_rows], label_weight[panel_rows];
};
FUSEDLOSS_SHARED void fetch_facts(const rows_job& job, std::int64_t begin, int n, row_facts& w) {
    for (int r = 0; r < panel_rows; ++r) w.label[r] = 0.0, w.weight[r] = w.label_weight[r] = 1.0;
    for (int k = 0; k < job.weights; ++k) {
        alignas(64) double factor[panel_rows];
        gather_values(job, job.weight[k], begin, n, factor);
        for (int r = 0; r < n; ++r) w.weight[r] *= factor[r];
    }
    if (!job.label.data) return;
    gather_values(job, job.label, begin, n, w.label);
    const double ignored = double(job.ignore_index);
    if (job.ignores)
        for (int r = 0; r < n; ++r)
            if (w.label[r] == ignored) w.weight[r] = w.label[r] = 0.0;
    if (job.class_weight && job.weighs_labels)
        for (int r = 0; r < n; ++r) {
            const std::int64_t y = std::int64_t(w.label[r]);
            w.label_weight[r] = y < job.classes ? job.class_weight[y] : 1.0;
        }
}

// The values of rows on their way to the caller and into a sum, where row r of a block goes to lane
// r % row_unit however the block is cut into panels.
class value_sink {
  public:
    FUSEDLOSS_INLINE explicit value_sink(const row_frame& j) : job(j) {}
    FUSEDLOSS_SHARED void put(std::int64_t begin, int n, const double* values) {
        if (job.value.data) scatter_values(job, job.value, begin, n, values);
        if (!job.total) return;
        constexpr int unit = int(row_unit);
        if (count == 0 && n % unit == 0) return total.add(values, std::size_t(n / unit), job.total_scale);
        for (int r = 0; r < n; ++r) kept[count + r] = values[r];
        count += n;
        const int whole = count / unit * unit;
        total.add(kept, std::size_t(whole / unit), job.total_scale);
        for (int r = whole; r < count; ++r) kept[r - whole] = kept[r];
        count -= whole;
    }
    FUSEDLOSS_SHARED sum finish() {
        while (count % int(row_unit) != 0) kept[count++] = 0.0;
        total.add(kept, std::size_t(count) / row_unit, job.total_scale);
        return total.fold();
    }

  private:
    static_assert(accumulator<double>::lanes == row_unit, "rows are added by the lanes of their sum");
    const row_frame& job;
    accumulator<double> total;
    alignas(64) double kept[panel_rows + row_unit];
    int count = 0;
};

// How many labels lie in [0, last], and how many are the ignored one. Counted as the integers they are:
// converting them first would take several times as long.
struct label_counts {
    int inside, ignored;
};
template <class U>
inline label_counts count_labels(const char* src, int n, U last, U ignored) {
    label_counts c{0, 0};
    for (int i = 0; i < n; ++i) {
        U u;
        std::memcpy(&u, src + i * int(sizeof(U)), sizeof u);
        c.inside += int(u <= last);
        c.ignored += int(u == ignored);
    }
    return c;
}
// The largest of labels says whether all lie in [0, last], in a fraction of the time that counting takes.
template <class U>
inline bool all_inside(const char* src, int n, U last) {
    U largest = 0;
    for (int i = 0; i < n; ++i) {
        U u;
        std::memcpy(&u, src + i * int(sizeof(U)), sizeof u);
        largest = largest < u ? u : largest;
    }
    return largest <= last;
}
// Signed labels are compared as unsigned ones of their size, as which negative ones are larger than any
// class.
FUSEDLOSS_SHARED label_counts count_labels(dtype type, const char* src, int n, std::int64_t last,
                                           bool ignores, std::int64_t ignored) {
    const int bits = 8 * item_size(type);
    const bool is_signed =
        type == dtype::int8 || type == dtype::int16 || type == dtype::int32 || type == dtype::int64;
    const std::uint64_t largest = ~std::uint64_t(0) >> (64 - bits + is_signed);
    const std::uint64_t end = std::uint64_t(last) < largest ? std::uint64_t(last) : largest, other(ignored);
    const bool possible = ignored >= 0 ? other <= largest : is_signed && ~other <= largest;
    const bool searches = ignores && possible;
    const auto count = [&](auto type_last) {
        using U = decltype(type_last);
        if (!searches && all_inside(src, n, type_last)) return label_counts{n, 0};
        return count_labels(src, n, type_last, U(other));
    };
    label_counts c;
    switch (bits) {
        case 8: c = count(std::uint8_t(end)); break;
        case 16: c = count(std::uint16_t(end)); break;
        case 32: c = count(std::uint32_t(end)); break;
        default: c = count(end);
    }
    if (!searches) c.ignored = 0;
    return c;
}

// A row weight is a product; NaN and negative ones are bad. A class weight, if any, counts here for every
// valid label.
inline label_report check_label_block(const rows_job& job, std::int64_t valid_labels, std::int64_t begin,
                                      std::int64_t end) {
    constexpr int chunk = chunk_bytes / int(sizeof(double));
    alignas(64) double label[chunk], weight[chunk], factor[chunk];
    alignas(64) char items[chunk * sizeof(std::int64_t)];
    const double limit = double(valid_labels), ignored = double(job.ignore_index);
    const bool ignored_inside = job.ignores && job.ignore_index >= 0 && job.ignore_index < valid_labels;
    const bool labelled = job.label.data, weighted = job.weights || (job.class_weight && labelled);
    label_report r{-1, 0, 0, {0.0, 0.0}, -1};
    for (std::int64_t at = begin; at < end; at += chunk) {
        const int n = end - at < chunk ? int(end - at) : chunk;
        label_counts c{n, 0};
        if (labelled) {
            const char* src = items;
            const int size = item_size(job.label.type);
            for_each_run(job.dims, job.shape, job.label, at, n,
                         [&](const char* p, std::int64_t stride, int offset, int run) {
                             if (stride == size && run == n)
                                 src = p;
                             else
                                 collect_run(size, items + offset * size, p, stride, run);
                         });
            c = count_labels(job.label.type, src, n, valid_labels - 1, job.ignores, job.ignore_index);
        }
        r.valid += n - c.ignored;
        const bool good = c.inside + (ignored_inside ? 0 : c.ignored) == n;
        if (labelled && (!good || weighted)) gather_values(job, job.label, at, n, label);
        if (!good && r.first_bad < 0) {
            int i = 0;
            while (i < n - 1 &&
                   ((label[i] >= 0.0 && label[i] < limit) || (job.ignores && label[i] == ignored)))
                ++i;
            r.first_bad = at + i;
            r.bad_label = std::int64_t(label[i]);
        }
        if (!weighted) continue;
        for (int i = 0; i < n; ++i) weight[i] = 1.0;
        for (int k = 0; k < job.weights; ++k) {
            gather_values(job, job.weight[k], at, n, factor);
            for (int i = 0; i < n; ++i) weight[i] *= factor[i];
        }
        for (int i = 0; i < n && r.first_bad_weight < 0; ++i)
            if (!(weight[i] >= 0.0 && weight[i] - weight[i] == 0.0)) r.first_bad_weight = at + i;
        for (int i = 0; i < n && r.first_bad < 0; ++i) {
            if (labelled && job.ignores && label[i] == ignored) continue;
            double w = weight[i];
            if (job.class_weight && labelled) w *= job.class_weight[std::int64_t(label[i])];
            add_to(r.weight, w);
        }
    }
    if (!weighted) r.weight = {double(r.valid), 0.0};
    return r;
}

FUSEDLOSS_END
