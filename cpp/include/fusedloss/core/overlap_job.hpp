// Work on overlaps of masks, described in plain data. Outside the ISA tag: no code here.
#pragma once

#include "rows_job.hpp"

namespace fusedloss {

// How scores become the probability p of a class at a position.
enum class overlap_activation { none, sigmoid, softmax };

// What p and the target t have in common at a position, and what only one of them has.
enum class overlap_form {
    product,  // p t, p (1 - t), (1 - p) t
    minimum,  // min(p, t), max(p - t, 0), max(t - p, 0)
    squared,  // p t, max(p - t, 0)^2, max(t - p, 0)^2
};

// Sums over the positions of a class. `extra` is what the traits of a loss say, `pixel` the sum of the loss
// by position that a combined loss adds.
enum overlap_slot { slot_both, slot_surplus, slot_missing, slot_extra, slot_pixel, overlap_slots };

enum class overlap_extra { none, neither /* (1 - p)(1 - t) */, target /* t */ };

struct overlap_traits {
    bool grouped = false;  // one value for all classes of a group, else one per class
    overlap_extra extra = overlap_extra::none;
    bool pixel = false;   // adds a loss by position
    bool costs = false;   // takes a matrix of costs of classes at a label
    bool sorted = false;  // no function of sums: of errors by position in order of their size
};

// The focal loss by position: its exponents and what multiplies it where the target is 0, and where it is 1.
// A softmax has only the exponent where it is 1.
struct focal_by_target {
    double gamma[2], factor[2];
};

// A group is what is summed over: the positions of one image, or of all. Its rows follow each other.
struct overlap_job {
    int inputs;  // 1: the scores
    int dims;    // of the values: one per group and class, or one per group
    std::int64_t shape[max_dims];
    std::int64_t count;
    int weights;
    strided weight[max_weights];  // one per value, multiplied together; 0 excludes it, whatever it holds
    strided value;

    rows_job rows;  // the positions: dims, shape, classes, label, ignore_index
    std::int64_t groups;
    bool batched;              // the first axis of the rows is that of the groups
    std::int64_t first_class;  // classes before it have no value
    class_array in[max_row_inputs];
    class_array grad[max_row_inputs];
    class_array hess;             // always absent
    class_array mask;             // dense targets, in place of the label
    class_array position_weight;  // multiplies the terms of every sum
    const double* class_weight;   // one per class that has a value; multiplies it
    const double* label_weight;   // the terms at a label, [label][class]; the target is then any label but 0
    overlap_activation activation;
    overlap_form form;
    bool keeps;  // where the gradient will be, the pass that adds up may leave what the gradient needs
    overlap_extra extra;  // what the loss wants to know
    bool pixel;
    focal_by_target focal;  // the loss by position
    bool hinge;             // errors are those of margins
    bool absent_is_zero;    // classes without a target have value 0
    bool single;            // float32 arithmetic is enough: no float64 among what decides the precision
    bool total;             // the sum of the values is wanted
    double grad_scale;      // multiplies the gradient
    double total_scale;     // multiplies the values on their way into the total
    const void* params;     // the loss struct
};

// The sums of groups side by side, and what a loss makes of them: number k of class j of slot s at
// [(s * classes + j) * pitch + k].
struct overlap_block {
    std::int64_t classes, pitch;
    std::int64_t first_class;  // classes before it do not count
    const double* sums;
    const double* count;         // positions that are not ignored, by class
    const double* class_weight;  // null: none
    bool absent_is_zero;
    double* value;  // by class, or one per group
    double* slope;  // d value / d sum
};
using overlap_formula = void (*)(const void* params, const overlap_block&);

// What a target is to a loss of sorted errors.
enum class target_kind : unsigned char { absent, present, ignored };

// What one ISA level offers; [0] for floats, [1] for doubles.
struct overlap_table {
    const overlap_formula* formulas;
    std::size_t (*workspace[2])(const overlap_job&);
    // Sums over the positions [begin, end): by class, the slots and the number of positions.
    void (*add[2])(const overlap_job&, std::int64_t begin, std::int64_t end, void* workspace, sum* result);
    // The gradient there, given the slopes: by class, the slots.
    void (*differentiate[2])(const overlap_job&, std::int64_t begin, std::int64_t end, void* workspace,
                             const double* slopes);
    // Errors between 0 and 1, or of a hinge, as floats or doubles, and kinds, of the positions [begin, end):
    // number i of class j at [j * count + i] for all positions i of the rows.
    void (*errors[2])(const overlap_job&, std::int64_t begin, std::int64_t end, void* workspace, void* errors,
                      target_kind* kinds);
};

}  // namespace fusedloss
