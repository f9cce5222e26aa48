// What all ways of running jobs on overlaps of masks share.
#pragma once

#include <vector>

#include "fusedloss/core/blocks.hpp"
#include "fusedloss/core/views.hpp"
#include "fusedloss/runtime.hpp"
#include "scratch.hpp"
#include "tables.hpp"

namespace fusedloss {
namespace runtime {

// For losses of sorted errors.
sum run_lovasz(int loss, const overlap_job& job, int threads);

inline void prepare(overlap_job& job) {
    rows_job& rows = job.rows;
    strided* arrays[5];
    int n = 0;
    const auto add = [&](strided& a) {
        if (a.data) arrays[n++] = &a;
    };
    add(job.in[0].rows);
    add(job.grad[0].rows);
    add(job.mask.rows);
    add(job.position_weight.rows);
    add(rows.label);
    coalesce(rows.dims, rows.shape, arrays, n);
    rows.stream = false;
    if (job.grad[0].rows.data) {
        const std::int64_t size = item_size(job.grad[0].rows.type);
        rows.stream = std::size_t(rows.count * rows.classes * size) > last_level_cache();
    }
}

// How the positions of a group are cut into blocks: by their number and that of the classes alone.
inline partition positions_of(const overlap_job& job) {
    constexpr std::int64_t least = 1024, numbers = 2 * min_block;
    const std::int64_t count = job.groups ? job.rows.count / job.groups : 0;
    std::int64_t block = (count + max_blocks - 1) / max_blocks;
    if (block < least) block = least;
    while (block * job.rows.classes < numbers) block *= 2;
    block = (block + panel_rows - 1) / panel_rows * panel_rows;
    return {count, block, int((count + block - 1) / block)};
}

// One number per value: the product of the weights.
inline std::vector<double> weights_of(const overlap_job& job) {
    constexpr int chunk = chunk_bytes / int(sizeof(double));
    std::vector<double> product(std::size_t(job.count), 1.0);
    double own[chunk];
    for (int k = 0; k < job.weights; ++k)
        for (std::int64_t at = 0; at < job.count; at += chunk) {
            const int n = job.count - at < chunk ? int(job.count - at) : chunk;
            for_each_run(job.dims, job.shape, job.weight[k], at, n,
                         [&](const char* p, std::int64_t stride, int offset, int run) {
                             gather_run(job.weight[k].type, own + offset, p, stride, run);
                         });
            for (int i = 0; i < n; ++i) product[std::size_t(at + i)] *= own[i];
        }
    return product;
}

inline void store_value(const overlap_job& job, std::int64_t index, double value) {
    if (!job.value.data) return;
    for_each_run(job.dims, job.shape, job.value, index, 1,
                 [&](char* p, std::int64_t, int, int) { convert_out(job.value.type, p, &value, 1); });
}

class scratch_by_thread {
  public:
    scratch_by_thread(std::size_t bytes, int threads)
        : each_((bytes + 63) / 64 * 64), memory_(each_ * std::size_t(threads)) {}
    void* of(int thread) const { return memory_.data() + each_ * std::size_t(thread); }

  private:
    const std::size_t each_;
    const scratch memory_;
};

// Runs f(thread, item); each thread takes a stretch of the items.
template <class F>
void for_each_share(std::int64_t items, int threads, const F& f) {
    const int used = items < threads ? int(items) : threads;
    parallel_for(used, used, [&](std::int64_t t) {
        for (std::int64_t i = items * t / used; i < items * (t + 1) / used; ++i) f(int(t), i);
    });
}

}  // namespace runtime
}  // namespace fusedloss
