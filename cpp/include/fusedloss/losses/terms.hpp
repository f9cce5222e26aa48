// What a formula returns for one pack of elements. The drivers ask for some of it and the compiler
// drops the rest, so a formula simply computes everything side by side.
#pragma once

#include "../core/formula.hpp"
#include "../simd/special.hpp"

FUSEDLOSS_BEGIN

template <class T, int Inputs>
struct terms {
    T value;
    T grad[Inputs];  // d value / d input i; unused where the input is not differentiable
    T hess;          // d2 value / d input0^2
};

// A function of e = input - target alone: the target's gradient is the negative of the input's.
template <class T>
FUSEDLOSS_INLINE terms<T, 2> residual_terms(T value, T grad, T hess = T(0.0)) {
    return {value, {grad, -grad}, hess};
}

// Only the first of `Inputs` inputs is differentiable.
template <int Inputs, class T>
FUSEDLOSS_INLINE terms<T, Inputs> input_terms(T value, T grad, T hess = T(0.0)) {
    terms<T, Inputs> r;
    for (int i = 1; i < Inputs; ++i) r.grad[i] = T(0.0);
    r.value = value;
    r.grad[0] = grad;
    r.hess = hess;
    return r;
}

FUSEDLOSS_END
