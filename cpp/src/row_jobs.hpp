// Jobs on rows, prepared. Compiled for the baseline.
#pragma once

#include "fusedloss/core/row_blocks.hpp"
#include "fusedloss/core/views.hpp"
#include "fusedloss/runtime.hpp"

namespace fusedloss {
namespace runtime {

inline void prepare(rows_job& job) {
    strided* arrays[2 * max_row_inputs + max_weights + 5];
    int n = 0;
    const auto add = [&](strided& a) {
        if (a.data) arrays[n++] = &a;
    };
    for (int k = 0; k < job.inputs; ++k) add(job.in[k].rows);
    for (class_array& g : job.grad) add(g.rows);
    for (int k = 0; k < job.weights; ++k) add(job.weight[k]);
    add(job.label);
    add(job.value);
    add(job.hess.rows);
    add(job.log_sum_exp);
    add(job.argmax);
    coalesce(job.dims, job.shape, arrays, n);
}

inline bool worth_streaming(const rows_job& job) {
    std::size_t bytes = 0;
    const auto add = [&](const class_array& a) {
        if (a.rows.data)
            bytes += std::size_t(job.count) * std::size_t(job.classes) * std::size_t(item_size(a.rows.type));
    };
    add(job.hess);
    for (const class_array& g : job.grad) add(g);
    return bytes > last_level_cache();
}

}  // namespace runtime
}  // namespace fusedloss
