// Elementwise losses for C++ programs.
#pragma once

#include "../core/blocks.hpp"
#include "../families/elementwise.hpp"
#include "views.hpp"

FUSEDLOSS_BEGIN

namespace detail {

template <class T, class Loss>
double run(const Loss& loss, reduction reduce, kernel_outputs outputs, const in<T>* inputs,
           const out<T>* grads, const out<T>* hess) {
    constexpr kernel_entry kernels = make_kernels<Loss>();
    elementwise_job job;
    job.inputs = Loss::traits.inputs;
    job.dims = 1;
    job.count = job.shape[0] = inputs[0].size;
    job.weights = 0;
    job.single = job.in_floats = sizeof(T) == 4;
    job.total = true;
    job.stream = false;
    job.widens = job.single && kernels.widens;
    job.total_scale = 1.0;
    job.grad_scale = reduce == reduction::mean && job.count ? 1.0 / double(job.count) : 1.0;
    job.params = &loss;
    job.value.data = job.hess.data = nullptr;
    for (int k = 0; k < job.inputs; ++k) {
        require(inputs[k].size == job.count, "fusedloss: inputs differ in length");
        set(job.in[k], inputs[k].data, number_type<T>(), inputs[k].step);
        job.grad[k].data = nullptr;
    }
    for (int k = 0; k < job.inputs && outputs != want_value; ++k) {
        if (!grads[k].data) continue;
        require(grads[k].size == job.count, "fusedloss: a gradient differs in length from the input");
        require(Loss::traits.differentiable >> k & 1, "fusedloss: no gradient for this input");
        set(job.grad[k], grads[k].data, number_type<T>(), grads[k].step);
    }
    if (hess) {
        require(hess->size == job.count, "fusedloss: the Hessian differs in length from the input");
        set(job.hess, hess->data, number_type<T>(), hess->step);
    }
    constexpr int single = Loss::traits.compute == arithmetic::working ? in_float : in_double;
    constexpr int twice = Loss::traits.compute == arithmetic::extended ? in_extended : in_double;
    const int chosen = job.single ? single : twice;
    const block_kernel kernel = kernels.run[chosen][outputs];
    const sum total = for_each_block(job.count, openmp_threads(), [&](std::int64_t begin, std::int64_t end) {
        return chosen == in_float ? process<float>(job, kernel, begin, end)
                                  : process<double>(job, kernel, begin, end);
    });
    return reduce == reduction::mean ? rounded(total) / double(job.count) : rounded(total);
}

}  // namespace detail

// The (mean or summed) value of a loss of two inputs.
template <class Loss, class T>
double value(const Loss& loss, in<T> input, in<T> target, reduction reduce = reduction::mean) {
    const in<T> inputs[] = {input, target};
    return detail::run<T>(loss, reduce, want_value, inputs, nullptr, nullptr);
}
// The same, and the gradient of that value in the first input, in one pass. grad may be the input itself.
template <class Loss, class T>
double value_and_grad(const Loss& loss, in<T> input, in<T> target, out<T> grad,
                      reduction reduce = reduction::mean) {
    const in<T> inputs[] = {input, target};
    const out<T> grads[max_inputs] = {grad};
    return detail::run<T>(loss, reduce, want_value_grad, inputs, grads, nullptr);
}
// Gradient and Hessian diagonal in the first input: what boosting asks for.
template <class Loss, class T>
void grad_and_hess(const Loss& loss, in<T> input, in<T> target, out<T> grad, out<T> hess,
                   reduction reduce = reduction::sum) {
    static_assert(Loss::traits.hessian, "this loss has no Hessian");
    const in<T> inputs[] = {input, target};
    const out<T> grads[max_inputs] = {grad};
    detail::run<T>(loss, reduce, want_grad_hess, inputs, grads, &hess);
}

// Losses of any number of inputs: arrays of traits.inputs views; a gradient whose data is null is not wanted.
template <class Loss, class T>
double value(const Loss& loss, const in<T> (&inputs)[Loss::traits.inputs],
             reduction reduce = reduction::mean) {
    return detail::run<T>(loss, reduce, want_value, inputs, nullptr, nullptr);
}
template <class Loss, class T>
double value_and_grad(const Loss& loss, const in<T> (&inputs)[Loss::traits.inputs],
                      const out<T> (&grads)[Loss::traits.inputs], reduction reduce = reduction::mean) {
    return detail::run<T>(loss, reduce, want_value_grad, inputs, grads, nullptr);
}

FUSEDLOSS_END
