// Chooses kernels by what the CPU can do. Compiled for the baseline: nothing here may need more than that.
#include <unistd.h>

#include <cstring>

#include "fusedloss/runtime.hpp"
#include "tables.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fusedloss {
namespace runtime {
namespace {

struct level {
    kernel_table table;
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

#define FUSEDLOSS_TABLE_ADDRESS(family, level) &family##_##level,
#define FUSEDLOSS_LEVEL(level) {#level, FUSEDLOSS_FAMILIES(FUSEDLOSS_TABLE_ADDRESS, level)}
constexpr level levels[] = {
#if defined(__x86_64__)
#if defined(FUSEDLOSS_HAS_v4)
    {FUSEDLOSS_LEVEL(v4), has_v4},
#endif
#if defined(FUSEDLOSS_HAS_v3)
    {FUSEDLOSS_LEVEL(v3), has_v3},
#endif
#if defined(FUSEDLOSS_HAS_v1)
    {FUSEDLOSS_LEVEL(v1), always},
#endif
#elif defined(__aarch64__)
    {FUSEDLOSS_LEVEL(neon), always},
#else
    {FUSEDLOSS_LEVEL(generic), always},
#endif
};
#undef FUSEDLOSS_LEVEL
#undef FUSEDLOSS_TABLE_ADDRESS
constexpr int level_count = sizeof levels / sizeof levels[0];

const kernel_table* best_table() {
    for (const level& l : levels)
        if (l.supported()) return &l.table;
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

int isa_count() { return level_count; }
const char* isa_name(int index) { return levels[index].table.isa; }
bool isa_supported(int index) { return levels[index].supported(); }
const char* active_isa() { return active().isa; }
bool set_isa(const char* name) {
    for (const level& l : levels)
        if (std::strcmp(l.table.isa, name) == 0 && l.supported()) {
            __atomic_store_n(&active_, &l.table, __ATOMIC_RELEASE);
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
