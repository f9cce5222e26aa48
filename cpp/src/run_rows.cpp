// Runs jobs on rows of class scores over threads. Compiled for the baseline.
#include "fusedloss/core/turned_rows.hpp"
#include "fusedloss/runtime.hpp"
#include "row_jobs.hpp"
#include "scratch.hpp"
#include "tables.hpp"

namespace fusedloss {
namespace runtime {

sum run_rows(int loss, rows_job& job, int threads) {
    if (job.count == 0 || job.classes == 0) return {0.0, 0.0};
    const softmax_table& softmax = *active().softmax;
    const rows_table& general = *active().rows;
    const row_loss_info& info = row_loss_at(loss);
    int first_general = 0;
    while (first_general < row_loss_count() && row_loss_at(first_general).softmax) ++first_general;
    const softmax_options& o = job.softmax;
    const bool transformed = o.scale != 1.0 || o.softcap != 0.0 || job.class_offset || job.class_margin;
    const bool in_floats = job.in_floats && !info.traits.wide && !transformed;

    // Where nothing but derivatives is wanted, only differences of scores count.
    const bool derivatives = !job.total && !job.value.data && !job.log_sum_exp.data && o.z_loss == 0.0;
    job.narrowed = info.softmax && job.single && derivatives && job.inputs == 1 && !info.traits.wide &&
                   !transformed && o.label_smoothing == 0.0 && job.in[0].rows.type == dtype::float64 &&
                   job.classes <= most_columns;

    prepare(job);
    job.weighs_labels = info.traits.extra_labels == 0;  // else they are no classes of the scores
    job.stream = worth_streaming(job);
    const partition p = row_partition(job.count, job.classes);
    threads = useful_threads(p, job.count * job.classes, threads);
    const row_scratch layout(job, p, info.softmax ? softmax.workspace(job) : general.workspace(job));
    const scratch memory(layout.each * std::size_t(threads));
    const auto process = [&](const rows_job& seen, std::int64_t begin, std::int64_t end, char* own) {
        if (!info.softmax)
            return general.process(seen, general.losses[loss - first_general], begin, end, own);
        const softmax_entry& kernels = softmax.losses[loss];
        return (in_floats || job.narrowed ? softmax.process_float : softmax.process_double)(
            seen, job.single ? kernels.in_double : kernels.in_extended, begin, end, own);
    };
    return sum_row_blocks(job, p, threads, layout, memory.data(), process);
}

label_report check_labels(const rows_job& job, std::int64_t valid_labels, int threads) {
    const rows_table& table = *active().rows;
    return check_row_blocks(job.count, threads, [&](std::int64_t begin, std::int64_t end) {
        return table.labels(job, valid_labels, begin, end);
    });
}

}  // namespace runtime
}  // namespace fusedloss
