// The compiled library: every loss by name, at the best ISA level the machine has, chosen at run time.
// Plain functions and data, so that callers may be compiled with any flags.
#pragma once

#include <cstddef>

#include "core/job.hpp"

namespace fusedloss {
namespace runtime {

struct loss_info {
    const char* name;
    const char* inputs;  // space-separated argument names, in order
    const char* params;  // space-separated parameter names: the loss struct is that many doubles
    elementwise_traits traits;
};

int loss_count();
const loss_info& loss_at(int index);
int find_loss(const char* name);  // -1 if there is none

// Runs a validated job. The job's dims, strides and weights are prepared here; `total` is returned.
// Gradients and Hessian are multiplied by job.grad_scale.
sum run(int loss, elementwise_job& job, int threads);

// The sum of the product of the job's weights over its shape, and the first bad one.
weight_sum sum_weights(elementwise_job& job, int threads);

// ISA levels, best first. set_isa returns false for a level that is unknown or that this CPU lacks.
int isa_count();
const char* isa_name(int index);
bool isa_supported(int index);
const char* active_isa();
bool set_isa(const char* name);

// Threads: what was set with set_threads, else OMP_NUM_THREADS, else as many as OpenMP, the CPU
// affinity and the cgroup quota all allow.
int default_threads();
void set_threads(int n);  // 0: back to the default
int cgroup_cpu_limit();   // 0 if there is none
const char* openmp_name();
void watch_forks();  // from here on a forked child runs on one thread; parallel calls do this by themselves

std::size_t last_level_cache();
const char* compiler();

}  // namespace runtime
}  // namespace fusedloss
