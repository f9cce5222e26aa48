// One entry for the whole family of overlaps of masks.
#include "request.hpp"

namespace fusedloss_python {
namespace {

namespace rt = fusedloss::runtime;
using fusedloss::overlap_job;
using fusedloss::rows_job;

// As OverlapKernel of _core_kernels.py gives them, in this order.
struct overlap_options {
    explicit overlap_options(const py::tuple& t)
        : target(t[0]),
          class_weight(t[1]),
          position_weight(t[2]),
          label_weight(t[3]),
          axis(t[4]),
          ignore_index(t[5]),
          pooled(py::cast<bool>(t[6])),
          background(py::cast<bool>(t[7])),
          activation(py::cast<int>(t[8])),
          form(py::cast<int>(t[9])),
          absent_is_zero(py::cast<bool>(t[10])),
          focal{{py::cast<double>(t[11]), py::cast<double>(t[12])},
                {py::cast<double>(t[13]), py::cast<double>(t[14])}} {}
    py::object target, class_weight, position_weight, label_weight, axis, ignore_index;
    bool pooled, background;
    int activation, form;
    bool absent_is_zero;
    fusedloss::focal_by_target focal;
};

struct overlap_request : request<overlap_job> {
    overlap_request(const rt::overlap_loss_info& about, py::handle name)
        : request(name, about.inputs), info(about) {}

    const rt::overlap_loss_info& info;
    py::object target, position_weight, class_vector, label_matrix;

    argument target_arg() const { return input_arg(1); }
    std::int64_t classes() const { return full_shape[axis]; }

    // What the rows of the classes are, before the values take the place of their shape.
    void set_rows(const overlap_options& o) {
        rows_job& rows = job.rows;
        rows = rows_job{};
        rows.dims = dims;
        rows.count = count;
        rows.classes = classes();
        std::memcpy(rows.shape, shape, sizeof(std::int64_t) * std::size_t(dims));

        const bool batched = axis > 0 && !o.pooled;
        job.batched = batched;
        job.groups = batched ? shape[0] : 1;
        job.first_class = o.background ? 0 : 1;
        if (rows.classes <= job.first_class)
            throw py::value_error(input_arg(0).text() + " has shape " + shape_text(full_dims, full_shape) +
                                  ", without any classes" + (o.background ? "" : " but the background"));
        dims = 0;
        count = 1;
        const auto extend = [&](std::int64_t length) {
            shape[dims++] = length;
            count *= length;
        };
        if (batched) extend(job.groups);
        if (!info.traits.grouped) extend(rows.classes - job.first_class);
    }

    // An array seen through the shape of the scores, classes included.
    py::array over_scores(const argument& who, const py::array& a) const {
        const rows_job& rows = job.rows;
        py::object wide = a;
        const py::module_ numpy = py::module_::import("numpy");
        if (has_shape(a, rows.dims, rows.shape) && rows.dims < full_dims)
            wide = numpy.attr("expand_dims")(a, axis);
        const py::array own = array_in(wide);
        strided unused;
        view(who, own, dtype_of(who, own), full_dims, full_shape, unused);
        return array_in(numpy.attr("broadcast_to")(own, py::tuple(array_in(input[0]).attr("shape"))));
    }

    // Class indices in the shape of the scores without the classes, or a mask in that of the scores.
    void read_target(const py::object& given) {
        rows_job& rows = job.rows;
        const argument who = target_arg();
        if (given.is_none()) refuse_none(who);
        const bool weak = PyFloat_Check(given.ptr()) || PyLong_Check(given.ptr());
        const py::array a = weak ? py::array(given) : as_array(given);
        const dtype t = dtype_of(who, a);
        const bool by_row = has_shape(a, rows.dims, rows.shape);
        if (!(has_shape(a, full_dims, full_shape) || (by_row && (!is_float(t) || rows.classes == 1))))
            throw py::value_error(who.text() + " has shape " + shape_text(a) + " and dtype " +
                                  py::cast<std::string>(py::str(a.dtype())) +
                                  ", expected class indices of an integer dtype and shape " +
                                  shape_text(rows.dims, rows.shape) + " or a mask of shape " +
                                  shape_text(full_dims, full_shape));
        target = by_row && is_float(t) ? over_scores(who, a) : a;
    }

    void place_arrays() {
        rows_job& rows = job.rows;
        job.mask.rows.data = job.position_weight.rows.data = rows.label.data = nullptr;
        const argument who = target_arg();
        const py::array a = array_in(target);
        if (has_shape(a, full_dims, full_shape))
            place(who, a, dtype_of(who, a), job.mask);
        else
            view(who, a, dtype_of(who, a), rows.dims, rows.shape, rows.label);
        if (position_weight) {
            const argument weight_arg = arg("distance");
            const py::array w = array_in(position_weight);
            place(weight_arg, w, dtype_of(weight_arg, w), job.position_weight);
        }
    }

    const double* doubles(py::object& kept, const char* name, const py::object& given, int of_dims,
                          const std::int64_t* of_shape) {
        if (given.is_none()) return nullptr;
        const argument who = arg(name);
        const py::array a = as_array(given);
        dtype_of(who, a);
        if (!has_shape(a, of_dims, of_shape))
            throw py::value_error(who.text() + " has shape " + shape_text(a) + ", expected " +
                                  shape_text(of_dims, of_shape));
        kept = py::array_t<double, py::array::c_style | py::array::forcecast>(a);
        return static_cast<const double*>(array_in(kept).data());
    }

    void read_weights(const overlap_options& o) {
        const std::int64_t n = classes(), counted = n - job.first_class, square[] = {n, n};
        job.class_weight = doubles(class_vector, "weight", o.class_weight, 1, &counted);
        py::object cost = o.label_weight;
        if (cost.is_none() && info.traits.costs)
            cost = py::float_(1.0) - py::module_::import("numpy").attr("eye")(n);
        job.label_weight = doubles(label_matrix, "cost", cost, 2, square);
        if (o.position_weight.is_none()) return;
        const argument who = arg("distance");
        position_weight = over_scores(who, as_array(o.position_weight));
    }

    void check_labels(const overlap_options& o, int threads) {
        rows_job& rows = job.rows;
        rows.ignores = !o.ignore_index.is_none();
        rows.ignore_index = rows.ignores ? py::cast<std::int64_t>(o.ignore_index) : 0;
        if (!rows.label.data) return;
        const std::int64_t valid = classes() == 1 ? 2 : classes();
        const fusedloss::label_report report =
            without_gil(rows.count, [&] { return rt::check_labels(rows, valid, threads); });
        if (report.first_bad >= 0) {
            dims = rows.dims;
            std::memcpy(shape, rows.shape, sizeof(std::int64_t) * std::size_t(dims));
            refuse_label(target_arg(), array_in(target), report.first_bad, valid, o.ignore_index);
        }
        rows.ignores = rows.ignores && report.valid < rows.count;
    }

    void read_sample_weight(const py::object& given, int threads) {
        weights = {double(count), 0.0};
        if (given.is_none()) return;
        add_weight(arg("sample_weight"), as_array(given));
        fusedloss::elementwise_job w;
        w.inputs = 0;
        w.dims = dims;
        w.count = count;
        std::memcpy(w.shape, shape, sizeof(std::int64_t) * std::size_t(dims));
        w.weights = 1;
        w.weight[0] = job.weight[0];
        w.value.data = w.hess.data = nullptr;
        const fusedloss::weight_sum s = without_gil(count, [&] { return rt::sum_weights(w, threads); });
        if (s.first_bad >= 0) refuse_weight(s.first_bad);
        weights = s.total;
    }

    // Arrays that are read while `out` is written.
    void separate(const py::array& out) {
        bool moved = false;
        for (py::object* o : {&target, &position_weight}) {
            if (!*o || !overlap(array_in(*o), out)) continue;
            *o = array_in(*o).attr("copy")();
            moved = true;
        }
        if (moved) place_arrays();
    }
};

py::tuple run(int loss, py::str name, py::tuple inputs, py::tuple params, py::tuple options,
              py::object sample_weight, py::object cotangent, int reduce, unsigned want, unsigned wrt,
              py::object out, int threads) {
    if (loss < 0 || loss >= rt::overlap_loss_count()) throw py::value_error("no such loss");
    demands d{sample_weight, cotangent, reduce, want, wrt, out, threads};
    const overlap_options o(options);
    overlap_request r(rt::overlap_loss_at(loss), name);
    if (inputs.size() != 1) throw py::type_error(r.arg(r.info.name).text() + " takes one array of scores");
    r.add_input(inputs[0]);
    r.set_shapes(r.class_axis(o.axis));
    r.set_rows(o);
    d.choose_threads(r.numbers);
    double values[32];
    r.prepare(params, values);
    r.job.activation = fusedloss::overlap_activation(o.activation);
    r.job.form = fusedloss::overlap_form(o.form);
    r.job.extra = r.info.traits.extra;
    r.job.pixel = r.info.traits.pixel;
    r.job.absent_is_zero = o.absent_is_zero;
    r.job.focal = o.focal;
    r.job.hinge = r.info.traits.sorted && !r.info.traits.grouped;
    r.read_target(o.target);
    r.read_weights(o);
    r.place_arrays();
    r.check_labels(o, d.threads);
    r.read_sample_weight(sample_weight, d.threads);
    r.set_scales(d);
    r.make_outputs(d);
    if (!out.is_none()) r.for_each_result([&](const py::array& a) { r.separate(a); });
    return r.results(d, [&] { return rt::run_overlap(loss, r.job, d.threads); });
}

}  // namespace
}  // namespace fusedloss_python

void register_overlap(pybind11::module_& m) {
    fusedloss_python::define_family(
        m, "overlap", fusedloss_python::run,
        "Runs one loss of overlaps of masks; returns (value, gradients, None, None).");
}
