// Rows of class scores cut into blocks that depend on their number and their classes alone, run over threads
// and summed in order.
#pragma once

#include "blocks.hpp"
#include "rows_job.hpp"

FUSEDLOSS_BEGIN

// Whole panels of rows.
inline partition row_partition(std::int64_t count, std::int64_t classes) {
    std::int64_t block = (count + max_blocks - 1) / max_blocks;
    // A power of two, so that parts of min_block rows have the blocks that they have in the whole.
    std::int64_t least = 1;
    while (least * classes < min_block) least *= 2;
    if (block < least) block = least;
    if (block > 1) block = (block + panel_rows - 1) / panel_rows * panel_rows;
    return {count, block, int((count + block - 1) / block)};
}

// As many of the threads as are of use.
inline int useful_threads(const partition& p, std::int64_t numbers, int threads) {
    if (numbers < serial_below) return 1;
    return threads < p.blocks ? threads : p.blocks;
}

// Runs part(thread, block, begin, end) over the blocks; each thread takes a stretch of them.
template <class Part>
void for_each_row_block(const partition& p, int threads, const Part& part) {
    parallel_for(threads, threads, [&](std::int64_t t) {
        for (std::int64_t b = p.blocks * t / threads; b < p.blocks * (t + 1) / threads; ++b) {
            const std::int64_t begin = b * p.block,
                               end = begin + p.block < p.count ? begin + p.block : p.count;
            part(int(t), int(b), begin, end);
        }
    });
}

// The bytes of scratch of a thread, whole cache lines.
inline std::size_t own_scratch(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// The sum of process(begin, end, scratch) over the blocks, where each thread has `bytes` of the scratch.
template <class Process>
sum sum_row_blocks(const partition& p, int threads, char* scratch, std::size_t bytes,
                   const Process& process) {
    sum partial[max_blocks];
    for_each_row_block(p, threads, [&](int thread, int b, std::int64_t begin, std::int64_t end) {
        partial[b] = process(begin, end, scratch + own_scratch(bytes) * std::size_t(thread));
    });
    sum total{0.0, 0.0};
    for (int b = 0; b < p.blocks; ++b) add_to(total, partial[b]);
    return settled(total);
}

// What check(begin, end) -> label_report finds in all rows.
template <class Check>
label_report check_row_blocks(std::int64_t count, int threads, const Check& check) {
    label_report all{-1, 0, 0, {0.0, 0.0}, -1};
    if (count == 0) return all;
    const partition p = partition_of(count);
    label_report partial[max_blocks];
    for_each_row_block(
        p, useful_threads(p, count, threads),
        [&](int, int b, std::int64_t begin, std::int64_t end) { partial[b] = check(begin, end); });
    for (int b = 0; b < p.blocks; ++b) {
        const label_report& r = partial[b];
        if (all.first_bad < 0 && r.first_bad >= 0) all.first_bad = r.first_bad, all.bad_label = r.bad_label;
        if (all.first_bad_weight < 0) all.first_bad_weight = r.first_bad_weight;
        all.valid += r.valid;
        add_to(all.weight, r.weight);
    }
    return all;
}

FUSEDLOSS_END
