// Losses of pairs of boxes for C++ programs.
#pragma once

#include "../core/row_blocks.hpp"
#include "../families/boxes.hpp"
#include "../losses.hpp"
#include "views.hpp"

FUSEDLOSS_BEGIN

// Boxes of four numbers each; steps count elements.
template <class T>
struct boxes_view {
    T* data;
    std::int64_t count;
    std::int64_t box_step = 4, number_step = 1;
};
template <class T>
using boxes = boxes_view<const T>;
template <class T>
using boxes_out = boxes_view<T>;

// What goes with the boxes; neutral by default.
struct box_options {
    reduction reduce = reduction::mean;
    int threads = 0;                 // 0: as many as OpenMP has
    const double* weight = nullptr;  // one per pair; a mean divides by their sum
};

namespace detail {

// Braces around a pointer and a number could be boxes or elements: losses of elements do not look here.
template <bool>
struct only_if {};
template <>
struct only_if<true> {
    using type = int;
};
constexpr bool of_rows(const rows_traits&) { return true; }
constexpr bool of_rows(const elementwise_traits&) { return false; }
template <class Loss>
using if_of_boxes = typename only_if<of_rows(Loss::traits)>::type;

template <class T>
void set(class_array& a, const boxes_view<T>& v) {
    set(a.rows, v.data, number_type<T>(), v.box_step);
    a.step = v.number_step * std::int64_t(sizeof(T));
}

template <class Loss, class T>
double run_boxes(const Loss& loss, const boxes<T> (&inputs)[2], const boxes_out<T> (&grads)[2],
                 const box_options& options) {
    rows_job job{};
    job.inputs = 2;
    job.dims = 1;
    job.count = job.shape[0] = inputs[0].count;
    job.classes = 4;
    job.single = job.in_floats = sizeof(T) == 4;
    job.total = true;
    job.total_scale = 1.0;
    job.params = &loss;
    for (int k = 0; k < 2; ++k) {
        require(inputs[k].count == job.count, "fusedloss: the boxes differ in number");
        set(job.in[k], inputs[k]);
        if (!grads[k].data) continue;
        require(grads[k].count == job.count, "fusedloss: a gradient differs in number from the boxes");
        set(job.grad[k], grads[k]);
    }
    if (options.weight) {
        set(job.weight[0], options.weight, dtype::float64, 1);
        job.weights = 1;
    }
    const int most = options.threads > 0 ? options.threads : openmp_threads();
    // There are no labels: what is checked are the weights.
    const label_report report = check_row_blocks(job.count, most, [&](std::int64_t begin, std::int64_t end) {
        return check_label_block(job, job.classes, begin, end);
    });
    require(report.first_bad_weight < 0, "fusedloss: a weight is negative or not finite");
    const double divisor = options.reduce == reduction::mean ? rounded(report.weight) : 1.0;
    job.grad_scale = divisor != 0.0 ? 1.0 / divisor : 0.0;

    const partition p = row_partition(job.count, job.classes);
    constexpr box_entry kernels = make_box_kernels<Loss>();
    const sum total = sum_row_blocks(
        p, useful_threads(p, job.count * job.classes, most), nullptr, 0,
        [&](std::int64_t begin, std::int64_t end, char*) { return process_boxes(job, kernels, begin, end); });
    return rounded(total) / divisor;
}

}  // namespace detail

// The (mean or summed) value of a loss of pairs of boxes: of each box with that of the same number.
template <class Loss, class T, detail::if_of_boxes<Loss> = 0>
double value(const Loss& loss, boxes<T> first, boxes<T> second, const box_options& options = {}) {
    return detail::run_boxes<Loss, T>(loss, {first, second}, {{}, {}}, options);
}
// The same, and the gradients of that value in the boxes, in one pass. A gradient whose data is null is not
// wanted; each may be the boxes themselves.
template <class Loss, class T, detail::if_of_boxes<Loss> = 0>
double value_and_grad(const Loss& loss, boxes<T> first, boxes<T> second, boxes_out<T> grad,
                      const box_options& options = {}, boxes_out<T> second_grad = {}) {
    return detail::run_boxes<Loss, T>(loss, {first, second}, {grad, second_grad}, options);
}

FUSEDLOSS_END
