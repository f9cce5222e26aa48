// One entry for the whole family of rows of paired vectors.
#include "fusedloss/core/rows_job.hpp"
#include "request.hpp"

namespace fusedloss_python {
namespace {

namespace rt = fusedloss::runtime;
using fusedloss::pairs_job;

// As PairKernel of _core_kernels.py gives them, in this order.
struct pair_call_options {
    explicit pair_call_options(const py::tuple& t) : label(t[0]), weight(t[1]), axis(py::cast<int>(t[2])) {
        measure.measure = fusedloss::pair_measure(py::cast<int>(t[3]));
        measure.p = py::cast<double>(t[4]);
        measure.eps = py::cast<double>(t[5]);
    }
    py::object label, weight;
    int axis;
    fusedloss::pair_options measure;
};

struct pairs_request : request<pairs_job> {
    pairs_request(const rt::pair_loss_info& about, py::handle name)
        : request(name, about.inputs), info(about) {
        narrow = about.traits.vectors;
        if (about.traits.label) looked_up = 1;
    }

    const rt::pair_loss_info& info;
    py::object label;
    std::vector<double> pull;

    argument label_arg() const { return input_arg(info.traits.vectors + info.traits.numbers); }

    int vector_axis(int given) const {
        const int all = int(array_in(input[0]).ndim());
        if (all == 0) throw py::value_error(input_arg(0).text() + " is a single number, expected a vector");
        if (given < -all || given >= all)
            throw py::value_error(arg("axis").text() + " is " + std::to_string(given) + ", but " +
                                  std::string(input_arg(0).name) + " has shape " +
                                  shape_text(array_in(input[0])));
        return given < 0 ? given + all : given;
    }

    // Integers in the shape of the values.
    void read_label(const py::object& given) {
        if (!info.traits.label) return;
        const argument who = label_arg();
        if (given.is_none()) refuse_none(who);
        label = PyLong_Check(given.ptr()) || PyFloat_Check(given.ptr()) ? py::array(given) : as_array(given);
        const py::array a = array_in(label);
        if (is_float(dtype_of(who, a)))
            throw py::type_error(who.text() + " has dtype " + py::cast<std::string>(py::str(a.dtype())) +
                                 "; expected indices of an integer dtype");
        if (!has_shape(a, dims, shape))
            throw py::value_error(who.text() + " has shape " + shape_text(a) +
                                  ", expected indices of shape " + shape_text(dims, shape));
    }

    void place_label() {
        job.label.data = nullptr;
        if (label) place(label_arg(), array_in(label), dtype_of(label_arg(), array_in(label)), job.label);
    }

    // The sum of the sample weights, once they and the labels are known to be good.
    void check_rows(int threads) {
        fusedloss::rows_job rows;
        rows.dims = dims;
        rows.count = count;
        std::memcpy(rows.shape, shape, sizeof(std::int64_t) * std::size_t(dims));
        rows.label = job.label;
        rows.ignores = false;
        rows.ignore_index = 0;
        rows.class_weight = nullptr;
        rows.weights = job.weights;
        for (int k = 0; k < job.weights; ++k) rows.weight[k] = job.weight[k];
        const std::int64_t valid = label ? std::int64_t(array_in(input[1]).shape(0)) : 0;
        const fusedloss::label_report report =
            without_gil(count, [&] { return rt::check_labels(rows, valid, threads); });
        if (report.first_bad_weight >= 0) refuse_weight(report.first_bad_weight);
        if (report.first_bad >= 0)
            refuse_label(label_arg(), array_in(label), report.first_bad, valid, py::none());
        weights = report.weight;
    }

    // Room for what the gradient of looked-up vectors is made of.
    void prepare_pull(const py::object& out) {
        job.pull = nullptr;
        if (looked_up < 0 || !grad[looked_up]) return;
        if (count == 0) {
            array_in(grad[looked_up]).attr("fill")(0.0);
            return;
        }
        pull.resize(std::size_t(count));
        job.pull = pull.data();
        if (!out.is_none() && label && overlap(array_in(label), array_in(grad[looked_up]))) {
            label = array_in(label).attr("copy")();
            place_label();
        }
    }

    fusedloss::sum run(int loss, int threads) {
        const fusedloss::sum s = rt::run_pairs(loss, job, threads);
        if (!job.pull) return s;
        class_array out;
        place(arg("out"), looked_up, array_in(grad[looked_up]), grad_type(looked_up), out);
        rt::scatter_pull(job, std::int64_t(array_in(input[1]).shape(0)), out, threads);
        return s;
    }
};

py::tuple pairs(int loss, py::str name, py::tuple inputs, py::tuple params, py::tuple options,
                py::object sample_weight, py::object cotangent, int reduce, unsigned want, unsigned wrt,
                py::object out, int threads) {
    if (loss < 0 || loss >= rt::pair_loss_count()) throw py::value_error("no such loss");
    demands d{sample_weight, cotangent, reduce, want, wrt, out, threads};
    const pair_call_options o(options);
    pairs_request r(rt::pair_loss_at(loss), name);
    for (const py::handle x : inputs) r.add_input(x);
    r.set_shapes(r.vector_axis(o.axis));
    d.choose_threads(r.numbers);
    double values[32];
    r.prepare(params, values);
    r.job.classes = r.full_shape[r.axis];
    if (r.job.classes == 0)
        throw py::value_error(r.input_arg(0).text() + " has shape " + shape_text(r.full_dims, r.full_shape) +
                              ", vectors without any components");
    r.job.options = o.measure;
    r.read_label(o.label);
    r.place_label();

    if (!sample_weight.is_none()) r.add_weight(r.arg("sample_weight"), as_array(sample_weight));
    r.check_rows(d.threads);
    if (!o.weight.is_none()) r.add_weight(r.arg("weight"), as_array(o.weight));
    r.set_scales(d);
    r.make_outputs(d);
    r.prepare_pull(out);
    return r.results(d, [&] { return r.run(loss, d.threads); });
}

int threads_for(int threads) { return threads > 0 ? threads : rt::default_threads(); }

using dense_doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

// Weighted softplus of all differences of scores; the weights of negatives end in zeros.
py::tuple score_pairs(const dense_doubles& positive, const dense_doubles& positive_weight,
                      const dense_doubles& negative, const dense_doubles& negative_weight, bool gradients,
                      int threads) {
    fusedloss::score_pairs s;
    s.positive = positive.data();
    s.positive_weight = positive_weight.data();
    s.negative = negative.data();
    s.negative_weight = negative_weight.data();
    s.negatives = negative.size();
    const std::int64_t n = positive.size();
    if (positive_weight.size() != n || negative_weight.size() != s.negatives ||
        s.negatives % fusedloss::score_unit)
        throw py::value_error("score_pairs: arrays do not fit each other");
    dense_doubles grads[2]{dense_doubles(gradients ? n : 0), dense_doubles(gradients ? s.negatives : 0)};
    for (std::int64_t i = 0; gradients && i < n; ++i) grads[0].mutable_data()[i] = 0.0;
    s.positive_grad = gradients ? grads[0].mutable_data() : nullptr;
    double* const negative_grad = gradients ? grads[1].mutable_data() : nullptr;
    const double total = without_gil(
        n * s.negatives, [&] { return rt::run_score_pairs(s, n, negative_grad, threads_for(threads)); });
    return py::make_tuple(total, grads[0], grads[1]);
}

py::tuple ordered_scores(const dense_doubles& scores, const dense_doubles& labels, double scale,
                         bool gradients) {
    const std::int64_t n = scores.size();
    if (labels.size() != n) throw py::value_error("ordered_scores: arrays do not fit each other");
    dense_doubles grad(gradients ? n : 0);
    const double *const score = scores.data(), *const label = labels.data();
    double* const to = gradients ? grad.mutable_data() : nullptr;
    const double value = without_gil(n, [&] { return rt::run_ordered_scores(score, label, scale, to, n); });
    return py::make_tuple(value, grad);
}

}  // namespace
}  // namespace fusedloss_python

void register_pairs(pybind11::module_& m) {
    namespace py = pybind11;
    m.def("score_pairs", fusedloss_python::score_pairs, py::arg("positive"), py::arg("positive_weight"),
          py::arg("negative"), py::arg("negative_weight"), py::arg("gradients"), py::arg("threads"),
          "The weighted sum of softplus(n - p) over all pairs of scores, and its gradients.");
    m.def("ordered_scores", fusedloss_python::ordered_scores, py::arg("scores"), py::arg("labels"),
          py::arg("scale"), py::arg("gradients"),
          "The logistic loss of all pairs of scores against the order of their labels, and its gradient.");
    fusedloss_python::define_family(
        m, "pairs", fusedloss_python::pairs,
        "Runs one loss of rows of paired vectors; returns (value, gradients, None, "
        "None).");
}
