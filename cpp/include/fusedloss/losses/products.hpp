// Products that need care: exact ones, and those whose factors leave the range of the number type although
// the product stays inside it.
#pragma once

#include "terms.hpp"

FUSEDLOSS_BEGIN

// a b with 0 b = 0 also where b is infinite: the convention 0 log 0 = 0. NaN stays NaN.
template <class T>
FUSEDLOSS_INLINE T zero_times(T a, T b) {
    return select((a == T(0.0)) & !is_nan(b), T(0.0), a * b);
}

// e^z as a factor, for numbers with the range of a double: beyond |z| = 700, where e^z nears its ends, as the
// square of a root.
template <class T>
struct exponential_factor {
    T whole, root;
    typename T::mask_type far;
};
template <class T>
FUSEDLOSS_INLINE exponential_factor<T> factor_of_exp(T z) {
    exponential_factor<T> f{exp(z), T(1.0), abs(z) > T(700.0)};
    if (any(f.far)) f.root = exp(0.5 * z);
    return f;
}
template <class T>
FUSEDLOSS_INLINE T operator*(T a, exponential_factor<T> f) {
    const T product = select(f.far, zero_times(a, f.root) * f.root, a * f.whole);
    return select(f.far & (a == T(0.0)), a, product);
}
// a e^z.
template <class T>
FUSEDLOSS_INLINE T times_exp(T a, T z) {
    return a * factor_of_exp(z);
}

// x, or NaN where `input` is: for results that do not depend on every input.
template <class T>
FUSEDLOSS_INLINE T poisoned_by(T input, T x) {
    return select(is_nan(input), input, x);
}

// a b - hi where hi is the rounded product; exact but for underflow. Without fma: Dekker's product, split by
// clearing half of the significant bits.
template <class T>
FUSEDLOSS_INLINE T product_error(T a, T b, T hi) {
    if constexpr (has_fma) return fma(a, b, -hi);
    using integers = bits<typename T::scalar>;
    constexpr int half = sizeof(typename T::scalar) == sizeof(float) ? 12 : 27;
    const integers upper(~((typename integers::scalar(1) << half) - 1));
    const T a1 = from_bits(as_bits(a) & upper), a2 = a - a1, b1 = from_bits(as_bits(b) & upper), b2 = b - b1;
    // Near the subnormal range the four products round as coarsely as hi itself.
    const T normal = sizeof(typename T::scalar) == sizeof(float) ? 0x1p-100 : 0x1p-960;
    return select(abs(hi) > normal, ((a1 * b1 - hi) + a1 * b2 + a2 * b1) + a2 * b2, T(0.0));
}

FUSEDLOSS_END
