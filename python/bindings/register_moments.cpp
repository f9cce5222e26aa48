// Losses of the second moments of a batch of vectors.
#include "fusedloss/core/moments_job.hpp"
#include "request.hpp"

namespace fusedloss_python {
namespace {

namespace rt = fusedloss::runtime;

py::tuple moments(int loss, py::str label, const std::string& names, py::tuple views, py::tuple weights,
                  double factor, unsigned wrt, int threads) {
    arguments all(label, names.c_str());
    for (const py::handle x : views) all.add_input(x);
    fusedloss::moments_job job{};
    const py::array first = array_in(all.input[0]);
    const std::int64_t shape[2] = {first.shape(0), first.shape(1)};
    job.loss = fusedloss::moment_loss(loss);
    job.rows = shape[0];
    job.columns = shape[1];
    job.single = all.single();
    job.views = all.inputs;
    job.factor = factor;
    double* const to[] = {&job.agreement, &job.spread, &job.common, &job.eps};
    for (std::size_t k = 0; k < 4; ++k) *to[k] = py::cast<double>(weights[k]);
    py::list grads;
    for (int k = 0; k < all.inputs; ++k) {
        view(all.input_arg(k), array_in(all.input[k]), all.type[k], 2, shape, job.in[k].rows);
        job.in[k].step = job.in[k].rows.stride[1];
        if (!(wrt >> k & 1)) continue;
        const py::array grad = allocate(job.single ? dtype::float32 : dtype::float64, 2, shape, py::none());
        job.grad[k] = const_cast<void*>(grad.data());
        grads.append(grad);
    }
    const double value = without_gil(job.rows * job.columns, [&] {
        return rt::run_moments(job, threads > 0 ? threads : rt::default_threads());
    });
    return py::make_tuple(value, py::tuple(grads));
}

}  // namespace
}  // namespace fusedloss_python

void register_moments(pybind11::module_& m) {
    namespace py = pybind11;
    m.def("moments", fusedloss_python::moments, py::arg("loss"), py::arg("label"), py::arg("names"),
          py::arg("views"), py::arg("weights"), py::arg("factor"), py::arg("wrt"), py::arg("threads"),
          "Runs a loss of the second moments of one or two batches of vectors; returns (value, gradients), "
          "these in "
          "the precision of the arithmetic.");
}
