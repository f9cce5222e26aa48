// Chooses a kernel table by what the CPU can do, prepares jobs and runs them over threads. Compiled
// for the baseline: nothing here may need more than that.
#include <unistd.h>

#include <cstring>

#include "fusedloss/core/turned_rows.hpp"
#include "fusedloss/core/views.hpp"
#include "fusedloss/runtime.hpp"
#include "row_jobs.hpp"
#include "scratch.hpp"
#include "tables.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fusedloss {
namespace runtime {
namespace {

struct level {
    const kernel_table* table;
    bool (*supported)();
};

#if defined(__x86_64__)
bool has_v3() {
    unsigned a, b, c, d;
    // __builtin_cpu_supports also asks whether the operating system saves the registers; it does not
    // know f16c everywhere.
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("fma");
}
bool has_v4() {
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
}
#endif
[[maybe_unused]] bool always() { return true; }

constexpr level levels[] = {
#if defined(__x86_64__)
#if defined(FUSEDLOSS_HAS_v4)
    {&table_v4, has_v4},
#endif
#if defined(FUSEDLOSS_HAS_v3)
    {&table_v3, has_v3},
#endif
#if defined(FUSEDLOSS_HAS_v1)
    {&table_v1, always},
#endif
#elif defined(__aarch64__)
    {&table_neon, always},
#else
    {&table_generic, always},
#endif
};
constexpr int level_count = sizeof levels / sizeof levels[0];

const kernel_table* best_table() {
    for (const level& l : levels)
        if (l.supported()) return l.table;
    return nullptr;
}

const kernel_table* active_ = nullptr;
}  // namespace
const kernel_table& active() {
    const kernel_table* t = __atomic_load_n(&active_, __ATOMIC_ACQUIRE);
    if (!t) {
        t = best_table();
        __atomic_store_n(&active_, t, __ATOMIC_RELEASE);
    }
    return *t;
}

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
    const kernel_table& table = active();
    const auto& kernels = table.elementwise[loss].run;
    kernel_arithmetic arithmetic = in_double;
    if (job.in_floats && kernels[in_float][want_value]) arithmetic = in_float;
    if (!job.single && kernels[in_extended][want_value]) arithmetic = in_extended;
    const auto process_part = arithmetic == in_float ? table.elementwise_float : table.elementwise_double;

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
    const kernel_table& table = active();
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

sum run_rows(int loss, rows_job& job, int threads) {
    if (job.count == 0 || job.classes == 0) return {0.0, 0.0};
    const kernel_table& table = active();
    const row_loss_info& info = row_loss_at(loss);
    int first_general = 0;
    while (first_general < row_loss_count() && row_loss_at(first_general).softmax) ++first_general;
    const softmax_options& o = job.softmax;
    const bool transformed = o.scale != 1.0 || o.softcap != 0.0 || job.class_offset || job.class_margin;
    const bool in_floats = job.in_floats && !info.traits.wide && !transformed;

    prepare(job);
    job.weighs_labels = info.traits.extra_labels == 0;  // else they are no classes of the scores
    job.stream = worth_streaming(job);
    const partition p = row_partition(job.count, job.classes);
    threads = useful_threads(p, job.count * job.classes, threads);
    const row_scratch layout(job, p, info.softmax ? table.softmax_workspace(job) : table.rows_workspace(job));
    const scratch memory(layout.each * std::size_t(threads));
    const auto process = [&](const rows_job& seen, std::int64_t begin, std::int64_t end, char* own) {
        if (!info.softmax) return table.rows_process(seen, table.rows[loss - first_general], begin, end, own);
        const softmax_entry& kernels = table.softmax[loss];
        return (in_floats ? table.softmax_float : table.softmax_double)(
            seen, job.single ? kernels.in_double : kernels.in_extended, begin, end, own);
    };
    return sum_row_blocks(job, p, threads, layout, memory.data(), process);
}

label_report check_labels(const rows_job& job, std::int64_t valid_labels, int threads) {
    const kernel_table& table = active();
    return check_row_blocks(job.count, threads, [&](std::int64_t begin, std::int64_t end) {
        return table.labels(job, valid_labels, begin, end);
    });
}

int isa_count() { return level_count; }
const char* isa_name(int index) { return levels[index].table->isa; }
bool isa_supported(int index) { return levels[index].supported(); }
const char* active_isa() { return active().isa; }
bool set_isa(const char* name) {
    for (const level& l : levels)
        if (std::strcmp(l.table->isa, name) == 0 && l.supported()) {
            __atomic_store_n(&active_, l.table, __ATOMIC_RELEASE);
            return true;
        }
    return false;
}

// Large machines, and virtual ones above all, report caches of which one process sees a small part.
std::size_t last_level_cache() {
    constexpr long most = 32L << 20;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (bytes > 0 && bytes < most) return std::size_t(bytes);
#endif
    return std::size_t(most);
}

const char* compiler() { return "" FUSEDLOSS_COMPILER; }

}  // namespace runtime
}  // namespace fusedloss
