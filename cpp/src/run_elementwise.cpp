// Prepares elementwise jobs and runs them over threads. Compiled for the baseline.
#include "fusedloss/core/blocks.hpp"
#include "fusedloss/core/views.hpp"
#include "fusedloss/runtime.hpp"
#include "tables.hpp"

namespace fusedloss {
namespace runtime {
namespace {

// Merges dimensions over every array the job touches.
void prepare(elementwise_job& job) {
    strided* arrays[2 * max_inputs + max_weights + 2];
    int n = 0;
    const auto add = [&](strided& a) {
        if (a.data) arrays[n++] = &a;
    };
    for (int k = 0; k < job.inputs; ++k) add(job.in[k]);
    for (int k = 0; k < job.inputs; ++k) add(job.grad[k]);
    for (int k = 0; k < job.weights; ++k) add(job.weight[k]);
    add(job.value);
    add(job.hess);
    coalesce(job.dims, job.shape, arrays, n);
}

// Outputs this large leave the caches before anyone reads them: write past the caches.
bool worth_streaming(const elementwise_job& job) {
    std::size_t bytes = 0;
    const auto add = [&](const strided& a) {
        if (a.data) bytes += std::size_t(job.count) * std::size_t(item_size(a.type));
    };
    add(job.value);
    add(job.hess);
    for (int k = 0; k < job.inputs; ++k) add(job.grad[k]);
    return bytes > last_level_cache();
}

}  // namespace

sum run(int loss, elementwise_job& job, int threads) {
    const elementwise_table& table = *active().elementwise;
    const auto& kernels = table.losses[loss].run;
    kernel_arithmetic arithmetic = in_double;
    if (job.in_floats && kernels[in_float][want_value]) arithmetic = in_float;
    if (!job.single && kernels[in_extended][want_value]) arithmetic = in_extended;
    job.widens = arithmetic == in_double && table.losses[loss].widens;
    const auto process_part = arithmetic == in_float ? table.process_float : table.process_double;

    bool gradient = false;
    for (int k = 0; k < job.inputs; ++k) gradient = gradient || job.grad[k].data;
    const kernel_outputs outputs = job.hess.data ? want_grad_hess : gradient ? want_value_grad : want_value;
    const block_kernel kernel = kernels[arithmetic][outputs];

    prepare(job);
    job.stream = worth_streaming(job);
    return for_each_block(job.count, threads, [&](std::int64_t begin, std::int64_t end) {
        return process_part(job, kernel, begin, end);
    });
}

weight_sum sum_weights(elementwise_job& job, int threads) {
    const elementwise_table& table = *active().elementwise;
    prepare(job);
    std::int64_t bad = -1;
    const sum total = for_each_block(job.count, threads, [&](std::int64_t begin, std::int64_t end) {
        const weight_sum part = table.weights(job, begin, end);
        std::int64_t seen = __atomic_load_n(&bad, __ATOMIC_RELAXED);
        while (part.first_bad >= 0 && (seen < 0 || part.first_bad < seen) &&
               !__atomic_compare_exchange_n(&bad, &seen, part.first_bad, false, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED)) {
        }
        return part.total;
    });
    return {total, bad};
}

}  // namespace runtime
}  // namespace fusedloss
