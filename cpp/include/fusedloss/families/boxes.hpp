// The boxes family: losses of pairs of boxes, four numbers each. Boxes are rows of four classes to everything
// around the kernels (layouts, types, weights, sums); the kernels see a panel of them in columns of doubles.
#pragma once

#include "../core/boxes_job.hpp"
#include "../losses/detection.hpp"
#include "rows.hpp"

FUSEDLOSS_BEGIN

// Coordinates beyond these, as only doubles have them, are brought back to about 1: their eighth powers must
// stay within the range. Small ones need it only where there is no eps beside which they vanish.
constexpr double largest_coordinate = 0x1p110, smallest_coordinate = 0x1p-100;

FUSEDLOSS_INLINE box_pair<pack<double>> pair_of(double format, double eps, bool far, pack<double>* a,
                                                pack<double>* b) {
    using T = pack<double>;
    using F = fusedloss::format<double>;
    T unit(1.0);
    if (far) {
        T reach(0.0);
        for (int j = 0; j < 4; ++j) reach = max(max(reach, abs(a[j])), abs(b[j]));
        const bits<double> exponent = as_bits(reach) >> F::mantissa;
        const T inverse = from_bits((bits<double>(2 * F::bias) - exponent) << F::mantissa);
        const auto beyond =
            (reach > T(largest_coordinate)) | (reach < T(eps == 0.0 ? smallest_coordinate : 0.0));
        unit = select(beyond, max(inverse, T(F::smallest_normal)), unit);
        for (int j = 0; j < 4; ++j) a[j] = a[j] * unit, b[j] = b[j] * unit;
    }
    return {box_from(format, a), box_from(format, b), unit, unit * (unit * eps)};
}

template <class Loss, bool Gradient>
void run_boxes(const void* params, const box_block& block) {
    using T = pack<double>;
    Loss loss;
    std::memcpy(static_cast<void*>(&loss), params, sizeof loss);
    for (int r = 0; r < block.rows; r += T::lanes) {
        T a[4], b[4];
        for (int j = 0; j < 4; ++j) {
            a[j] = load(block.in[0] + j * panel_rows + r);
            b[j] = load(block.in[1] + j * panel_rows + r);
        }
        const box_pair<T> pair = pair_of(loss.format, loss.eps, block.far, a, b);
        const box_terms<T> t = eval(loss, pair);
        store(block.value + r, t.value);
        if constexpr (Gradient) {
            const T scale = pair.unit * block.scale;
            const auto write = [&](double* to, const box<T>& gradient) {
                T g[4];
                gradient_to(loss.format, gradient, g);
                for (int j = 0; j < 4; ++j) store(to + j * panel_rows + r, g[j] * scale);
            };
            if (block.grad[0]) write(block.grad[0], t.a);
            if (block.grad[1]) write(block.grad[1], t.b);
        }
    }
}

template <class Loss>
constexpr box_entry make_box_kernels() {
    return {run_boxes<Loss, false>, run_boxes<Loss, true>};
}

// A panel as doubles; true if a coordinate is far from 1.
FUSEDLOSS_SHARED bool gather_boxes(const rows_job& job, const class_array& a, std::int64_t begin, int n,
                                   double* panel) {
    if (job.in_floats) {
        alignas(64) float staged[4 * panel_rows];
        gather_columns(job, a, begin, n, staged);
        for (int i = 0; i < 4 * panel_rows; i += pack<double>::lanes)
            store(panel + i, load_widened(staged + i));
        return false;
    }
    gather_columns(job, a, begin, n, panel);
    auto far = pack<double>(0.0) > pack<double>(0.0);
    for (int j = 0; j < 4; ++j)
        for (int r = 0; r < n; r += pack<double>::lanes) {
            const pack<double> x = abs(load(panel + j * panel_rows + r));
            far = far | (x > pack<double>(largest_coordinate)) | (x < pack<double>(smallest_coordinate));
        }
    return any(far);
}
FUSEDLOSS_SHARED void scatter_boxes(const rows_job& job, const class_array& a, std::int64_t begin, int n,
                                    const double* panel) {
    if (!job.in_floats) return scatter_columns(job, a, begin, n, panel);
    alignas(64) float staged[4 * panel_rows];
    for (int i = 0; i < 4 * panel_rows; i += pack<double>::lanes) store_narrowed(staged + i, load(panel + i));
    scatter_columns(job, a, begin, n, staged);
}

// Boxes [begin, end) of a job; returns the sum of the values if the job wants it.
inline sum process_boxes(const rows_job& job, const box_entry& kernels, std::int64_t begin,
                         std::int64_t end) {
    alignas(64) double in[2][4 * panel_rows] = {}, grad[2][4 * panel_rows] = {}, values[panel_rows];
    box_block block{};
    block.value = values;
    block.scale = job.grad_scale;
    bool gradient = false;
    for (int k = 0; k < 2; ++k) {
        block.in[k] = in[k];
        if (job.grad[k].rows.data) block.grad[k] = grad[k], gradient = true;
    }
    const auto kernel = gradient ? kernels.with_gradient : kernels.value_only;
    value_sink sink(job);
    row_facts facts;
    for (std::int64_t at = begin; at < end; at += panel_rows) {
        const int n = end - at < panel_rows ? int(end - at) : panel_rows;
        block.rows = n;
        block.far = false;
        for (int k = 0; k < 2; ++k) block.far |= gather_boxes(job, job.in[k], at, n, in[k]);
        kernel(job.params, block);
        if (job.weights) {
            fetch_facts(job, at, n, facts);
            for (int k = 0; k < 2; ++k)
                if (block.grad[k]) scale_columns(block.grad[k], 4, n, facts.weight);
            scale_columns(values, 1, n, facts.weight);
        }
        for (int k = 0; k < 2; ++k)
            if (block.grad[k]) scatter_boxes(job, job.grad[k], at, n, grad[k]);
        sink.put(at, n, values);
    }
    if (job.stream) stream_fence();
    return sink.finish();
}

// ---- the matrix of all pairs ----------------------------------------------------------------------

inline bool box_columns(const box_matrix_job& job, int side, std::int64_t begin, std::int64_t end,
                        double* columns, std::int64_t pitch) {
    alignas(64) double panel[4 * panel_rows];
    bool far = false;
    for (std::int64_t at = begin; at < end; at += panel_rows) {
        const int n = end - at < panel_rows ? int(end - at) : panel_rows;
        far |= gather_boxes(job.side[side], job.side[side].in[0], at, n, panel);
        for (int j = 0; j < 4; ++j)
            std::memcpy(columns + j * pitch + at, panel + j * panel_rows,
                        sizeof(double) * std::size_t(padded(n)));
    }
    return far;
}

inline void process_box_matrix(const box_matrix_job& job, const double* columns, std::int64_t pitch, bool far,
                               std::int64_t begin, std::int64_t end) {
    using T = pack<double>;
    constexpr int chunk = chunk_bytes / int(sizeof(double));
    const std::int64_t width = job.side[1].count, size = item_size(job.type);
    alignas(64) double row[4 * panel_rows], values[chunk];
    for (std::int64_t i = begin; i < end; ++i) {
        const int r = int((i - begin) % panel_rows);
        if (r == 0) {
            const std::int64_t left = end - i;
            far |= gather_boxes(job.side[0], job.side[0].in[0], i, left < panel_rows ? int(left) : panel_rows,
                                row);
        }
        for (std::int64_t first = 0; first < width; first += chunk) {
            const int n = width - first < chunk ? int(width - first) : chunk;
            for (int c = 0; c < n; c += T::lanes) {
                T a[4], b[4];
                for (int j = 0; j < 4; ++j) {
                    a[j] = row[j * panel_rows + r];
                    b[j] = load(columns + j * pitch + first + c);
                }
                const box_pair<T> pair = pair_of(job.format, 0.0, far, a, b);
                box_overlap<T> o(pair);
                o.divide();
                store(values + c, o.iou);
            }
            char* const to = static_cast<char*>(job.out) + (i * width + first) * size;
            if (job.stream)
                stream_out(job.type, to, values, n);
            else
                convert_out(job.type, to, values, n);
        }
    }
    if (job.stream) stream_fence();
}

FUSEDLOSS_END
