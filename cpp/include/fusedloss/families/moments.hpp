// What losses of the second moments of a batch do besides products of matrices: sums over columns, which
// follow the rows, columns that are centred and scaled, and gradients put together. In double, whatever the
// data.
#pragma once

#include "../core/moments_job.hpp"
#include "../simd/isa.hpp"

FUSEDLOSS_BEGIN

// Calls f(row, column, place in memory) row after row.
template <class F>
FUSEDLOSS_INLINE void for_columns(const column_range& r, F f) {
    for (std::int64_t i = 0; i < r.rows; ++i) {
        const std::int64_t row = i * r.columns;
        for (std::int64_t d = r.begin; d < r.end; ++d) f(row + d, d);
    }
}

template <class C>
inline void add_column_sums(const C* x, const column_range& r, double* total) {
    for_columns(r, [=](std::int64_t at, std::int64_t d) { total[d] += double(x[at]); });
}
template <class C>
inline void add_column_squares(const C* x, const column_range& r, const double* mean, double* total) {
    for_columns(r, [=](std::int64_t at, std::int64_t d) {
        const double centred = double(x[at]) - mean[d];
        total[d] += centred * centred;
    });
}
template <class C>
inline void add_column_products(const C* x, const C* y, const column_range& r, double* total) {
    for_columns(r, [=](std::int64_t at, std::int64_t d) { total[d] += double(x[at]) * double(y[at]); });
}
template <class C>
inline void standardise_columns(C* x, const column_range& r, const double* mean, const double* factor) {
    for_columns(r,
                [=](std::int64_t at, std::int64_t d) { x[at] = C((double(x[at]) - mean[d]) * factor[d]); });
}

template <class C>
inline double squared_distance(const C* x, const C* y, std::int64_t n) {
    constexpr int lanes = 16;  // on every machine
    double lane[lanes] = {};
    const auto add = [&](std::int64_t d, int l) {
        const double gap = double(x[d]) - double(y[d]);
        lane[l] += gap * gap;
    };
    std::int64_t d = 0;
    for (; d + lanes <= n; d += lanes)
        for (int l = 0; l < lanes; ++l) add(d + l, l);
    for (; d < n; ++d) add(d, int(d % lanes));
    double total = 0.0;
    for (double s : lane) total += s;
    return total;
}

// `grad` comes as a product of matrices.
template <class C>
inline void combine_columns(C* grad, const C* own, const C* other, const column_factors& f, std::int64_t n) {
    for (std::int64_t d = 0; d < n; ++d)
        grad[d] = C(f.product[d] * double(grad[d]) + f.own[d] * double(own[d]) +
                    f.other[d] * double(other[d]) + f.constant[d]);
}

template <class C>
constexpr moment_kernels<C> make_moment_kernels() {
    return {add_column_sums<C>,     add_column_squares<C>, add_column_products<C>,
            standardise_columns<C>, squared_distance<C>,   combine_columns<C>};
}

FUSEDLOSS_END
