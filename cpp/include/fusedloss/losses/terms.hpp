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

// A shorter way for what a loss of two inputs is mostly asked for, in numbers T: `quick` is a loss for packs
// of which applies(first, second) holds, `careful` for the others; both begin with the first loss, of whose
// parameters applies(loss) holds. What a lane gets must not depend on its neighbours.
template <class Loss, class T>
struct shortcut {
    static constexpr bool exists = false;
};

// e = unit (x - t), where the unit is 1 or, next to the end of the range of doubles, 1/16: for losses that
// are finite where x - t overflows. The unit is a power of two and `back` its inverse, so that both scale
// exactly.
template <class T>
struct residual {
    T e, unit, back;

    FUSEDLOSS_INLINE residual(T x, T t) {
        const auto large = max(abs(x), abs(t)) > T(0x1p1000);
        unit = select(large, T(0x1p-4), T(1.0));
        back = select(large, T(0x1p4), T(1.0));
        e = unit * x - unit * t;
    }
    // back^n.
    FUSEDLOSS_INLINE T back_power(T n) const { return any(back > T(1.0)) ? pow(back, n) : T(1.0); }
};

FUSEDLOSS_END
