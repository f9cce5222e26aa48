// Products whose factors leave the range of the number type although the product stays inside it.
#pragma once

#include "terms.hpp"

FUSEDLOSS_BEGIN

// a b with 0 b = 0 also where b is infinite: the convention 0 log 0 = 0. NaN stays NaN.
template <class T>
FUSEDLOSS_INLINE T zero_times(T a, T b) {
    return select((a == T(0.0)) & !is_nan(b), T(0.0), a * b);
}

// a e^z. For numbers with the range of a double: beyond |z| = 700, where e^z nears its ends, by two factors.
template <class T>
FUSEDLOSS_INLINE T times_exp(T a, T z) {
    T product = a * exp(z);
    const auto far = abs(z) > T(700.0);
    if (any(far)) {
        const T root = exp(0.5 * z);
        product = select(far, zero_times(a, root) * root, product);
        product = select(far & (a == T(0.0)), a, product);
    }
    return product;
}

// x, or NaN where `input` is: for results that do not depend on every input.
template <class T>
FUSEDLOSS_INLINE T poisoned_by(T input, T x) {
    return select(is_nan(input), input, x);
}

FUSEDLOSS_END
