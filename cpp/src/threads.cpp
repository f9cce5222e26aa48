// How many threads a call uses when it does not say.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fusedloss/core/parallel.hpp"
#include "fusedloss/runtime.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace fusedloss {
namespace runtime {
namespace {

int chosen_threads = 0;

// cpu.max of one cgroup v2 directory: "quota period" or "max period", in microseconds.
int quota_of(const char* path) {
    std::FILE* file = std::fopen(path, "r");
    if (!file) return 0;
    double quota = 0, period = 0;
    const int read = std::fscanf(file, "%lf %lf", &quota, &period);
    std::fclose(file);
    return read == 2 && quota > 0 && period > 0 ? int(std::ceil(quota / period)) : 0;
}

int smaller(int a, int b) { return a == 0 ? b : b == 0 ? a : a < b ? a : b; }

// The tightest quota on the way from this process's group up to the root.
int read_cgroup_limit() {
    int limit = 0;
#if defined(__linux__)
    if (std::FILE* file = std::fopen("/proc/self/cgroup", "r")) {
        char line[4096];
        while (std::fgets(line, sizeof line, file)) {
            if (std::strncmp(line, "0::", 3) != 0) continue;
            char group[4096];
            std::snprintf(group, sizeof group, "%s", line + 3);
            group[std::strcspn(group, "\n")] = '\0';
            for (;;) {
                char path[4200];
                std::snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max",
                              std::strcmp(group, "/") ? group : "");
                limit = smaller(limit, quota_of(path));
                char* slash = std::strrchr(group, '/');
                if (!slash || group[0] == '\0') break;
                *slash = '\0';
            }
        }
        std::fclose(file);
    }
    double quota = 0, period = 0;
    if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) {
        if (std::fscanf(file, "%lf", &quota) != 1) quota = 0;
        std::fclose(file);
    }
    if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r")) {
        if (std::fscanf(file, "%lf", &period) != 1) period = 0;
        std::fclose(file);
    }
    if (quota > 0 && period > 0) limit = smaller(limit, int(std::ceil(quota / period)));
#endif
    return limit;
}

int affinity() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return 0;
}

}  // namespace

int cgroup_cpu_limit() {
    static const int limit = read_cgroup_limit();
    return limit;
}

int default_threads() {
    const int chosen = __atomic_load_n(&chosen_threads, __ATOMIC_RELAXED);
    if (chosen > 0) return chosen;
    const int openmp = openmp_threads();
    if (std::getenv("OMP_NUM_THREADS")) return openmp;
    return smaller(openmp, smaller(affinity(), cgroup_cpu_limit()));
}

void set_threads(int n) { __atomic_store_n(&chosen_threads, n, __ATOMIC_RELAXED); }

void watch_forks() { FUSEDLOSS_TAG::watch_forks(); }

const char* openmp_name() {
#if defined(_OPENMP)
    return "OpenMP " FUSEDLOSS_STR(_OPENMP);
#else
    return "none";
#endif
}

}  // namespace runtime
}  // namespace fusedloss
