// One entry for the whole family of rows of class scores.
#include <algorithm>
#include <vector>

#include "request.hpp"

namespace fusedloss_python {
namespace {

namespace rt = fusedloss::runtime;
using fusedloss::rows_job;

enum divisor { by_rows, by_weights, by_elements, by_tasks };

// As RowKernel of _core_kernels.py gives them, in this order.
struct row_options {
    explicit row_options(const py::tuple& t)
        : label(t[0]),
          class_weight(t[1]),
          class_offset(t[2]),
          class_margin(t[3]),
          axis(t[4]),
          ignore_index(t[5]),
          divides(py::cast<int>(t[6])),
          hessian(py::cast<int>(t[7])) {
        softmax.scale = py::cast<double>(t[8]);
        softmax.softcap = py::cast<double>(t[9]);
        softmax.z_loss = py::cast<double>(t[10]);
        softmax.label_smoothing = py::cast<double>(t[11]);
        softmax.log_probabilities = py::cast<bool>(t[12]);
    }
    py::object label, class_weight, class_offset, class_margin, axis, ignore_index;
    int divides, hessian;
    fusedloss::softmax_options softmax;
};

struct rows_request : request<rows_job> {
    rows_request(const rt::row_loss_info& about, py::handle name)
        : request(name, about.inputs), info(about) {}

    const rt::row_loss_info& info;
    py::object label;
    py::object class_vector[3];

    argument label_arg() const { return input_arg(info.traits.inputs); }

    // Class indices, or probabilities as one more input.
    void read_target(const py::object& given) {
        if (inputs > info.traits.inputs + info.traits.dense || !(given.is_none() || info.traits.label))
            throw py::type_error(arg(info.name).text() + " got arrays it does not take");
        if (given.is_none()) {
            if (info.traits.label && inputs == info.traits.inputs) refuse_none(label_arg());
            return;
        }
        const argument who = label_arg();
        // Python numbers as NumPy sees them: an index must not become a double.
        bool weak = PyFloat_Check(given.ptr()) || PyLong_Check(given.ptr());
        const py::array a = weak ? py::array(given) : as_array(given);
        const bool probabilities = is_float(dtype_of(who, a));
        if (probabilities && !info.traits.dense)
            throw py::type_error(who.text() + " has dtype " + py::cast<std::string>(py::str(a.dtype())) +
                                 "; expected class indices of an integer dtype");
        if (!(probabilities ? has_shape(a, full_dims, full_shape) : has_shape(a, dims, shape)))
            throw py::value_error(who.text() + " has shape " + shape_text(a) +
                                  ", expected class indices of shape " + shape_text(dims, shape) +
                                  (info.traits.dense ? " or probabilities of a floating dtype and shape " +
                                                           shape_text(full_dims, full_shape)
                                                     : ""));
        if (probabilities)
            add_input(a);
        else
            label = a;
    }

    void place_label() {
        job.label.data = nullptr;
        if (label) place(label_arg(), array_in(label), dtype_of(label_arg(), array_in(label)), job.label);
    }

    const double* class_numbers(int k, const char* name, const py::object& given) {
        if (given.is_none()) return nullptr;
        const argument who = arg(name);
        const py::array a = as_array(given);
        dtype_of(who, a);
        if (!has_shape(a, 1, &job.classes))
            throw py::value_error(who.text() + " has shape " + shape_text(a) +
                                  ", expected one number per class: " + shape_text(1, &job.classes));
        class_vector[k] = py::array_t<double, py::array::c_style | py::array::forcecast>(a);
        return static_cast<const double*>(array_in(class_vector[k]).data());
    }

    void read_classes(const row_options& o) {
        job.class_weight = class_numbers(0, "weight", o.class_weight);
        job.class_offset = class_numbers(1, "offset", o.class_offset);
        job.class_margin = class_numbers(2, "margin", o.class_margin);
    }

    void check_labels(const row_options& o, int threads) {
        const std::int64_t valid_labels = job.classes + info.traits.extra_labels;
        job.ignores = label && !o.ignore_index.is_none();
        job.ignore_index = job.ignores ? py::cast<std::int64_t>(o.ignore_index) : 0;

        // Only a mean over the weights of the labels counts these; thresholds up to a label are counted
        // alike.
        const double* const class_weight = job.class_weight;
        std::vector<double> tasks;
        if (o.divides == by_tasks) {
            for (std::int64_t y = 0; y < valid_labels; ++y)
                tasks.push_back(double(std::min(y + 1, job.classes)));
            job.class_weight = tasks.data();
        } else if (o.divides != by_weights || !label) {
            job.class_weight = nullptr;
        }
        const fusedloss::label_report report =
            without_gil(count, [&] { return rt::check_labels(job, valid_labels, threads); });
        job.class_weight = class_weight;

        if (report.first_bad_weight >= 0) refuse_weight(report.first_bad_weight);
        if (report.first_bad >= 0)
            refuse_label(label_arg(), array_in(label), report.first_bad, valid_labels, o.ignore_index);
        weights = report.weight;
        if (o.divides == by_elements) {
            const double c = double(job.classes), high = weights.high * c;
            weights = {high, std::fma(weights.high, c, -high) + weights.low * c};
        }
    }

    // Arrays that a kernel reads while it writes `out`.
    void separate(const py::array& out) {
        const auto apart = [&](py::object& o) {
            const bool touches = o && overlap(array_in(o), out);
            if (touches) o = array_in(o).attr("copy")();
            return touches;
        };
        if (apart(label)) place_label();
        const double** const pointers[] = {&job.class_weight, &job.class_offset, &job.class_margin};
        for (int k = 0; k < 3; ++k)
            if (apart(class_vector[k]))
                *pointers[k] = static_cast<const double*>(array_in(class_vector[k]).data());
    }

    void make_aux(bool wanted) {
        job.log_sum_exp.data = job.argmax.data = nullptr;
        if (!wanted) return;
        const py::array numbers_by_row = allocate(value_type(), dims, shape, like_bfloat16());
        const py::array indices(py::dtype::of<std::int64_t>(), std::vector<py::ssize_t>(shape, shape + dims));
        place(arg("log_sum_exp"), numbers_by_row, value_type(), job.log_sum_exp);
        place(arg("argmax"), indices, dtype::int64, job.argmax);
        aux = py::make_tuple(numbers_by_row, indices);
    }
};

py::tuple rows(int loss, py::str name, py::tuple inputs, py::tuple params, py::tuple options,
               py::object sample_weight, py::object cotangent, int reduce, unsigned want, unsigned wrt,
               py::object out, int threads) {
    if (loss < 0 || loss >= rt::row_loss_count()) throw py::value_error("no such loss");
    demands d{sample_weight, cotangent, reduce, want, wrt, out, threads};
    const row_options o(options);
    rows_request r(rt::row_loss_at(loss), name);
    r.rounds = want & float32_results;
    for (const py::handle x : inputs) r.add_input(x);
    r.set_shapes(r.class_axis(o.axis));
    r.read_target(o.label);
    if (wrt >> r.inputs)
        throw py::value_error(r.label_arg().text() + " holds class indices, which have no gradient");
    d.choose_threads(r.numbers);
    double values[32];
    r.prepare(params, values);
    r.job.in_floats = r.single();
    r.job.classes = r.full_shape[r.axis];
    if (r.job.classes == 0)
        throw py::value_error(r.input_arg(0).text() + " has shape " + shape_text(r.full_dims, r.full_shape) +
                              ", without any classes");
    r.job.softmax = o.softmax;
    r.job.mode = fusedloss::hessian_mode(o.hessian);
    r.place_label();
    r.read_classes(o);

    if (!sample_weight.is_none()) r.add_weight(r.arg("sample_weight"), as_array(sample_weight));
    r.check_labels(o, d.threads);
    r.set_scales(d);
    r.make_outputs(d);
    if (!out.is_none()) r.for_each_result([&](const py::array& a) { r.separate(a); });
    r.make_aux(want & want_aux);
    return r.results(d, [&] { return rt::run_rows(loss, r.job, d.threads); });
}

}  // namespace
}  // namespace fusedloss_python

void register_rows(pybind11::module_& m) {
    fusedloss_python::define_family(m, "rows", fusedloss_python::rows,
                                    "Runs one loss of rows of class scores; returns (value, gradients, "
                                    "hessian, (log_sum_exp, argmax) or None).");
}
