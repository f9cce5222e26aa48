// What gradient boosting asks for after a loss.
#include "request.hpp"

namespace fusedloss_python {
namespace {

namespace rt = fusedloss::runtime;

bool finish_derivatives(py::array grad, py::array hess, float scale, float floor, float sign, int threads) {
    const argument who{py::str("finish_derivatives"), "grad"};
    const int contiguous = py::array::c_style | py::array::f_style;
    if (dtype_of(who, grad) != dtype::float32 || dtype_of(who, hess) != dtype::float32 ||
        grad.size() != hess.size() || !(grad.flags() & contiguous) || !(hess.flags() & contiguous))
        throw py::type_error("finish_derivatives: both are contiguous float32 arrays of one shape");
    const std::int64_t count = grad.size();
    float* const g = static_cast<float*>(grad.mutable_data());
    float* const h = static_cast<float*>(hess.mutable_data());
    if (threads <= 0) threads = count < fusedloss::serial_below ? 1 : rt::default_threads();
    return without_gil(count,
                       [&] { return rt::finish_derivatives(g, h, count, scale, floor, sign, threads); });
}

}  // namespace
}  // namespace fusedloss_python

void register_boosting(pybind11::module_& m) {
    m.def("finish_derivatives", fusedloss_python::finish_derivatives, pybind11::arg("grad"),
          pybind11::arg("hess"), pybind11::arg("scale"), pybind11::arg("floor"), pybind11::arg("sign"),
          pybind11::arg("threads"),
          "hess = sign * max(scale * hess, floor), grad = sign * grad, in place; whether all of both is "
          "finite.");
}
