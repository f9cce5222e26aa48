// Prepares jobs on overlaps of masks and runs them over threads. Compiled for the baseline.
#include "overlap_parts.hpp"

namespace fusedloss {
namespace runtime {
namespace {

constexpr int results = overlap_slots + 1;
// Scores of as many groups as this are added up before the gradient of the first is written, so that it finds
// them in the last-level cache.
constexpr std::int64_t wave_bytes = 8 << 20;

class overlap_run {
  public:
    overlap_run(int loss, const overlap_job& j, int n_threads)
        : job(j),
          table(*active().overlap),
          formula(table.formulas[loss]),
          grouped(overlap_loss_at(loss).traits.grouped),
          arithmetic(job.single ? 0 : 1),
          classes(job.rows.classes),
          entries(grouped ? 1 : classes - job.first_class),
          part(positions_of(job)),
          threads(job.rows.count * classes < serial_below ? 1 : n_threads),
          memory(table.workspace[arithmetic](job), threads),
          weight(weights_of(job)) {}

    sum run() {
        const std::int64_t item = job.single ? 4 : 8;
        std::int64_t wave = wave_bytes / (part.count * classes * item + 1);
        wave = wave < 1 ? 1 : wave > job.groups ? job.groups : wave;
        sum total{0.0, 0.0};
        for (std::int64_t first = 0; first < job.groups; first += wave) {
            const std::int64_t n = job.groups - first < wave ? job.groups - first : wave;
            pitch = (n + row_unit - 1) / row_unit * row_unit;
            add_up(first, n);
            evaluate();
            for (std::int64_t g = 0; g < n; ++g)
                for (std::int64_t e = 0; e < entries; ++e) put(first + g, g, e, total);
            if (job.grad[0].rows.data) differentiate(first, n);
        }
        return settled(total);
    }

  private:
    static constexpr std::int64_t row_unit = 16;  // groups side by side

    // Runs f(group of the wave, block, begin, end, scratch).
    template <class F>
    void for_each_block_of(std::int64_t first, std::int64_t n, const F& f) const {
        for_each_share(n * part.blocks, threads, [&](int thread, std::int64_t b) {
            const std::int64_t group = b / part.blocks, start = (first + group) * part.count;
            const std::int64_t begin = b % part.blocks * part.block, end = begin + part.block;
            f(group, b, start + begin, start + (end < part.count ? end : part.count), memory.of(thread));
        });
    }

    void add_up(std::int64_t first, std::int64_t n) {
        const std::size_t one = std::size_t(classes * results);
        std::vector<sum> partial(one * std::size_t(n * part.blocks));
        for_each_block_of(
            first, n, [&](std::int64_t, std::int64_t b, std::int64_t begin, std::int64_t end, void* scratch) {
                table.add[arithmetic](job, begin, end, scratch, &partial[one * std::size_t(b)]);
            });
        sums.assign(one * std::size_t(pitch), 0.0);
        for (std::int64_t g = 0; g < n; ++g)
            for (std::int64_t j = 0; j < classes; ++j)
                for (int slot = 0; slot < results; ++slot) {
                    sum s{0.0, 0.0};
                    for (std::int64_t b = 0; b < part.blocks; ++b)
                        add_to(s, partial[one * std::size_t(g * part.blocks + b) +
                                          std::size_t(j * results + slot)]);
                    sums[place(slot, j, g)] = rounded(s);
                }
    }

    void evaluate() {
        values.assign(std::size_t(pitch * classes), 0.0);
        slopes.assign(sums.size(), 0.0);
        overlap_block block;
        block.classes = classes;
        block.first_class = job.first_class;
        block.pitch = pitch;
        block.sums = sums.data();
        block.count = sums.data() + place(overlap_slots, 0, 0);
        block.class_weight = job.class_weight;
        block.absent_is_zero = job.absent_is_zero;
        block.value = values.data();
        block.slope = slopes.data();
        formula(job.params, block);
    }

    void put(std::int64_t group, std::int64_t g, std::int64_t entry, sum& total) {
        const std::int64_t index = group * entries + entry;
        const double w = weight[std::size_t(index)];
        const double x = values[std::size_t((grouped ? 0 : job.first_class + entry) * pitch + g)];
        const double value = w == 0.0 ? 0.0 : w * x;
        if (job.total) add_to(total, value * job.total_scale);
        store_value(job, index, value);
    }

    void differentiate(std::int64_t first, std::int64_t n) const {
        std::vector<double> own(std::size_t(n * classes * overlap_slots), 0.0);
        for (std::int64_t g = 0; g < n; ++g)
            for (std::int64_t j = grouped ? 0 : job.first_class; j < classes; ++j) {
                const double w =
                    weight[std::size_t((first + g) * entries + (grouped ? 0 : j - job.first_class))];
                const double scale = w * job.grad_scale;
                for (int slot = 0; slot < overlap_slots; ++slot)
                    own[std::size_t((g * classes + j) * overlap_slots + slot)] =
                        scale == 0.0 ? 0.0 : scale * slopes[place(slot, j, g)];
            }
        for_each_block_of(
            first, n, [&](std::int64_t g, std::int64_t, std::int64_t begin, std::int64_t end, void* scratch) {
                table.differentiate[arithmetic](job, begin, end, scratch,
                                                &own[std::size_t(g * classes * overlap_slots)]);
            });
    }

    std::size_t place(int slot, std::int64_t j, std::int64_t g) const {
        return std::size_t((slot * classes + j) * pitch + g);
    }

    const overlap_job& job;
    const overlap_table& table;
    const overlap_formula formula;
    const bool grouped;
    const int arithmetic;
    const std::int64_t classes, entries;
    const partition part;
    const int threads;
    const scratch_by_thread memory;
    const std::vector<double> weight;
    std::int64_t pitch = 0;
    std::vector<double> sums, values, slopes;
};

}  // namespace

sum run_overlap(int loss, overlap_job& job, int threads) {
    if (job.groups == 0) return {0.0, 0.0};
    const bool sorted = overlap_loss_at(loss).traits.sorted;
    job.keeps = !sorted && job.grad[0].rows.data;
    if (sorted) return run_lovasz(loss, job, threads);
    prepare(job);
    return overlap_run(loss, job, threads).run();
}

}  // namespace runtime
}  // namespace fusedloss
