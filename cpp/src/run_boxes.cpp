// Prepares jobs on boxes and runs them over threads. Compiled for the baseline.
#include "row_jobs.hpp"
#include "scratch.hpp"
#include "tables.hpp"

namespace fusedloss {
namespace runtime {

sum run_boxes(int loss, rows_job& job, int threads) {
    if (job.count == 0) return {0.0, 0.0};
    const boxes_table& table = *active().boxes;
    prepare(job);
    job.stream = worth_streaming(job);
    const partition p = row_partition(job.count, job.classes);
    return sum_row_blocks(p, useful_threads(p, job.count * job.classes, threads), nullptr, 0,
                          [&](std::int64_t begin, std::int64_t end, char*) {
                              return table.process(job, table.losses[loss], begin, end);
                          });
}

void run_box_matrix(box_matrix_job& job, int threads) {
    const boxes_table& table = *active().boxes;
    const std::int64_t height = job.side[0].count, width = job.side[1].count;
    const std::int64_t pitch = (width + panel_rows - 1) / panel_rows * panel_rows;
    const scratch memory(std::size_t(pitch) * 4 * sizeof(double));
    double* const columns = reinterpret_cast<double*>(memory.data());
    const bool far = table.columns(job, 1, 0, width, columns, pitch);
    job.stream = std::size_t(height * width) * std::size_t(item_size(job.type)) > last_level_cache();
    const partition p = row_partition(height, width);
    for_each_row_block(p, useful_threads(p, height * width, threads),
                       [&](int, int, std::int64_t begin, std::int64_t end) {
                           table.matrix(job, columns, pitch, far, begin, end);
                       });
}

}  // namespace runtime
}  // namespace fusedloss
