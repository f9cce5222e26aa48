// The compiled library: losses by name, at the best ISA level of the machine it runs on.
#include <cstdio>
#include <fusedloss/runtime.hpp>

int main() {
    namespace rt = fusedloss::runtime;
    const int huber = rt::find_loss("huber");
    if (huber < 0) return 1;

    double input[] = {0.5, -1.0, 3.0}, target[] = {0.0, 1.0, 2.75}, grad[3];
    const double delta = 0.5;

    fusedloss::elementwise_job job{};
    job.inputs = 2;
    job.dims = 1;
    job.count = job.shape[0] = 3;
    job.in[0] = {input, fusedloss::dtype::float64, {sizeof(double)}};
    job.in[1] = {target, fusedloss::dtype::float64, {sizeof(double)}};
    job.grad[0] = {grad, fusedloss::dtype::float64, {sizeof(double)}};
    job.total = true;
    job.grad_scale = job.total_scale = 1.0;
    job.params = &delta;
    const fusedloss::sum total = rt::run(huber, job, 1);

    std::printf("%s: huber %.6f, gradient %.6f %.6f %.6f\n", rt::active_isa(), total.high, grad[0], grad[1],
                grad[2]);
    return total.high > 0.9 && total.high < 1.1 ? 0 : 1;
}
