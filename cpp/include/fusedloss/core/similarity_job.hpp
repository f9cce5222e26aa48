// Work on the scores of all pairs of two sets of vectors, described in plain data. Outside the ISA tag: no
// code here.
#pragma once

#include "moments_job.hpp"
#include "rows_job.hpp"

namespace fusedloss {

// What an input is to the scores. There are `count` rows and `classes` columns of them: first the columns
// that each row has for itself, then those that all rows share.
enum class similarity_role : unsigned char {
    row,      // vectors [n, D], one for each row; several such inputs follow one another
    column,   // vectors [m, D], one for each shared column; likewise
    both,     // vectors that are rows and columns
    own,      // vectors [N, k, D]: k columns of each row
    centres,  // vectors [m, k, D]: column i m + c is the i-th of the k centres of class c
    groups,   // vectors [n, m, D]: rows, of which each belongs to a group of m; the columns are the groups'
              // means, and a row meets its own group without itself
    scale,    // a number that multiplies all scores
    bias,     // a number that is added to all, or one for each shared column
    number,   // what the rows have learned: one number, or one for each label
    numbers,  // what the rows have learned: one number for each row
};
constexpr bool has_vectors(similarity_role role) { return role < similarity_role::scale; }

struct similarity_input {
    similarity_role role;
    std::int64_t vectors;  // of the whole input; bias: numbers
    std::int64_t each;     // own, centres, groups: vectors along the second axis of `data`
    class_array data;  // `rows` crosses the vectors; own: the rows, and then the vectors of a row; centres:
                       // the centres of a class, and then the classes
    class_array grad;  // data == nullptr: not wanted
};

// What a margin does where first * angle + second > pi and the cosine would rise again.
enum class margin_beyond {
    line,    // c - second * sin(second) - third, as ArcFace has it
    falls,   // (-1)^k cos(first * angle + second) - 2 k - third, as SphereFace has it
    cosine,  // c wherever c <= 0: the easy margin
    stays,   // cos(pi), and cos(0) below no angle: it has got where it can, as AdaFace has it
};

// The score of the label, a cosine c, becomes cos(first * angle + second) - third: margins that make a head
// ArcFace, CosFace, SphereFace ...
struct target_margin {
    double first = 1.0, second = 0.0, third = 0.0;
    margin_beyond beyond = margin_beyond::line;
};

// Scores that the loss compares those of the job with, its in[1]: <a_i, b_j> + bias of vectors of their own,
// which nobody differentiates with respect to.
struct compared_scores {
    class_array rows, columns;  // vectors [count, D] and [classes, D]; rows.rows.data == nullptr: none
    std::int64_t dimensions;
    const double* bias;  // null: none
    std::int64_t bias_step;
};

// scores = scale <a_i, b_j> + bias, or -scale |a_i - b_j|^2 + bias.
struct similarity_job {
    int inputs;
    similarity_input input[max_inputs];
    std::int64_t dimensions;
    double scale;
    const double* bias;      // null: none
    std::int64_t bias_step;  // 1: one for each shared column, 0: one for all
    double* scale_grad;      // one number; null: not wanted
    double* bias_grad;       // as many as there are of the bias
    bool normalize;          // vectors are divided by their norms, or by 1e-12 where that is more
    bool raw_rows;           // ... but not those of the rows
    bool by_length;          // what the rows have learned are the norms that they were divided by
    bool distance;           // minus squared distances in place of products
    bool exclude_self;       // row i and shared column i are the same: its score is minus infinity
    bool two_sided;  // in[1] and in[2] of the loss are the log-sum-exp of each column and the weight of
                     // the row of its number
    bool paired;     // ... columns i and count / 2 + i have theirs together
    bool has_margin;
    target_margin margin;
    compared_scores compared;
    // A loss of rows that runs before, without gradients: what it gives for row j is one more input of the
    // loss, of column j. -1: none.
    int first_loss;
    // For losses that say how many terms their rows sum: where the total goes, and whether gradients are
    // divided by it. null: nobody asks.
    sum* terms;
    bool mean_of_terms;
    // The loss of the rows. in[0] and grad[0] are the driver's: grad[0].rows.data != nullptr says that
    // gradients are wanted. in[1...] with a row stride of 0 hold one number per column.
    rows_job rows;
};

// The scores of a chunk: `rows` rows, `pitch` numbers apart.
template <class C>
struct score_chunk {
    C* scores;
    std::ptrdiff_t pitch;
    int rows;
};

// c = alpha a b, or c += alpha a b, of matrices that lie in memory with any steps (in numbers) from row to
// row and from column to column: a is m x k, b is k x n.
template <class C>
struct matrix_product {
    std::int64_t m, n, k;
    C alpha;
    const C* a;
    std::ptrdiff_t a_row, a_column;
    const C* b;
    std::ptrdiff_t b_row, b_column;
    bool accumulate;
    C* c;
    std::ptrdiff_t c_row;
};

// Vectors that belong together: their directions and norms, and the sum of them all with its own.
template <class C>
struct vector_group {
    std::int64_t members, dimensions;
    const C* unit;
    const double *norm, *total;
    const C* total_unit;
    double total_norm;
};
// A member of a group and the sum of the others: their cosine, the norm of the sum, the derivative of the
// loss in the cosine, and what the gradient in the member's direction has along it.
struct rest_of_group {
    double cosine, norm, slope, radial;
};

template <class C>
struct similarity_kernels {
    std::int64_t product_workspace;  // numbers, for each of the shares that run at a time
    void (*product)(const matrix_product<C>&, int share, int shares, C* workspace);
    void (*squared_differences)(const matrix_product<C>&, int share, int shares, C* workspace);
    void (*fetch)(const class_array&, std::int64_t each, std::int64_t begin, std::int64_t end,
                  std::int64_t dimensions, bool normalize, C* to, double* norms);
    void (*return_gradients)(const class_array& out, std::int64_t each, std::int64_t begin, std::int64_t end,
                             std::int64_t dimensions, const C* vectors, const double* norms,
                             const double* of_norms, double factor, C* grad);
    void (*fill_bias)(const score_chunk<C>&, const double* bias, std::int64_t step, std::int64_t begin,
                      std::int64_t end);
    void (*add_columns)(const score_chunk<C>&, double* total, std::int64_t begin, std::int64_t end);
    double (*add_row)(const C*, std::int64_t n);
    double (*dot)(const C*, const C*, std::int64_t n);
    void (*add_multiple)(C* g, const C* x, double factor, std::int64_t n);
    void (*apply_margins)(const target_margin&, double scale, const score_chunk<C>&,
                          const std::int64_t* labels, const C* vectors, const C* columns,
                          std::int64_t dimensions, double* slopes, double* radial, double* column_radial);
    void (*add_exponentials)(const score_chunk<C>&, double* largest, double* total, std::int64_t begin,
                             std::int64_t end);
    double (*sum_group)(const C* unit, const double* norm, std::int64_t members, std::int64_t dimensions,
                        double* total, C* total_unit);
    rest_of_group (*rest_of)(const vector_group<C>&, std::int64_t member);
    void (*push_back_group)(const vector_group<C>&, rest_of_group*, const C* total_grad, double factor,
                            double* common, C* grad);
};
struct similarity_table {
    similarity_kernels<float> in_float;
    similarity_kernels<double> in_double;
    moment_kernels<float> moments_in_float;
    moment_kernels<double> moments_in_double;
};

}  // namespace fusedloss
