// One entry for the whole family of pairs of boxes, and one for the matrix of their IoU.
#include "request.hpp"

namespace fusedloss_python {
namespace {

namespace rt = fusedloss::runtime;
using fusedloss::rows_job;

void require_boxes(const argument& who, const py::array& a) {
    if (a.ndim() == 0 || a.shape(a.ndim() - 1) != 4)
        throw py::value_error(who.text() + " has shape " + shape_text(a) +
                              ", expected boxes of four numbers along the last axis");
}

void without_labels(rows_job& job) {
    job.classes = 4;
    job.ignores = false;
    job.class_weight = job.class_offset = job.class_margin = nullptr;
    job.label.data = job.log_sum_exp.data = job.argmax.data = nullptr;
}

// There are no options.
py::tuple boxes(int loss, py::str label, py::tuple inputs, py::tuple params, py::tuple,
                py::object sample_weight, py::object cotangent, int reduce, unsigned want, unsigned wrt,
                py::object out, int threads) {
    if (loss < 0 || loss >= rt::box_loss_count()) throw py::value_error("no such loss");
    demands d{sample_weight, cotangent, reduce, want, wrt, out, threads};
    request<rows_job> r(label, rt::box_loss_at(loss).inputs);
    for (const py::handle x : inputs) {
        r.add_input(x);
        require_boxes(r.input_arg(r.inputs - 1), array_in(r.input[r.inputs - 1]));
    }
    r.set_shapes(int(array_in(r.input[0]).ndim()) - 1);
    d.choose_threads(r.numbers);
    double values[32];
    r.prepare(params, values);
    r.job.in_floats = r.single();
    without_labels(r.job);
    if (!sample_weight.is_none()) r.add_weight(r.arg("sample_weight"), as_array(sample_weight));
    const fusedloss::label_report report =
        without_gil(r.count, [&] { return rt::check_labels(r.job, r.job.classes, d.threads); });
    if (report.first_bad_weight >= 0) r.refuse_weight(report.first_bad_weight);
    r.weights = report.weight;
    r.set_scales(d);
    r.make_outputs(d);
    return r.results(d, [&] { return rt::run_boxes(loss, r.job, d.threads); });
}

py::array box_iou(py::handle boxes1, py::handle boxes2, double format, int threads) {
    const py::str name("box_iou");
    arguments a(name, "boxes1 boxes2");
    fusedloss::box_matrix_job job;
    std::int64_t shape[2];
    for (int k = 0; k < 2; ++k) {
        a.add_input(k ? boxes2 : boxes1);
        const py::array given = array_in(a.input[k]);
        require_boxes(a.input_arg(k), given);
        if (given.ndim() != 2)
            throw py::value_error(a.input_arg(k).text() + " has shape " + shape_text(given) +
                                  ", expected boxes of shape (N, 4)");
        rows_job& side = job.side[k];
        without_labels(side);
        side.dims = 1;
        shape[k] = side.count = side.shape[0] = given.shape(0);
        class_array& to = side.in[0];
        to.rows = {const_cast<void*>(given.data()), a.type[k], {given.strides(0)}};
        to.step = given.strides(1);
    }
    job.side[0].in_floats = job.side[1].in_floats = a.single();
    job.format = format;
    job.type = a.value_type();
    const py::array matrix = allocate(job.type, 2, shape, a.like_bfloat16());
    job.out = const_cast<void*>(matrix.data());
    const std::int64_t pairs = shape[0] * shape[1];
    if (threads <= 0) threads = pairs < fusedloss::serial_below ? 1 : rt::default_threads();
    if (pairs) without_gil(pairs, [&] { return rt::run_box_matrix(job, threads), 0; });
    return matrix;
}

}  // namespace
}  // namespace fusedloss_python

void register_boxes(pybind11::module_& m) {
    fusedloss_python::define_family(
        m, "boxes", fusedloss_python::boxes,
        "Runs one loss of pairs of boxes; returns (value, gradients, None, None).");
    m.def("box_iou", fusedloss_python::box_iou, pybind11::arg("boxes1"), pybind11::arg("boxes2"),
          pybind11::arg("format"), pybind11::arg("threads"), "The matrix of the IoU of two sets of boxes.");
}
