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

}  // namespace fusedloss
