// One entry for the whole elementwise family.
#include "request.hpp"

namespace fusedloss_python {
namespace {

namespace rt = fusedloss::runtime;
using fusedloss::elementwise_job;

// The sum of the product of all weights of a call so far.
fusedloss::weight_sum sum_weights(const request<elementwise_job>& r, int threads) {
    elementwise_job w;
    w.inputs = 0;
    w.dims = r.dims;
    w.count = r.count;
    std::memcpy(w.shape, r.shape, sizeof(std::int64_t) * std::size_t(r.dims));
    w.weights = r.job.weights;
    for (int k = 0; k < w.weights; ++k) w.weight[k] = r.job.weight[k];
    w.value.data = w.hess.data = nullptr;
    return without_gil(r.count, [&] { return rt::sum_weights(w, threads); });
}

// options: weight, and whether a mean divides by it.
py::tuple elementwise(int loss, py::str label, py::tuple inputs, py::tuple params, py::tuple options,
                      py::object sample_weight, py::object cotangent, int reduce, unsigned want, unsigned wrt,
                      py::object out, int threads) {
    if (loss < 0 || loss >= rt::loss_count()) throw py::value_error("no such loss");
    demands d{sample_weight, cotangent, reduce, want, wrt, out, threads};
    request<elementwise_job> r(label, rt::loss_at(loss).inputs);
    r.rounds = want & float32_results;
    for (const py::handle x : inputs) r.add_input(x);
    r.set_shapes(-1);
    d.choose_threads(r.numbers);
    double values[32];
    r.prepare(params, values);
    r.job.in_floats = r.single();

    r.weights = {double(r.count), 0.0};
    if (!sample_weight.is_none()) {
        r.add_weight(r.arg("sample_weight"), as_array(sample_weight));
        const fusedloss::weight_sum s = sum_weights(r, d.threads);
        if (s.first_bad >= 0) r.refuse_weight(s.first_bad);
        r.weights = s.total;
    }
    if (!options[0].is_none()) {
        r.add_weight(r.arg("weight"), as_array(options[0]));
        if (py::cast<bool>(options[1])) r.weights = sum_weights(r, d.threads).total;
    }
    r.set_scales(d);
    r.make_outputs(d);
    return r.results(d, [&] { return rt::run(loss, r.job, d.threads); });
}

}  // namespace
}  // namespace fusedloss_python

void register_elementwise(pybind11::module_& m) {
    fusedloss_python::define_family(m, "elementwise", fusedloss_python::elementwise,
                                    "Runs one elementwise loss; returns (value, gradients, hessian, None).");
}
