// Plain descriptions of work, passed between the Python bindings, the dispatcher and the kernels of
// every ISA level. Outside the ISA tag: no code here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formula.hpp"

namespace fusedloss {

enum class dtype : unsigned char {
    float32,
    float64,
    float16,
    bfloat16,
    boolean,
    int8,
    uint8,
    int16,
    uint16,
    int32,
    uint32,
    int64,
    uint64,
};

constexpr int max_dims = 64;       // as NumPy
constexpr int max_weights = 3;     // sample_weight, weight, cotangent
constexpr int chunk_bytes = 4096;  // elements staged in L1 at a time

// An array seen through the job's shape; strides in bytes, 0 where it is broadcast.
// data == nullptr: not there, or not wanted.
struct strided {
    void* data;
    dtype type;
    std::int64_t stride[max_dims];
};

struct elementwise_job {
    int inputs;
    int dims;
    std::int64_t count;  // product of shape
    std::int64_t shape[max_dims];
    strided in[max_inputs];
    int weights;
    strided weight[max_weights];  // multiplied together; weight 0 excludes the element, whatever it holds
    strided value;                // one value per element
    strided grad[max_inputs];
    strided hess;
    bool single;         // results are good to the precision of float32
    bool in_floats;      // ... and no input that decides the precision holds more
    bool total;          // the sum of the values is wanted
    bool stream;         // outputs are larger than the caches: write past them
    bool widens;         // the kernels, of wide_float, read and write float32 themselves
    double grad_scale;   // multiplies grad and hess
    double total_scale;  // multiplies the values on their way into the total
    const void* params;  // the loss struct
};

// An unevaluated sum: high + low is more precise than a double.
struct sum {
    double high, low;
};

struct weight_sum {
    sum total;
    std::int64_t first_bad;  // index of the first negative or non-finite weight, or -1
};

// One block of one loss: whole packs, contiguous, in the kernel's own arithmetic.
struct kernel_call {
    const void* in[max_inputs];
    void* value;
    void* grad[max_inputs];
    void* hess;
    const void* params;
    double scale;       // multiplies grad and hess
    std::size_t packs;  // even
    bool
        stream;  // grad and hess are aligned to 64 bytes: write them past the caches (kernels of floats only)
    // Of kernels of wide_float: which inputs hold float32, and whether grad and hess do.
    unsigned float_inputs;
    bool float_results;
};
using block_kernel = void (*)(const kernel_call&);

enum kernel_outputs { want_value, want_value_grad, want_grad_hess, kernel_output_sets };
enum kernel_arithmetic { in_float, in_double, in_extended, kernel_arithmetics };

struct kernel_entry {
    block_kernel run[kernel_arithmetics][kernel_output_sets];
    bool widens;  // those in_double compute in wide_float
};

// What one ISA level offers this family.
struct elementwise_table {
    const kernel_entry* losses;
    sum (*process_float)(const elementwise_job&, block_kernel, std::int64_t begin, std::int64_t end);
    sum (*process_double)(const elementwise_job&, block_kernel, std::int64_t begin, std::int64_t end);
    weight_sum (*weights)(const elementwise_job&, std::int64_t begin, std::int64_t end);
};

}  // namespace fusedloss
