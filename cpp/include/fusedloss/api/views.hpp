// What the functions for C++ programs are given.
#pragma once

#include "../core/error.hpp"
#include "../core/job.hpp"
#include "../simd/isa.hpp"

FUSEDLOSS_BEGIN

// A run of numbers, `step` elements apart.
template <class T>
struct view {
    T* data;
    std::int64_t size;
    std::int64_t step = 1;
};
template <class T>
using in = view<const T>;
template <class T>
using out = view<T>;

// Rows of class scores; steps count elements.
template <class T>
struct rows_view {
    T* data;
    std::int64_t rows, classes;
    std::int64_t row_step = classes, class_step = 1;
};
template <class T>
using scores = rows_view<const T>;
template <class T>
using scores_out = rows_view<T>;

enum class reduction { mean, sum };

namespace detail {

template <class T>
constexpr dtype number_type() {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "float or double");
    return sizeof(T) == 4 ? dtype::float32 : dtype::float64;
}
template <class T>
constexpr dtype integer_type() {
    constexpr bool is_signed = T(-1) < T(0);
    switch (sizeof(T)) {
        case 1: return is_signed ? dtype::int8 : dtype::uint8;
        case 2: return is_signed ? dtype::int16 : dtype::uint16;
        case 4: return is_signed ? dtype::int32 : dtype::uint32;
        default: return is_signed ? dtype::int64 : dtype::uint64;
    }
}

template <class T>
void set(strided& a, const T* data, dtype type, std::int64_t step) {
    a.data = const_cast<void*>(static_cast<const void*>(data));
    a.type = type;
    a.stride[0] = step * std::int64_t(sizeof(T));
}

}  // namespace detail

FUSEDLOSS_END
