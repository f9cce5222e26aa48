// Work on rows of paired vectors, described in plain data. Outside the ISA tag: no code here.
#pragma once

#include "rows_job.hpp"

namespace fusedloss {

// How near two vectors are. u = x - y + eps, componentwise.
enum class pair_measure {
    squared_l2,  // sum of u^2
    l2,          // its root
    l1,          // sum of |u|
    linf,        // largest |u|
    lp,          // (sum of |u|^p)^(1/p)
    cosine,      // x.y / (max(|x|, eps) max(|y|, eps)), 0 where either is zero
    cosine_distance,
    dot,
    negative_dot,
};

struct pair_options {
    pair_measure measure = pair_measure::l2;
    double p = 2.0, eps = 0.0;
};

struct pairs_job : row_frame {
    int inputs;                  // vectors, then arrays with one number per row
    class_array in[max_inputs];  // of the latter only `rows` counts
    class_array grad[max_inputs];
    class_array hess;  // never wanted
    strided label;     // data: row i of the second vectors is row label[i] of in[1]; already checked
    double* pull;      // with a label: where to put the factor of x - y in the gradient of row i
    pair_options options;
};

// The loops over numbers, by what they add up and by how the vectors lie.
enum pair_loop { over_differences, over_powers, over_products, pair_loop_kinds };
enum pair_layout { in_rows_of_floats, in_rows_of_doubles, in_short_columns, pair_layouts };
enum class power_sum { largest, sum, power, ties };

// Rows that follow each other in memory, on their way past the caches: whole lines leave the buffer, the rest
// of a row waits for the next one.
struct line_writer {
    char *to, *buffer;  // both at the start of a line
    int begin, end;     // the bytes of the buffer that wait
};

// What the kernels of one loss work on: up to a panel of rows. Rows lie anywhere; columns are panels of
// doubles that start at the first pointer.
struct pair_block {
    std::int64_t width;
    int rows;
    bool stream;                                 // gradients go to `lines`
    void* vector[max_pair_vectors][panel_rows];  // read, never written
    std::ptrdiff_t
        ahead[max_pair_vectors];  // bytes from a row to the one that follows the panel in its place
    void* grad[max_pair_vectors][panel_rows];  // first null: not wanted
    line_writer lines[max_pair_vectors];
    double active[panel_rows];  // 0: the gradients of the row are zero

    double eps, p;
    power_sum mode;
    double sum[max_pair_measures][panel_rows];         // of squares, powers or products
    double squares[max_pair_vectors][panel_rows];      // of each vector, besides products
    double ratio[max_pair_measures][panel_rows];       // differences are x - ratio * y
    double unit[max_pair_measures][panel_rows];        // ... times a power of two, doubles only
    double vector_unit[max_pair_vectors][panel_rows];  // the same for vectors in products
    double largest[max_pair_measures][panel_rows];     // of powers, or the norm itself: see mode
    // What gradients are made of: of measure m the factor of the difference or of the other vector, on either
    // side of the pair; of a vector itself.
    double pull[max_pair_measures][2][panel_rows];
    double own[max_pair_vectors][panel_rows];

    double measure[max_pair_measures][panel_rows], slope[max_pair_measures][panel_rows];
    double number[max_pair_numbers][panel_rows], number_grad[max_pair_numbers][panel_rows];
    double value[panel_rows];
};

struct pair_loops {
    void (*sums[pair_loop_kinds])(pair_block&);
    void (*gradients[pair_loop_kinds])(pair_block&);
};
struct pair_entry {
    void (*formula)(const void* params, pair_block&);
    pair_loops loops[pair_layouts];
};

// All pairs of positive scores [begin, end) with the negative ones: the sum of w_i v_j softplus(n_j - p_i),
// and its derivatives, those in p_i written and those in n_j added up in one buffer per call.
struct score_pairs {
    const double *positive, *positive_weight, *negative, *negative_weight;
    std::int64_t negatives;  // a multiple of score_unit, of weight 0 beyond the last
    double* positive_grad;   // null: no gradients wanted
};
constexpr std::int64_t score_unit = 16;

// What one ISA level offers this family.
struct pairs_table {
    const pair_entry* losses;
    std::size_t (*workspace)(const pairs_job&, const pairs_traits&);
    sum (*process)(const pairs_job&, const pairs_traits&, const pair_entry&, std::int64_t begin,
                   std::int64_t end, void* workspace);
    void (*pull_together)(const pairs_job&, const std::int64_t* rows, std::int64_t n, std::int64_t to,
                          const class_array& out);
    double (*compare_scores)(const score_pairs&, std::int64_t begin, std::int64_t end, double* negative_grad);
};

}  // namespace fusedloss
