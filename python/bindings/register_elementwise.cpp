// One entry for the whole elementwise family.
#include <cmath>
#include <cstring>

#include "arrays.hpp"
#include "fusedloss/core/blocks.hpp"
#include "fusedloss/runtime.hpp"

namespace fusedloss_python {
namespace {

namespace rt = fusedloss::runtime;
using fusedloss::elementwise_job;
using fusedloss::max_dims;
using fusedloss::max_inputs;

enum reduction { none, mean, total, batchmean, partial };  // partial: the compensated sums themselves
enum wanted : unsigned { want_value = 1, want_grad = 2, want_hess = 4 };

// Calls shorter than this are over before another thread could have taken the lock.
constexpr std::int64_t gil_threshold = 4096;

// The n-th of the space-separated names.
std::string_view word(const char* text, int n) {
    while (n > 0) n -= *text++ == ' ';
    return {text, std::strcspn(text, " ")};
}

// py::array() would build an empty NumPy array; a null object costs nothing.
py::array array_in(const py::object& o) { return py::reinterpret_borrow<py::array>(o); }

template <class F>
auto without_gil(std::int64_t count, F f) {
    if (count < gil_threshold) return f();
    py::gil_scoped_release release;
    return f();
}

struct request {
    // Most of a job is strides of dimensions that are not there: left uninitialised.
    request(const rt::loss_info& loss, py::handle name) : info(loss), label(name) {}

    const rt::loss_info& info;
    py::handle label;
    elementwise_job job;
    py::object inputs[max_inputs];  // arrays; Python scalars become arrays of one double
    bool weak[max_inputs];          // ... that do not decide the precision
    py::object weights[fusedloss::max_weights];
    int dims;
    std::int64_t shape[max_dims];

    argument arg(std::string_view name) const { return {label, name}; }
    argument input_arg(int k) const { return {label, word(info.inputs, k)}; }
    dtype type(int k) const { return job.in[k].type; }

    dtype grad_type(int k) const { return is_float(type(k)) ? type(k) : dtype::float64; }

    dtype value_type() const {
        bool found = false;
        dtype result = dtype::float64;
        for (int k = 0; k < info.traits.inputs; ++k) {
            if (weak[k] || !is_float(type(k))) continue;
            if (!found)
                result = type(k);
            else if (result == dtype::float64 || type(k) == dtype::float64)
                result = dtype::float64;
            else if (result != type(k))
                result = dtype::float32;
            found = true;
        }
        return result;
    }
    bool broadcasts(const py::array& a) const {
        if (int(a.ndim()) != dims) return true;
        for (int d = 0; d < dims; ++d)
            if (std::int64_t(a.shape(d)) != shape[d]) return true;
        return false;
    }
    py::handle like_bfloat16() const {
        for (int k = 0; k < info.traits.inputs; ++k)
            if (type(k) == dtype::bfloat16) return inputs[k];
        return {};
    }
    // In a job every array has the job's shape, so results are viewed like inputs.
    void result(std::string_view name, const py::array& a, dtype type, strided& out) {
        view(arg(name), a, type, dims, shape, out);
    }
    void add_weight(const argument& who, const py::array& a) {
        weights[job.weights] = a;
        view(who, a, dtype_of(who, a), dims, shape, job.weight[job.weights]);
        ++job.weights;
    }
    // A job over the first `n` weights alone.
    elementwise_job weights_job(int first, int n) const {
        elementwise_job w;
        w.inputs = 0;
        w.dims = dims;
        w.count = job.count;
        std::memcpy(w.shape, shape, sizeof(std::int64_t) * std::size_t(dims));
        w.weights = n;
        for (int k = 0; k < n; ++k) w.weight[k] = job.weight[first + k];
        w.value.data = w.hess.data = nullptr;
        return w;
    }
};

py::array as_array(py::handle h, bool& weak) {
    weak = PyFloat_Check(h.ptr()) || PyLong_Check(h.ptr());
    if (weak) {
        py::array a(py::dtype::of<double>(), std::vector<py::ssize_t>{});
        *static_cast<double*>(a.mutable_data()) = py::cast<double>(h);
        return a;
    }
    const py::array a = py::reinterpret_borrow<py::array>(h);
    if (!has_swapped_bytes(a)) return a;
    return py::array(a.attr("astype")(a.dtype().attr("newbyteorder")("=")));
}

std::string index_text(const request& r, std::int64_t flat) {
    std::string text;
    for (int d = r.dims - 1; d >= 0; --d) {
        text = std::to_string(flat % r.shape[d]) + (text.empty() ? "" : ", " + text);
        flat /= r.shape[d];
    }
    return "[" + text + "]";
}

// The memory an output overlaps is read before it is written only if it is the very same view;
// anything else is copied first.
void protect(request& r, const py::array& out) {
    const auto replace = [&](const argument& who, py::object& o, strided& s) {
        const py::array a = array_in(o);
        if (!overlap(a, out) || (same_view(a, out) && int(a.ndim()) == r.dims)) return;
        o = a.attr("copy")();
        view(who, array_in(o), s.type, r.dims, r.shape, s);
    };
    for (int k = 0; k < r.info.traits.inputs; ++k) replace(r.input_arg(k), r.inputs[k], r.job.in[k]);
    for (int k = 0; k < r.job.weights; ++k) replace(r.arg("weight"), r.weights[k], r.job.weight[k]);
}

// The gradient of a broadcast argument: the sum over the elements it was broadcast to.
void sum_into(const py::array& full, const py::array& out) {
    const int extra = int(full.ndim() - out.ndim());
    py::list axes;
    for (int d = 0; d < int(full.ndim()); ++d)
        if (d < extra || out.shape(d - extra) == 1) axes.append(d);
    const py::object total = full.attr("sum")(py::arg("axis") = py::tuple(axes));
    out[py::ellipsis()] = py::array(total).attr("reshape")(out.attr("shape"));
}

py::tuple elementwise(int loss, py::str label, py::tuple inputs, py::tuple params, py::object sample_weight,
                      py::object weight, bool weight_normalises, py::object cotangent, int reduce,
                      unsigned want, unsigned wrt, py::object out, int threads) {
    if (loss < 0 || loss >= rt::loss_count()) throw py::value_error("no such loss");
    request r(rt::loss_at(loss), label);
    elementwise_job& job = r.job;
    const int count = r.info.traits.inputs;
    job.inputs = count;

    for (int k = 0; k < count; ++k) {
        r.inputs[k] = as_array(inputs[std::size_t(k)], r.weak[k]);
        job.in[k].type = dtype_of(r.input_arg(k), array_in(r.inputs[k]));
    }
    const py::array first = array_in(r.inputs[0]);
    r.dims = job.dims = int(first.ndim());
    job.count = 1;
    for (int d = 0; d < r.dims; ++d) {
        r.shape[d] = job.shape[d] = first.shape(d);
        job.count *= r.shape[d];
    }
    // Asking the system how many threads there are costs more than a small call.
    if (threads <= 0) threads = job.count < fusedloss::serial_below ? 1 : rt::default_threads();
    for (int k = 0; k < count; ++k)
        view(r.input_arg(k), array_in(r.inputs[k]), r.type(k), r.dims, r.shape, job.in[k]);

    job.single = is_float(r.type(0)) && !r.weak[0];
    for (int k = 0; k < count; ++k) job.single = job.single && (r.weak[k] || r.type(k) != dtype::float64);

    double values[32];
    for (std::size_t k = 0; k < params.size(); ++k) values[k] = py::cast<double>(params[k]);
    job.params = values;

    // Weights, and what a mean divides by.
    job.weights = 0;
    double divisor = double(job.count);
    fusedloss::sum weight_total{double(job.count), 0.0};
    const auto weight_array = [&](py::handle given) {
        bool weak;
        return as_array(given, weak);
    };
    if (!sample_weight.is_none()) {
        r.add_weight(r.arg("sample_weight"), weight_array(sample_weight));
        elementwise_job w = r.weights_job(0, 1);
        const fusedloss::weight_sum s = without_gil(job.count, [&] { return rt::sum_weights(w, threads); });
        if (s.first_bad >= 0)
            throw py::value_error(r.arg("sample_weight").text() + index_text(r, s.first_bad) +
                                  " is negative or not finite");
        weight_total = s.total;
        divisor = fusedloss::rounded(s.total);
    }
    if (!weight.is_none()) {
        r.add_weight(r.arg("weight"), weight_array(weight));
        if (weight_normalises) {
            elementwise_job w = r.weights_job(0, job.weights);
            weight_total = without_gil(job.count, [&] { return rt::sum_weights(w, threads); }).total;
            divisor = fusedloss::rounded(weight_total);
        }
    }
    if (reduce == batchmean) divisor = r.dims ? double(r.shape[0]) : 1.0;
    if (reduce != mean && reduce != batchmean) divisor = 1.0;
    job.grad_scale = divisor == 0.0 ? 0.0 : 1.0 / divisor;
    if (!cotangent.is_none()) {
        const py::array c = weight_array(cotangent);
        dtype_of(r.arg("grad_output"), c);
        if (c.ndim() == 0)
            job.grad_scale *= py::cast<double>(c.attr("item")());
        else if (reduce == none)
            r.add_weight(r.arg("grad_output"), c);
        else
            throw py::value_error(r.arg("grad_output").text() + " has shape " + shape_text(c) +
                                  ", expected a scalar as the loss is reduced");
    }

    // Outputs.
    py::object value_array, hess_array, grads[max_inputs];
    const py::handle like = r.like_bfloat16();
    job.total = (want & want_value) && reduce != none;
    job.value.data = job.hess.data = nullptr;
    if ((want & want_value) && reduce == none) {
        value_array = allocate(r.value_type(), r.dims, r.shape, like);
        r.result("value", array_in(value_array), r.value_type(), job.value);
    }
    // out= is one array, or a tuple with one array (or None) per result.
    std::size_t given = 0;
    const bool several = py::isinstance<py::tuple>(out);
    const auto next_out = [&]() -> py::object {
        const std::size_t position = given++;
        if (several) {
            const py::tuple all = py::reinterpret_borrow<py::tuple>(out);
            return position < all.size() ? py::object(all[position]) : py::none();
        }
        return position == 0 ? out : py::none();
    };
    const auto output = [&](dtype type, const py::array& shaped_like) -> py::object {
        const py::object o = next_out();
        std::int64_t shape[max_dims];
        for (int d = 0; d < int(shaped_like.ndim()); ++d) shape[d] = shaped_like.shape(d);
        if (o.is_none()) return allocate(type, int(shaped_like.ndim()), shape, like);
        return checked_out(r.arg("out"), o, type, int(shaped_like.ndim()), shape);
    };
    py::object spread[max_inputs];  // gradients over the job's shape, of arguments that were broadcast to it
    for (int k = 0; k < count; ++k) {
        job.grad[k].data = nullptr;
        if (!(want & want_grad) || !(wrt >> k & 1)) continue;
        const py::array x = array_in(r.inputs[k]);
        grads[k] = output(r.grad_type(k), x);
        if (r.broadcasts(x)) spread[k] = allocate(dtype::float64, r.dims, r.shape, like);
        const py::array target = array_in(spread[k] ? spread[k] : grads[k]);
        r.result("out", target, spread[k] ? dtype::float64 : r.grad_type(k), job.grad[k]);
    }
    if (want & want_hess) {
        hess_array = output(r.grad_type(0), first);
        r.result("out", array_in(hess_array), r.grad_type(0), job.hess);
    }
    const std::size_t arrays = several ? py::reinterpret_borrow<py::tuple>(out).size() : 1;
    if (!out.is_none() && arrays != given)
        throw py::value_error(r.arg("out").text() + " has " + std::to_string(arrays) + " arrays, expected " +
                              std::to_string(given));
    if (!out.is_none()) {
        const py::object* const results[] = {&grads[0], &grads[1], &grads[2],
                                             &grads[3], &grads[4], &hess_array};
        for (const py::object* a : results) {
            if (!*a) continue;
            for (const py::object* b : results)
                if (a < b && *b && overlap(array_in(*a), array_in(*b)))
                    throw py::value_error(r.arg("out").text() + ": two of the arrays overlap");
            protect(r, array_in(*a));
        }
    }

    fusedloss::sum s{0.0, 0.0};
    job.total_scale = 1.0;
    if (job.count) s = without_gil(job.count, [&] { return rt::run(loss, job, threads); });
    double mean_value = fusedloss::rounded(s) / divisor;
    if (divisor > 1.0 && std::isinf(mean_value)) {
        // The sum left the range of double; the mean may not have.
        constexpr double small = 0x1p-64;
        job.total_scale = small;
        job.hess.data = nullptr;
        for (int k = 0; k < count; ++k) job.grad[k].data = nullptr;
        s = without_gil(job.count, [&] { return rt::run(loss, job, threads); });
        mean_value = fusedloss::rounded(s) / divisor / small;
    }

    for (int k = 0; k < count; ++k)
        if (spread[k]) sum_into(array_in(spread[k]), array_in(grads[k]));

    py::object value = py::none();
    if (want & want_value) {
        if (reduce == none)
            value = value_array;
        else if (reduce == partial)
            value = py::make_tuple(s.high, s.low, weight_total.high, weight_total.low, job.count);
        else
            value = py::float_(mean_value);
    }
    py::list results;
    for (int k = 0; k < count; ++k)
        if (grads[k]) results.append(grads[k]);
    return py::make_tuple(value, py::tuple(results), hess_array ? hess_array : py::none());
}

}  // namespace
}  // namespace fusedloss_python

void register_elementwise(pybind11::module_& m) {
    namespace py = pybind11;
    m.def("elementwise", fusedloss_python::elementwise, py::arg("loss"), py::arg("label"), py::arg("inputs"),
          py::arg("params"), py::arg("sample_weight"), py::arg("weight"), py::arg("weight_normalises"),
          py::arg("cotangent"), py::arg("reduction"), py::arg("want"), py::arg("wrt"), py::arg("out"),
          py::arg("threads"), "Runs one elementwise loss; returns (value, gradients, hessian).");
}
