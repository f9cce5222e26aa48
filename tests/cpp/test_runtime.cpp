// The compiled library: every loss is found by name, levels can be forced, and all of them agree.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fusedloss/runtime.hpp>
#include <vector>

namespace rt = fusedloss::runtime;

int main() {
    int failures = 0;
    const auto check = [&](bool ok, const char* what) {
        if (!ok) std::printf("FAILED: %s\n", what), ++failures;
    };
    for (int i = 0; i < rt::loss_count(); ++i)
        check(rt::find_loss(rt::loss_at(i).name) == i, rt::loss_at(i).name);
    check(rt::find_loss("no such loss") == -1, "an unknown name");
    check(!rt::set_isa("v9"), "an unknown ISA level");

    const long n = 100003;
    std::vector<float> input(n), target(n), grad(n), first;
    for (long i = 0; i < n; ++i) input[i] = float(std::sin(double(i)) * 9), target[i] = float(i % 2);
    double value = 0;
    for (int level = 0; level < rt::isa_count(); ++level) {
        if (!rt::isa_supported(level)) continue;
        check(rt::set_isa(rt::isa_name(level)) && !std::strcmp(rt::active_isa(), rt::isa_name(level)),
              "forcing a level");
        for (int threads : {1, 2, 3, 8}) {
            fusedloss::elementwise_job job{};
            job.inputs = 2;
            job.dims = 1;
            job.count = job.shape[0] = n;
            job.in[0] = {input.data(), fusedloss::dtype::float32, {sizeof(float)}};
            job.in[1] = {target.data(), fusedloss::dtype::float32, {sizeof(float)}};
            job.grad[0] = {grad.data(), fusedloss::dtype::float32, {sizeof(float)}};
            job.single = job.in_floats = job.total = true;
            job.grad_scale = job.total_scale = 1.0;
            const double none = 0;
            job.params = &none;
            const double total = rt::run(rt::find_loss("bce_with_logits"), job, threads).high;
            if (first.empty()) first = grad, value = total;
            if (!std::strcmp(rt::active_isa(), "v1")) {  // no fused multiply-add: other roundings
                check(std::fabs(total - value) < 1e-6 * value, "value at the baseline");
            } else {
                check(total == value, "the same value for any threads and level");
                check(!std::memcmp(first.data(), grad.data(), n * sizeof(float)), "the same gradient");
            }
        }
    }
    if (!failures) std::printf("all passed\n");
    return failures != 0;
}
