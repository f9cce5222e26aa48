// Prepares jobs on rows of paired vectors and runs them over threads. Compiled for the baseline.
#include <cstring>

#include "fusedloss/core/row_blocks.hpp"
#include "fusedloss/core/views.hpp"
#include "fusedloss/families/row_staging.hpp"
#include "fusedloss/runtime.hpp"
#include "scratch.hpp"
#include "tables.hpp"

namespace fusedloss {
namespace runtime {
namespace {

void prepare(pairs_job& job) {
    strided* arrays[2 * max_inputs + max_weights + 2];
    int n = 0;
    const auto add = [&](strided& a) {
        if (a.data) arrays[n++] = &a;
    };
    // With labels the second vectors are rows of their own.
    for (int k = 0; k < job.inputs; ++k)
        if (!(k == 1 && job.label.data)) add(job.in[k].rows);
    for (class_array& g : job.grad) add(g.rows);
    for (int k = 0; k < job.weights; ++k) add(job.weight[k]);
    add(job.label);
    add(job.value);
    coalesce(job.dims, job.shape, arrays, n);
}

bool worth_streaming(const pairs_job& job, const pairs_traits& traits) {
    std::size_t bytes = 0;
    for (int v = 0; v < traits.vectors; ++v)
        if (job.grad[v].rows.data)
            bytes += std::size_t(job.count) * std::size_t(job.classes) *
                     std::size_t(item_size(job.grad[v].rows.type));
    return bytes > last_level_cache();
}

}  // namespace

sum run_pairs(int loss, pairs_job& job, int threads) {
    if (job.count == 0) return {0.0, 0.0};
    const pairs_table& table = *active().pairs;
    const pairs_traits& traits = pair_loss_at(loss).traits;
    prepare(job);
    job.stream = worth_streaming(job, traits);
    const partition p = row_partition(job.count, job.classes);
    threads = useful_threads(p, job.count * job.classes, threads);
    const std::size_t bytes = table.workspace(job, traits);
    const scratch memory(own_scratch(bytes) * std::size_t(threads));
    return sum_row_blocks(p, threads, memory.data(), bytes,
                          [&](std::int64_t begin, std::int64_t end, char* own) {
                              return table.process(job, traits, table.losses[loss], begin, end, own);
                          });
}

// Rows are sorted by their label, so that each result is one sum in the order of the rows.
void scatter_pull(const pairs_job& job, std::int64_t rows, const class_array& out, int threads) {
    const pairs_table& table = *active().pairs;
    const scratch memory(std::size_t(rows + 1 + 2 * job.count) * sizeof(std::int64_t));
    std::int64_t* const begin = reinterpret_cast<std::int64_t*>(memory.data());
    std::int64_t *const order = begin + rows + 1, *const label = order + job.count;
    for (std::int64_t at = 0; at < job.count; at += panel_rows) {
        double numbers[panel_rows];
        const int n = job.count - at < panel_rows ? int(job.count - at) : panel_rows;
        gather_values(job, job.label, at, n, numbers);
        for (int r = 0; r < n; ++r) label[at + r] = std::int64_t(numbers[r]);
    }
    for (std::int64_t k = 0; k <= rows; ++k) begin[k] = 0;
    for (std::int64_t i = 0; i < job.count; ++i) ++begin[label[i] + 1];
    for (std::int64_t k = 0; k < rows; ++k) begin[k + 1] += begin[k];
    for (std::int64_t i = 0; i < job.count; ++i) order[begin[label[i]]++] = i;
    // Now begin[k] is where row k ends.
    if (job.count * job.classes < serial_below) threads = 1;
    parallel_for(rows, threads, [&](std::int64_t k) {
        const std::int64_t first = k > 0 ? begin[k - 1] : 0;
        table.pull_together(job, order + first, begin[k] - first, k, out);
    });
}

// Blocks of the positive scores, their number being independent of the threads, have sums of their own.
double run_score_pairs(const score_pairs& s, std::int64_t positives, double* negative_grad, int threads) {
    constexpr int most = 16;
    const int blocks = positives < most ? int(positives) : most;
    const scratch memory(negative_grad ? std::size_t(blocks * s.negatives) * sizeof(double) : 0);
    double* const grads = reinterpret_cast<double*>(memory.data());
    if (negative_grad) std::memset(grads, 0, std::size_t(blocks * s.negatives) * sizeof(double));
    double partial[most];
    parallel_for(blocks, positives * s.negatives < serial_below ? 1 : threads, [&](std::int64_t b) {
        partial[b] = active().pairs->compare_scores(s, positives * b / blocks, positives * (b + 1) / blocks,
                                                    negative_grad ? grads + b * s.negatives : nullptr);
    });
    sum total{0.0, 0.0};
    for (int b = 0; b < blocks; ++b) add_to(total, partial[b]);
    for (std::int64_t j = 0; negative_grad && j < s.negatives; ++j) {
        negative_grad[j] = 0.0;
        for (int b = 0; b < blocks; ++b) negative_grad[j] += grads[b * s.negatives + j];
    }
    return rounded(total);
}

}  // namespace runtime
}  // namespace fusedloss
