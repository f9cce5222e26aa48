// The compiled half of the package. Names, signatures and documentation of the losses live in Python;
// here stands one entry per family.
#include <pybind11/pybind11.h>

namespace py = pybind11;

void register_runtime(py::module_&);
void register_elementwise(py::module_&);
void register_rows(py::module_&);
void register_similarity(py::module_&);
void register_moments(py::module_&);
void register_overlap(py::module_&);
void register_boxes(py::module_&);
void register_pairs(py::module_&);
void register_boosting(py::module_&);
void register_tensors(py::module_&);

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    m.doc() = "Compiled core of fusedloss.";
    m.attr("__version__") = FUSEDLOSS_VERSION;
    register_runtime(m);
    register_elementwise(m);
    register_rows(m);
    register_similarity(m);
    register_moments(m);
    register_overlap(m);
    register_boxes(m);
    register_pairs(m);
    register_boosting(m);
    register_tensors(m);
}
