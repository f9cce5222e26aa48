// What a loss says about itself. Plain data, outside the ISA tag.
#pragma once

namespace fusedloss {

// The arithmetic a formula needs to keep two units in the last place of its result.
//   working   float32 data in float, float64 data in double
//   wide      float32 data in double, float64 data in double
//   extended  float32 data in double, float64 data in double-double
enum class arithmetic { working, wide, extended };

struct elementwise_traits {
    int inputs;               // arrays the formula reads, in the order of the loss's `inputs` names
    unsigned differentiable;  // bit i: the formula gives the gradient for input i
    bool hessian;             // the formula gives the second derivative in input 0
    arithmetic compute;
};

constexpr int max_inputs = 5;

// A loss of rows of class scores.
struct rows_traits {
    int inputs;               // arrays with a class axis, in the order of the first of the `inputs` names
    unsigned differentiable;  // bit i: the formula gives the gradient for input i
    bool label = false;       // every row has a class index
    bool hessian = false;     // the formula gives the diagonal of the second derivative in input 0
    int extra_labels = 0;     // labels lie in [0, classes + extra_labels)
    bool dense = false;       // one more input, probabilities of the classes, may take the place of the label
    bool wide = false;        // a function of log p_y that amplifies rounding: float32 data in double
};

constexpr int max_row_inputs = 3;

// Which vectors of a row a loss compares.
enum class vector_pairs {
    both,      // (0, 1)
    anchored,  // (0, 1), (0, 2)
    triangle,  // (0, 1), (0, 2), (1, 2)
    chained,   // (0, 1), (0, 2), (2, 3)
};

// A loss of rows of paired vectors.
struct pairs_traits {
    int vectors;              // arrays with a vector axis, the first of the inputs
    int numbers;              // arrays with one number per row, after them
    unsigned differentiable;  // bit i: the formula gives the gradient for input i
    vector_pairs pairs;
    bool label = false;  // every row has an index: its second vector is that row of the second array
};

constexpr int max_pair_vectors = 4;
constexpr int max_pair_measures = 3;
constexpr int max_pair_numbers = 1;

}  // namespace fusedloss
