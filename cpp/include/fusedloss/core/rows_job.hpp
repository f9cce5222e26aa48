// Work on rows of class scores, described in plain data. Outside the ISA tag: no code here.
#pragma once

#include "job.hpp"

namespace fusedloss {

// An array with a class axis: `rows` crosses the other axes, in C order; data == nullptr: not there, or not
// wanted.
struct class_array {
    strided rows;
    std::int64_t step;  // bytes from one class to the next
};

// What is done to scores before the softmax, and added to its loss. Neutral by default.
struct softmax_options {
    double scale = 1.0;            // z' = scale * z + offset[j] - margin[y] at the target
    double softcap = 0.0;          // z' = softcap * tanh(z / softcap); 0: none
    double label_smoothing = 0.0;  // moved from the target to all classes alike
    double z_loss = 0.0;           // times the square of log-sum-exp
    // Instead of a gradient: the logarithm of the softmax, of scores as they are.
    bool log_probabilities = false;
};

// The diagonal of the Hessian in the scores, as boosting libraries define it.
enum class hessian_mode {
    exact,         // d2 L / d z_j^2
    gauss_newton,  // p_j (1 - p_j) times the slope: never negative for a decreasing phi
    upper,         // 2 p_j (1 - p_j)
    lightgbm,      // C / (C - 1) p_j (1 - p_j)
    abs_residual,  // |p_j - [j == y]|
};

// What every job on rows has. A row has `classes` numbers along one axis.
struct row_frame {
    int dims;  // axes of the rows
    std::int64_t shape[max_dims];
    std::int64_t count;  // rows: product of shape
    std::int64_t classes;
    int weights;
    strided weight[max_weights];  // one per row, multiplied together; 0 excludes the row, whatever it holds
    strided value;                // one per row
    bool single;                  // results are good to the precision of float32
    bool total;                   // the sum of the values is wanted
    bool stream;                  // outputs are larger than the caches: write past them
    double grad_scale;            // multiplies grad and hess
    double total_scale;           // multiplies the values on their way into the total
    const void* params;           // the loss struct
};

struct rows_job : row_frame {
    int inputs;  // arrays with a class axis: the scores first
    class_array in[max_row_inputs];
    strided label;  // class indices, one per row, already checked; data == nullptr: none
    bool ignores;   // rows whose label is ignore_index contribute nothing
    std::int64_t ignore_index;
    const double* class_weight;  // one per class; null: none
    bool weighs_labels;          // the class weight of the label multiplies its row
    const double* class_offset;
    const double* class_margin;
    // For losses that ask (losses/row_terms.hpp), one per row, side by side; null: not there, or not wanted.
    const double* learned = nullptr;
    double* learned_grad = nullptr;
    double* terms = nullptr;  // how many the value sums, times the weight of the row
    class_array grad[max_row_inputs];
    class_array hess;
    strided log_sum_exp;  // one per row, of the transformed scores
    strided argmax;       // int64, one per row; the lowest index of ties
    hessian_mode mode;
    softmax_options softmax;
    bool in_floats;  // single, and no input that decides the precision holds more
    bool narrowed =
        false;  // scores are doubles: floats hold what sets them apart from the largest of their row
};

// Rows of few classes are worked on in panels of this many.
constexpr int panel_rows = 64;
constexpr std::int64_t most_columns = 256;  // rows of more classes than this are not

// What a kernel of one loss works on, in doubles: either up to a panel of rows in columns, or one row.
struct row_block {
    std::int64_t classes;
    int rows;
    const double* in[max_row_inputs];
    double* spare[2];
    double* grad[max_row_inputs];  // null: not wanted
    double* hess;
    const double* label;         // one per row
    const double* class_weight;  // null: none
    double* value;               // one per row
    double* count;               // how many terms the value sums, one per row
    const double* learned;       // a number that each row was given
    double* learned_grad;
};
struct row_entry {
    void (*columns)(const void* params, const row_block&);  // null: rows one at a time, however short
    void (*row)(const void* params, const row_block&);
};

// log p, p and 1 - p at the label and what a loss makes of them, one number per row, in two parts where the
// arithmetic needs them.
struct phi_block {
    double log_p[2][panel_rows], p[2][panel_rows], rest[2][panel_rows];
    double inverse[2][panel_rows], log_total[2][panel_rows];  // of the sum of exponentials
    double value[panel_rows], slope[2][panel_rows], curvature[panel_rows];
};
using phi_kernel = void (*)(const void* params, phi_block&, int rows);
struct softmax_entry {
    phi_kernel in_double, in_extended;
};

// What a pass over the labels found, before anything is written.
struct label_report {
    std::int64_t first_bad;  // flat index of the first label out of range, or -1
    std::int64_t bad_label;
    std::int64_t valid;  // rows that are not ignored
    sum weight;          // of class weight times row weights over them
    std::int64_t
        first_bad_weight;  // flat index of the first row weight that is negative or not finite, or -1
};

// What one ISA level offers this family: functions of log p_y, and everything else. A workspace is that many
// bytes, aligned to 64, for a call of process.
struct softmax_table {
    const softmax_entry* losses;
    std::size_t (*workspace)(const rows_job&);
    sum (*process_float)(const rows_job&, phi_kernel, std::int64_t begin, std::int64_t end, void* workspace);
    sum (*process_double)(const rows_job&, phi_kernel, std::int64_t begin, std::int64_t end, void* workspace);
};
struct rows_table {
    const row_entry* losses;
    std::size_t (*workspace)(const rows_job&);
    sum (*process)(const rows_job&, const row_entry&, std::int64_t begin, std::int64_t end, void* workspace);
    label_report (*labels)(const rows_job&, std::int64_t valid_labels, std::int64_t begin, std::int64_t end);
};

}  // namespace fusedloss
