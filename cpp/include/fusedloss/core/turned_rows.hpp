// Rows that lie next to each other, their own classes apart, as those of [N, C, H, W]: long ones are turned
// into rows of their own before kernels go along them, a few at a time, and results are turned back. That
// changes the memory that kernels see and nothing of what they compute.
#pragma once

#include "row_blocks.hpp"
#include "views.hpp"

FUSEDLOSS_BEGIN

class row_turner {
  public:
    // For jobs that are worked on in blocks of so many rows.
    row_turner(const rows_job& job, std::int64_t block) {
        if (job.classes <= most_columns || job.count == 1) return;
        std::int64_t bytes = 0;  // of a row of each array that has to be turned
        int size = 1;            // of the largest of their numbers
        for (int i = 0; i < class_arrays; ++i) {
            const class_array* const a = array_of(job, i);
            if (!apart(job, a)) continue;
            bytes += row_bytes(job, *a);
            if (item_size(a->rows.type) > size) size = item_size(a->rows.type);
        }
        if (bytes == 0) return;
        // Whole blocks, and whole cache lines of rows as long as they are not too much memory.
        std::int64_t rows = line_bytes / size > block ? line_bytes / size / block * block : block;
        while (rows > block && rows * bytes > most_bytes) rows -= block;
        if (rows > 1 && rows * bytes <= most_bytes) rows_ = int(rows), bytes_ = std::size_t(rows * bytes);
    }

    int rows() const { return rows_; }  // at a time; 0: none are turned
    std::size_t bytes() const { return bytes_; }

    // Calls body(job) with rows [begin, begin + n) turned into `memory`.
    template <class Body>
    void turned(const rows_job& job, std::int64_t begin, int n, char* memory, const Body& body) const {
        rows_job own = job;
        own.stream = false;
        for (int i = 0; i < class_arrays; ++i) {
            const class_array* const from = array_of(job, i);
            if (!apart(job, from)) continue;
            class_array& to = const_cast<class_array&>(*array_of(own, i));
            std::int64_t stride = row_bytes(job, *from);
            to.rows.data = memory - begin * stride;  // as if all rows of the job lay there
            to.step = item_size(from->rows.type);
            memory += n * stride;
            for (int d = job.dims - 1; d >= 0; --d) {
                to.rows.stride[d] = stride;
                stride *= job.shape[d];
            }
            if (i < job.inputs) turn<true>(job, *from, to, begin, n);
        }
        body(own);
        for (int i = max_row_inputs; i < class_arrays; ++i)
            if (apart(job, array_of(job, i)))
                turn<false>(job, *array_of(job, i), *array_of(own, i), begin, n);
    }

  private:
    static constexpr int class_arrays = 2 * max_row_inputs + 1, line_bytes = 64, tile = 16;
    static constexpr std::int64_t most_bytes = std::int64_t(8) << 20;

    static const class_array* array_of(const rows_job& job, int i) {
        if (i < max_row_inputs) return i < job.inputs ? &job.in[i] : nullptr;
        return i < 2 * max_row_inputs ? &job.grad[i - max_row_inputs] : &job.hess;
    }
    static bool apart(const rows_job& job, const class_array* a) {
        if (!a || !a->rows.data || job.dims == 0) return false;
        const std::int64_t size = item_size(a->rows.type);
        return a->rows.stride[job.dims - 1] == size && (a->step > size || a->step < -size);
    }
    // An odd number of cache lines: neighbouring rows never compete for a place in a cache.
    static std::int64_t row_bytes(const rows_job& job, const class_array& a) {
        return (job.classes * item_size(a.rows.type) / line_bytes | 1) * line_bytes + 2 * line_bytes;
    }

    template <bool There>
    static void turn(const rows_job& job, const class_array& far, const class_array& near, std::int64_t begin,
                     int n) {
        const std::int64_t stride = near.rows.stride[job.dims - 1];
        char* const first = static_cast<char*>(near.rows.data) + begin * stride;
        for_each_run(job.dims, job.shape, far.rows, begin, n,
                     [&](char* p, std::int64_t, int offset, int run) {
                         char* const rows = first + offset * stride;
                         switch (item_size(far.rows.type)) {
                             case 1:
                                 turn_run<There, std::uint8_t>(p, far.step, rows, stride, run, job.classes);
                                 break;
                             case 2:
                                 turn_run<There, std::uint16_t>(p, far.step, rows, stride, run, job.classes);
                                 break;
                             case 4:
                                 turn_run<There, std::uint32_t>(p, far.step, rows, stride, run, job.classes);
                                 break;
                             default:
                                 turn_run<There, std::uint64_t>(p, far.step, rows, stride, run, job.classes);
                         }
                     });
    }
    template <bool There, class U>
    static void turn_run(char* far, std::int64_t step, char* rows, std::int64_t stride, int run,
                         std::int64_t classes) {
        for (int r = 0; r < run; r += tile) {
            const int n = run - r < tile ? run - r : tile;
            for (std::int64_t j = 0; j < classes; ++j) {
                char* p = far + j * step + r * std::int64_t(sizeof(U));
                char* q = rows + r * stride + j * std::int64_t(sizeof(U));
                for (int k = 0; k < n; ++k, p += sizeof(U), q += stride)
                    std::memcpy(There ? q : p, There ? p : q, sizeof(U));
            }
        }
    }

    int rows_ = 0;
    std::size_t bytes_ = 0;
};

// The scratch of the threads that work on a job: each has `bytes` for its kernel, and room for turned rows.
struct row_scratch {
    row_turner turner;
    std::size_t bytes, each;

    row_scratch(const rows_job& job, const partition& p, std::size_t kernel_bytes)
        : turner(job, p.block), bytes(own_scratch(kernel_bytes)), each(bytes + own_scratch(turner.bytes())) {}
};

// The sum of process(job, begin, end, scratch) over the blocks of a job whose rows are turned where they have
// to be, in the memory of `layout`.
template <class Process>
sum sum_row_blocks(const rows_job& job, const partition& p, int threads, const row_scratch& layout,
                   char* memory, const Process& process) {
    sum partial[max_blocks];
    const std::int64_t together = layout.turner.rows() / p.block;
    parallel_for(threads, threads, [&](std::int64_t t) {
        char* const own = memory + layout.each * std::size_t(t);
        const std::int64_t last = p.blocks * (t + 1) / threads;
        for (std::int64_t first = p.blocks * t / threads, after; first < last; first = after) {
            after = together == 0 ? last : first + together < last ? first + together : last;
            const std::int64_t end = after * p.block < p.count ? after * p.block : p.count;
            const auto run = [&](const rows_job& seen) {
                for (std::int64_t b = first; b < after; ++b)
                    partial[b] = process(seen, b * p.block, b + 1 < after ? (b + 1) * p.block : end, own);
            };
            if (together == 0)
                run(job);
            else
                layout.turner.turned(job, first * p.block, int(end - first * p.block), own + layout.bytes,
                                     run);
        }
    });
    sum total{0.0, 0.0};
    for (int b = 0; b < p.blocks; ++b) add_to(total, partial[b]);
    return settled(total);
}

FUSEDLOSS_END
