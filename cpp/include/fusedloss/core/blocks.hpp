// Long work cut into blocks that depend on its length alone, run over threads and summed in order.
#pragma once

#include "parallel.hpp"
#include "reduction.hpp"

FUSEDLOSS_BEGIN

// Blocks depend on the length alone: at least `min_block` elements, at most `max_blocks` of them.
constexpr std::int64_t min_block = 8192;
constexpr int max_blocks = 1024;
// Waking threads costs some microseconds, and far more where another process competes for the cores.
constexpr std::int64_t serial_below = 4 * min_block;

struct partition {
    std::int64_t count, block;
    int blocks;
};
inline partition partition_of(std::int64_t count) {
    std::int64_t block = (count + max_blocks - 1) / max_blocks;
    block = block < min_block ? min_block : (block + min_block - 1) / min_block * min_block;
    return {count, block, int((count + block - 1) / block)};
}

// Runs part(begin, end) -> sum over the blocks of a job, in any number of threads, and combines the
// partial sums in order.
template <class Part>
sum for_each_block(std::int64_t count, int threads, const Part& part) {
    const partition p = partition_of(count);
    sum total{0.0, 0.0};
    if (p.blocks == 1) return settled(part(0, count));
    sum partial[max_blocks];
    parallel_for(p.blocks, count < serial_below ? 1 : threads, [&](std::int64_t b) {
        const std::int64_t begin = b * p.block, end = begin + p.block < count ? begin + p.block : count;
        partial[b] = part(begin, end);
    });
    for (int b = 0; b < p.blocks; ++b) add_to(total, partial[b]);
    return settled(total);
}

FUSEDLOSS_END
