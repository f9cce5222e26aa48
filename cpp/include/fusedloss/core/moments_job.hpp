// Work on the second moments of a batch of vectors, described in plain data. Outside the ISA tag: no code
// here.
#pragma once

#include "rows_job.hpp"

namespace fusedloss {

enum class moment_loss {
    variance_covariance,  // VICReg: views that agree, columns that vary and have no covariances
    cross_correlation,    // Barlow Twins: correlations of the columns of two views against the identity
    orthogonality,        // cosines of different rows as those of random directions
    mean_activation,      // the sum of the squared means of columns
};

struct moments_job {
    moment_loss loss;
    std::int64_t rows, columns;
    bool single;  // in floats, which gradients are then, too
    int views;
    class_array in[2];
    void* grad[2];  // rows one after another; null: not wanted
    double factor;  // of the gradients
    // Weights of the squared error between views, of the hinge on standard deviations and of what columns (or
    // rows) have in common; what is added to variances, or to standard deviations.
    double agreement, spread, common, eps;
};

// Columns [begin, end) of a matrix whose rows lie one after another.
struct column_range {
    std::int64_t rows, columns, begin, end;
};

// A gradient by column: row d of `product`, of its own and of the other view's vector times these, and a
// constant.
struct column_factors {
    const double *product, *own, *other, *constant;
};

template <class C>
struct moment_kernels {
    void (*add_columns)(const C* x, const column_range&, double* total);
    void (*add_squares)(const C* x, const column_range&, const double* mean, double* total);
    void (*add_products)(const C* x, const C* y, const column_range&, double* total);
    void (*standardise)(C* x, const column_range&, const double* mean, const double* factor);
    double (*squared_distance)(const C* x, const C* y, std::int64_t n);
    void (*combine)(C* grad, const C* own, const C* other, const column_factors&, std::int64_t n);
};

}  // namespace fusedloss
