// Losses of rows of class scores for C++ programs.
#pragma once

#include "../core/turned_rows.hpp"
#include "../families/rows.hpp"
#include "../families/softmax.hpp"
#include "../losses.hpp"
#include "views.hpp"

FUSEDLOSS_BEGIN

// What goes with the scores; neutral by default.
struct row_options {
    reduction reduce = reduction::mean;
    int threads = 0;                       // 0: as many as OpenMP has
    std::int64_t ignore_index = -100;      // rows with this label count for nothing
    const double* row_weight = nullptr;    // one per row; a mean divides by their sum
    const double* class_weight = nullptr;  // one per class; multiplies the rows of that label
    bool mean_counts_classes = true;  // ... and a mean divides by theirs, as that of torch's cross entropy
    // Of functions of the softmax at the label alone: see softmax_options in core/rows_job.hpp.
    softmax_options softmax;
    const double* class_offset = nullptr;
    const double* class_margin = nullptr;
    hessian_mode hessian = hessian_mode::exact;
};

// Memory that a call works in, of any alignment; see workspace_bytes.
struct workspace {
    void* data;
    std::size_t bytes;
};

namespace detail {

template <class A, class B>
constexpr bool same = false;
template <class A>
constexpr bool same<A, A> = true;
template <class Loss, class... Listed>
constexpr bool listed(type_list<Listed...>) {
    return (same<Loss, Listed> || ...);
}
template <class Loss>
constexpr bool of_softmax = listed<Loss>(softmax_losses{});

template <class T>
void set(class_array& a, const rows_view<T>& v) {
    set(a.rows, v.data, number_type<T>(), v.row_step);
    a.step = v.class_step * std::int64_t(sizeof(T));
}

// A job without arrays.
template <class Loss, class T>
rows_job empty_job(const Loss& loss, std::int64_t rows, std::int64_t classes, const row_options& options) {
    rows_job job{};
    job.dims = 1;
    job.count = job.shape[0] = rows;
    job.classes = classes;
    job.ignores = true;
    job.ignore_index = options.ignore_index;
    job.class_weight = options.class_weight;
    job.weighs_labels = Loss::traits.extra_labels == 0;
    job.class_offset = options.class_offset;
    job.class_margin = options.class_margin;
    job.mode = options.hessian;
    job.softmax = options.softmax;
    job.single = job.in_floats = sizeof(T) == 4;
    job.total_scale = job.grad_scale = 1.0;
    job.params = &loss;
    if (options.row_weight) {
        set(job.weight[0], options.row_weight, dtype::float64, 1);
        job.weights = 1;
    }
    return job;
}

inline int threads_of(const row_options& options) {
    return options.threads > 0 ? options.threads : openmp_threads();
}

template <class Loss>
std::size_t scratch_of(const rows_job& job) {
    if constexpr (of_softmax<Loss>)
        return softmax_workspace(job);
    else
        return rows_workspace(job);
}

template <class Loss>
label_report check(rows_job job, const row_options& options) {
    if (!options.mean_counts_classes) job.class_weight = nullptr;
    const std::int64_t labels = job.classes + Loss::traits.extra_labels;
    return check_row_blocks(job.count, threads_of(options), [&](std::int64_t begin, std::int64_t end) {
        return check_label_block(job, labels, begin, end);
    });
}

template <class Loss, class T>
void add_input(rows_job& job, const scores<T>& v) {
    require(v.rows == job.count && v.classes == job.classes, "fusedloss: arrays differ in shape");
    set(job.in[job.inputs++], v);
}
template <class Loss, class T>
void set_grad(rows_job& job, int k, const scores_out<T>& v) {
    if (!v.data) return;
    require(v.rows == job.count && v.classes == job.classes, "fusedloss: a gradient has another shape");
    require(Loss::traits.differentiable >> k & 1, "fusedloss: no gradient for this input");
    set(job.grad[k], v);
}

// Checks labels and weights before anything is written.
template <class Loss>
double run_rows(rows_job& job, const row_options& options, workspace memory) {
    require(job.classes > 0, "fusedloss: there are no classes");
    const label_report report = check<Loss>(job, options);
    require(report.first_bad < 0, "fusedloss: a label is out of range");
    require(report.first_bad_weight < 0, "fusedloss: a row weight is negative or not finite");
    const double divisor = options.reduce == reduction::mean ? rounded(report.weight) : 1.0;
    job.grad_scale = divisor != 0.0 ? 1.0 / divisor : 0.0;
    job.total = true;

    const partition p = row_partition(job.count, job.classes);
    const int threads = useful_threads(p, job.count * job.classes, threads_of(options));
    const row_scratch layout(job, p, scratch_of<Loss>(job));
    const std::size_t shift = std::size_t(-reinterpret_cast<std::uintptr_t>(memory.data)) % 64;
    require(memory.bytes >= shift + layout.each * std::size_t(threads),
            "fusedloss: the workspace is too small");
    const auto process = [](const rows_job& seen, std::int64_t begin, std::int64_t end, char* own) {
        if constexpr (of_softmax<Loss>) {
            constexpr softmax_entry kernels = make_softmax_kernels<Loss>();
            const softmax_options& o = seen.softmax;
            const bool plain = o.scale == 1.0 && o.softcap == 0.0 && !seen.class_offset && !seen.class_margin;
            const phi_kernel phi = seen.single ? kernels.in_double : kernels.in_extended;
            return seen.in_floats && plain && !Loss::traits.wide
                       ? process_softmax<float>(seen, phi, begin, end, own)
                       : process_softmax<double>(seen, phi, begin, end, own);
        } else {
            return process_rows(seen, make_row_kernels<Loss>(), begin, end, own);
        }
    };
    const sum total =
        sum_row_blocks(job, p, threads, layout, static_cast<char*>(memory.data) + shift, process);
    return rounded(total) / divisor;
}

template <class Loss, class T, class Label>
double run_labelled(const Loss& loss, const scores<T>& z, const in<Label>& labels, workspace memory,
                    const row_options& options, scores_out<T> grad = {}, scores_out<T> hess = {}) {
    static_assert(Loss::traits.label && Loss::traits.inputs == 1, "this loss takes no labels");
    require(labels.size == z.rows, "fusedloss: labels differ in number from the rows");
    rows_job job = empty_job<Loss, T>(loss, z.rows, z.classes, options);
    add_input<Loss>(job, z);
    set(job.label, labels.data, integer_type<Label>(), labels.step);
    set_grad<Loss>(job, 0, grad);
    if (hess.data) set(job.hess, hess);
    return run_rows<Loss>(job, options, memory);
}

template <class Loss, class T>
double run_arrays(const Loss& loss, const scores<T>* inputs, int n, workspace memory,
                  const row_options& options, const scores_out<T>* grads = nullptr, int wanted = 0) {
    rows_job job = empty_job<Loss, T>(loss, inputs[0].rows, inputs[0].classes, options);
    for (int k = 0; k < n; ++k) add_input<Loss>(job, inputs[k]);
    for (int k = 0; k < wanted; ++k) set_grad<Loss>(job, k, grads[k]);
    return run_rows<Loss>(job, options, memory);
}

}  // namespace detail

// What a call on such scores, with the same options and no more arrays than the loss has, needs to work in.
template <class Loss, class T>
std::size_t workspace_bytes(const Loss& loss, scores<T> z, const row_options& options = {}) {
    rows_job job = detail::empty_job<Loss, T>(loss, z.rows, z.classes, options);
    job.inputs = Loss::traits.inputs + (Loss::traits.dense ? 1 : 0);
    for (int k = 0; k < job.inputs; ++k) {
        detail::set(job.in[k], z);
        detail::set(job.grad[k], z);
    }
    detail::set(job.hess, z);
    const partition p = row_partition(job.count, job.classes);
    const int threads = useful_threads(p, job.count * job.classes, detail::threads_of(options));
    return 64 + row_scratch(job, p, detail::scratch_of<Loss>(job)).each * std::size_t(threads);
}

// The index of the first label that is neither a class nor the ignored one, or -1: for programs that have
// not made sure of it, since every other function here takes that for misuse.
template <class Loss, class T, class Label>
std::int64_t first_bad_label(const Loss& loss, scores<T> z, in<Label> labels,
                             const row_options& options = {}) {
    rows_job job = detail::empty_job<Loss, T>(loss, z.rows, z.classes, options);
    detail::set(job.label, labels.data, detail::integer_type<Label>(), labels.step);
    job.class_weight = nullptr;
    return detail::check<Loss>(job, options).first_bad;
}

// Losses of scores and class indices: the (mean or summed) value.
template <class Loss, class T, class Label>
double value(const Loss& loss, scores<T> z, in<Label> labels, workspace memory,
             const row_options& options = {}) {
    return detail::run_labelled(loss, z, labels, memory, options);
}
// The same, and its gradient in the scores, in one pass. grad may be the scores themselves.
template <class Loss, class T, class Label>
double value_and_grad(const Loss& loss, scores<T> z, in<Label> labels, scores_out<T> grad, workspace memory,
                      const row_options& options = {}) {
    return detail::run_labelled(loss, z, labels, memory, options, grad);
}
// Gradient and Hessian diagonal in the scores: what boosting asks for, with options.reduce = reduction::sum.
template <class Loss, class T, class Label>
void grad_and_hess(const Loss& loss, scores<T> z, in<Label> labels, scores_out<T> grad, scores_out<T> hess,
                   workspace memory, const row_options& options) {
    static_assert(Loss::traits.hessian, "this loss has no Hessian");
    detail::run_labelled(loss, z, labels, memory, options, grad, hess);
}

// Losses without labels, of one array or of two: a prediction and probabilities or scores of the classes.
template <class Loss, class T>
double value(const Loss& loss, scores<T> z, workspace memory, const row_options& options = {}) {
    static_assert(Loss::traits.inputs == 1 && !Loss::traits.label, "this loss takes more than scores");
    return detail::run_arrays(loss, &z, 1, memory, options);
}
template <class Loss, class T>
double value_and_grad(const Loss& loss, scores<T> z, scores_out<T> grad, workspace memory,
                      const row_options& options = {}) {
    static_assert(Loss::traits.inputs == 1 && !Loss::traits.label, "this loss takes more than scores");
    return detail::run_arrays(loss, &z, 1, memory, options, &grad, 1);
}
template <class Loss, class T>
double value(const Loss& loss, scores<T> z, scores<T> target, workspace memory,
             const row_options& options = {}) {
    static_assert(Loss::traits.inputs + Loss::traits.dense == 2, "this loss does not take two arrays");
    const scores<T> inputs[] = {z, target};
    return detail::run_arrays(loss, inputs, 2, memory, options);
}
// A gradient whose data is null is not wanted.
template <class Loss, class T>
double value_and_grad(const Loss& loss, scores<T> z, scores<T> target, scores_out<T> grad, workspace memory,
                      const row_options& options = {}, scores_out<T> target_grad = {}) {
    static_assert(Loss::traits.inputs + Loss::traits.dense == 2, "this loss does not take two arrays");
    const scores<T> inputs[] = {z, target};
    const scores_out<T> grads[] = {grad, target_grad};
    return detail::run_arrays(loss, inputs, 2, memory, options, grads, 2);
}

FUSEDLOSS_END
