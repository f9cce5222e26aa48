// The rows family, general shape: one formula over a row of class scores (losses/row_terms.hpp says what it
// may ask of the row), compiled for two views of it: a pack of rows side by side, and one row in packs of
// classes. Computed in double whatever the data, rounded on its way out.
#pragma once

#include "../losses/row_terms.hpp"
#include "row_staging.hpp"

FUSEDLOSS_BEGIN

// What both views have in common. `J` is an index of classes, the first of a pack of them where lanes are
// classes.
template <class View>
class row_view {
  public:
    using number = pack<double>;
    using mask = fusedloss::mask<double>;
    using position = std::int64_t;

    FUSEDLOSS_INLINE number classes() const { return double(block.classes); }
    FUSEDLOSS_INLINE mask at_label(position j) const { return self().index(j) == self().label(); }
    FUSEDLOSS_INLINE number onehot(position j) const { return select(at_label(j), number(1.0), number(0.0)); }
    FUSEDLOSS_INLINE bool has(int k) const { return block.in[k] != nullptr; }
    FUSEDLOSS_INLINE number target(position j) const { return has(1) ? in(1, j) : onehot(j); }
    FUSEDLOSS_INLINE bool wants_grad(int k) const { return block.grad[k] != nullptr; }
    FUSEDLOSS_INLINE bool wants_hess() const { return block.hess != nullptr; }
    FUSEDLOSS_INLINE number in(int k, position j) const { return load(block.in[k] + self().offset(j)); }
    FUSEDLOSS_INLINE void put(int b, position j, number x) { store(block.spare[b] + self().offset(j), x); }
    FUSEDLOSS_INLINE number get(int b, position j) const { return load(block.spare[b] + self().offset(j)); }
    FUSEDLOSS_INLINE position size() const { return block.classes; }
    FUSEDLOSS_INLINE View leading(position n) const {
        View fewer = self();
        fewer.block.classes = n;
        return fewer;
    }
    template <class F>
    FUSEDLOSS_INLINE void grad_from(position start, int k, F f) {
        write(block.grad[k] + self().offset(start) - self().offset(0), f);
    }
    template <class F>
    FUSEDLOSS_INLINE void for_each(F f) {
        for (position j = 0; j < block.classes; j += View::classes_per_pack) f(j);
    }
    template <class F>
    FUSEDLOSS_INLINE void grad(int k, F f) {
        write(block.grad[k], f);
    }
    template <class F>
    FUSEDLOSS_INLINE void hess(F f) {
        write(block.hess, f);
    }
    template <class F>
    FUSEDLOSS_INLINE void output(F f) {
        write(block.grad[0], f);
    }
    template <class F>
    FUSEDLOSS_INLINE number min(F f) const {
        return -self().max([&](position j) { return -f(j); });
    }

  protected:
    FUSEDLOSS_INLINE explicit row_view(const row_block& b) : block(b) {}
    // The class of an index; of what is no index, not a number for example, one that there is.
    FUSEDLOSS_INLINE position nearest(double i) const {
        const double last = double(block.classes - 1);
        return position(i > 0.0 ? i < last ? i : last : 0.0);
    }
    row_block block;

  private:
    FUSEDLOSS_INLINE const View& self() const { return static_cast<const View&>(*this); }
    template <class F>
    FUSEDLOSS_INLINE void write(double* out, F f) {
        for (position j = 0; j < block.classes; j += View::classes_per_pack)
            store(out + self().offset(j), f(j));
    }
};

// Lanes are rows.
class column_view : public row_view<column_view> {
  public:
    static constexpr int classes_per_pack = 1;

    FUSEDLOSS_INLINE column_view(const row_block& b, int first_row) : row_view(b), first(first_row) {}

    FUSEDLOSS_INLINE position offset(position j) const { return j * panel_rows + first; }
    FUSEDLOSS_INLINE number index(position j) const { return double(j); }
    FUSEDLOSS_INLINE number label() const { return load(block.label + first); }
    FUSEDLOSS_INLINE number class_weight(position j) const {
        return block.class_weight ? block.class_weight[j] : 1.0;
    }
    FUSEDLOSS_INLINE number at(int k, number i) const {
        double lane[number::lanes];
        store(lane, i);
        for (int l = 0; l < number::lanes; ++l) lane[l] = block.in[k][offset(nearest(lane[l])) + l];
        return load(lane);
    }
    FUSEDLOSS_INLINE number learned() const { return load(block.learned + first); }
    FUSEDLOSS_INLINE void value(number x) { store(block.value + first, x); }
    FUSEDLOSS_INLINE void count(number x) { store(block.count + first, x); }
    FUSEDLOSS_INLINE void learned_grad(number x) { store(block.learned_grad + first, x); }
    FUSEDLOSS_INLINE void add_at(int b, number i, number x) {
        double at[number::lanes], lane[number::lanes];
        store(at, i);
        store(lane, x);
        for (int l = 0; l < number::lanes; ++l)
            if (lane[l] != 0.0) block.spare[b][offset(nearest(at[l])) + l] += lane[l];
    }

    template <class F>
    FUSEDLOSS_INLINE number sum(F f) const {
        compensated s{0.0, 0.0};
        for (position j = 0; j < block.classes; ++j) s = add(s, f(j));
        return rounded(s);
    }
    template <class F>
    FUSEDLOSS_INLINE number max(F f) const {
        number m(-__builtin_inf()), poison(0.0);
        for (position j = 0; j < block.classes; ++j) {
            const number x = f(j);
            m = fusedloss::max(x, m);
            poison = select(is_nan(x), x, poison);
        }
        return m + poison;
    }
    FUSEDLOSS_INLINE void prefix_sum(int b) { scan(b, 0, 1); }
    FUSEDLOSS_INLINE void suffix_sum(int b) { scan(b, block.classes - 1, -1); }

  private:
    FUSEDLOSS_INLINE void scan(int b, position j, position step) {
        compensated s{0.0, 0.0};
        for (position n = block.classes; n > 0; --n, j += step) {
            s = add(s, get(b, j));
            put(b, j, rounded(s));
        }
    }
    const int first;
};

FUSEDLOSS_SHARED void scan_row(double* x, std::int64_t n, std::int64_t step) {
    sum s{0.0, 0.0};
    for (; n > 0; --n, x += step) {
        add_to(s, *x);
        *x = fusedloss::rounded(s);
    }
}

// The sum of what the lanes hold: their sums, then what those rounded off.
FUSEDLOSS_SHARED double fold_lanes(const double* lane) {
    sum total{0.0, 0.0};
    for (int l = 0; l < int(row_unit); ++l) add_to(total, lane[l]);
    for (int l = 0; l < int(row_unit); ++l) total.low += lane[row_unit + l];
    return fusedloss::rounded(total);
}
FUSEDLOSS_SHARED double largest_lane(const double* lane) {
    double largest = -__builtin_inf();
    for (int l = 0; l < pack<double>::lanes; ++l)
        largest = lane[l] > largest || lane[l] != lane[l] ? lane[l] : largest;
    return largest;
}

// Lanes are classes: element j belongs to lane j % row_unit on every machine.
class class_view : public row_view<class_view> {
  public:
    static constexpr int classes_per_pack = number::lanes;

    FUSEDLOSS_INLINE explicit class_view(const row_block& b) : row_view(b) {
        for (int l = 0; l < number::lanes; ++l) lane_index[l] = double(l);
    }

    FUSEDLOSS_INLINE position offset(position j) const { return j; }
    FUSEDLOSS_INLINE number index(position j) const { return load(lane_index) + double(j); }
    FUSEDLOSS_INLINE number label() const { return block.label[0]; }
    FUSEDLOSS_INLINE number class_weight(position j) const {
        return block.class_weight ? load(block.class_weight + j) : number(1.0);
    }
    FUSEDLOSS_INLINE number at(int k, number i) const {
        double lane[number::lanes];
        store(lane, i);
        return block.in[k][nearest(lane[0])];
    }
    FUSEDLOSS_INLINE number learned() const { return block.learned[0]; }
    FUSEDLOSS_INLINE void value(number x) { block.value[0] = lane_of(x); }
    FUSEDLOSS_INLINE void count(number x) { block.count[0] = lane_of(x); }
    FUSEDLOSS_INLINE void learned_grad(number x) { block.learned_grad[0] = lane_of(x); }
    FUSEDLOSS_INLINE void add_at(int b, number i, number x) {
        if (lane_of(x) != 0.0) block.spare[b][nearest(lane_of(i))] += lane_of(x);
    }

    template <class F>
    FUSEDLOSS_INLINE number sum(F f) const {
        constexpr int parts = int(row_unit) / number::lanes;
        compensated s[parts];
        for (auto& part : s) part = {0.0, 0.0};
        for (position j = 0; j < block.classes; j += number::lanes) {
            auto& part = s[(j / number::lanes) % parts];
            part = add(part, select(index(j) < classes(), f(j), number(0.0)));
        }
        double lane[2 * row_unit];
        for (int k = 0; k < parts; ++k) {
            store(lane + k * number::lanes, s[k].s);
            store(lane + row_unit + k * number::lanes, s[k].e);
        }
        return fold_lanes(lane);
    }
    template <class F>
    FUSEDLOSS_INLINE number max(F f) const {
        number m(-__builtin_inf()), poison(0.0);
        for (position j = 0; j < block.classes; j += number::lanes) {
            const number x = select(index(j) < classes(), f(j), m);
            m = fusedloss::max(x, m);
            poison = select(is_nan(x), x, poison);
        }
        double lane[number::lanes];
        store(lane, m + poison);
        return largest_lane(lane);
    }
    FUSEDLOSS_INLINE void prefix_sum(int b) { scan_row(block.spare[b], block.classes, 1); }
    FUSEDLOSS_INLINE void suffix_sum(int b) {
        scan_row(block.spare[b] + (block.classes - 1), block.classes, -1);
    }

  private:
    static FUSEDLOSS_INLINE double lane_of(number x) {
        double lane[number::lanes];
        store(lane, x);
        return lane[0];
    }
    double lane_index[number::lanes];
};

template <class Loss>
void run_columns(const void* params, const row_block& block) {
    Loss loss;
    std::memcpy(static_cast<void*>(&loss), params, sizeof loss);
    for (int first = 0; first < block.rows; first += pack<double>::lanes) {
        column_view row(block, first);
        eval(loss, row);
    }
}
template <class Loss>
void run_row(const void* params, const row_block& block) {
    Loss loss;
    std::memcpy(static_cast<void*>(&loss), params, sizeof loss);
    class_view row(block);
    eval(loss, row);
}

// ---- around a kernel ---------------------------------------------------------------------------

// values * factors, and exactly 0 where the factor is 0.
FUSEDLOSS_INLINE void scale_run(double* values, pack<double> factor) {
    store(values, select(factor == pack<double>(0.0), pack<double>(0.0), load(values) * factor));
}
FUSEDLOSS_SHARED void scale_columns(double* panel, std::int64_t classes, int rows, const double* factors) {
    for (std::int64_t j = 0; j < classes; ++j)
        for (int r = 0; r < rows; r += pack<double>::lanes)
            scale_run(panel + j * panel_rows + r, load(factors + r));
}
FUSEDLOSS_SHARED void scale_row(double* row, std::int64_t classes, double factor) {
    for (std::int64_t j = 0; j < classes; j += pack<double>::lanes) scale_run(row + j, factor);
}

// Numbers in a staged array: a panel, or a row and what a formula may write beyond it.
inline std::int64_t staged_size(const rows_job& job, bool columns) {
    return columns ? job.classes * panel_rows : padded(job.classes + row_unit / 2);
}

inline std::size_t rows_workspace(const rows_job& job) {
    const std::int64_t one = staged_size(job, in_columns(job));
    int arrays = job.inputs + 2 + (job.hess.rows.data ? 1 : 0) + (job.class_weight ? 1 : 0);
    for (int k = 0; k < max_row_inputs; ++k) arrays += job.grad[k].rows.data ? 1 : 0;
    return std::size_t(one) * std::size_t(arrays) * sizeof(double);
}

// Rows [begin, end) of a job; returns the sum of the values if the job wants it.
inline sum process_rows(const rows_job& job, const row_entry& kernels, std::int64_t begin, std::int64_t end,
                        void* workspace) {
    const bool columns = kernels.columns && in_columns(job);
    const int most = columns ? panel_rows : 1;
    const std::int64_t one = staged_size(job, columns);
    row_block block{};
    const auto take = [&] {
        double* const p = static_cast<double*>(workspace);
        workspace = p + one;
        return p;
    };
    alignas(64) double values[panel_rows], weights[panel_rows], factors[panel_rows];
    alignas(64) double counts[panel_rows], learned[panel_rows], learned_grads[panel_rows];
    double* staged[max_row_inputs];
    row_facts facts;
    block.classes = job.classes;
    block.label = facts.label;
    block.value = values;
    block.count = counts;
    block.learned = learned;
    block.learned_grad = learned_grads;
    for (int k = 0; k < job.inputs; ++k) block.in[k] = staged[k] = take();
    for (double*& spare : block.spare) spare = take();
    for (int k = 0; k < max_row_inputs; ++k)
        if (job.grad[k].rows.data) block.grad[k] = take();
    if (job.hess.rows.data) block.hess = take();
    if (job.class_weight) {
        double* const padded_weights = take();
        std::memcpy(padded_weights, job.class_weight, std::size_t(job.classes) * sizeof(double));
        for (std::int64_t j = job.classes; !columns && j < one; ++j) padded_weights[j] = 1.0;
        block.class_weight = padded_weights;
    }

    value_sink sink(job);
    for (std::int64_t at = begin; at < end; at += most) {
        const int n = end - at < most ? int(end - at) : most;
        fetch_facts(job, at, n, facts);
        block.rows = n;
        for (int r = 0; r < panel_rows; ++r) {
            values[r] = learned[r] = learned_grads[r] = 0.0;
            counts[r] = 1.0;
            if (job.learned && r < n) learned[r] = job.learned[at + r];
            weights[r] = facts.weight[r] == 0.0 ? 0.0 : facts.weight[r] * facts.label_weight[r];
            factors[r] = weights[r] * job.grad_scale;
        }
        if (columns) {
            for (int k = 0; k < job.inputs; ++k) gather_columns(job, job.in[k], at, n, staged[k]);
            kernels.columns(job.params, block);
        } else if (facts.weight[0] != 0.0) {
            for (int k = 0; k < job.inputs; ++k) {
                gather_row(job, job.in[k], at, 0, job.classes, staged[k]);
                for (std::int64_t j = job.classes; j < one; ++j) staged[k][j] = staged[k][job.classes - 1];
            }
            kernels.row(job.params, block);
        }
        const auto emit = [&](const class_array& out, double* panel) {
            if (!out.rows.data) return;
            if (columns) {
                scale_columns(panel, job.classes, n, factors);
                scatter_columns(job, out, at, n, panel);
            } else {
                scale_row(panel, job.classes, factors[0]);
                scatter_row(job, out, at, 0, job.classes, panel);
            }
        };
        for (int k = 0; k < max_row_inputs; ++k) emit(job.grad[k], block.grad[k]);
        emit(job.hess, block.hess);
        for (int r = 0; r < panel_rows; r += pack<double>::lanes) scale_run(values + r, load(weights + r));
        for (int r = 0; job.terms && r < n; ++r) job.terms[at + r] = facts.weight[r] * counts[r];
        for (int r = 0; job.learned_grad && r < n; ++r)
            job.learned_grad[at + r] = factors[r] == 0.0 ? 0.0 : factors[r] * learned_grads[r];
        sink.put(at, n, values);
    }
    if (job.stream) stream_fence();
    return sink.finish();
}

template <class Loss>
constexpr row_entry make_row_kernels() {
    return {run_columns<Loss>, run_row<Loss>};
}
// Of losses whose formula walks over the columns that belong to one row.
template <class Loss>
constexpr row_entry make_long_row_kernels() {
    return {nullptr, run_row<Loss>};
}

FUSEDLOSS_END
