// A call on its way from Python's arguments to a job and back: what every family does alike.
#pragma once

#include <cmath>
#include <cstring>

#include "arrays.hpp"
#include "fusedloss/core/blocks.hpp"
#include "fusedloss/runtime.hpp"

namespace fusedloss_python {

using fusedloss::class_array;
using fusedloss::max_dims;
using fusedloss::max_inputs;
using fusedloss::max_weights;

enum reduction { none, mean, total, batchmean, partial };  // partial: the compensated sums themselves
enum wanted : unsigned {
    want_value = 1,
    want_grad = 2,
    want_hess = 4,
    want_aux = 8,
    value_to_out = 16,     // unreduced values are the first of the results that out= may receive
    float32_results = 32,  // ... whatever the type of the inputs
    float64_values = 64,   // unreduced values are, of similarities
    reduced_array = 128,   // a reduced value is an array of the type of unreduced ones, but for halves
};

// Calls on fewer numbers are over before another thread could have taken the lock.
constexpr std::int64_t gil_threshold = 4096;

template <class F>
auto without_gil(std::int64_t numbers, F f) {
    if (numbers < gil_threshold) return f();
    py::gil_scoped_release release;
    return f();
}

// What a caller may ask for, whatever the family.
struct demands {
    py::object sample_weight, cotangent;
    int reduce;
    unsigned want, wrt;
    py::object out;
    int threads;

    // Asking the system how many threads there are costs more than a small call.
    void choose_threads(std::int64_t numbers) {
        if (threads <= 0)
            threads = numbers < fusedloss::serial_below ? 1 : fusedloss::runtime::default_threads();
    }
};

// The arrays of a call and the shapes they are seen through.
struct arguments {
    arguments(py::handle loss_name, const char* input_names) : loss(loss_name), names(input_names) {}

    py::handle loss;    // str
    const char* names;  // of the inputs, separated by spaces
    int inputs = 0;
    py::object input[max_inputs];  // arrays; Python scalars become arrays of one double
    bool weak[max_inputs];         // ... that do not decide the precision
    dtype type[max_inputs];
    py::object weight[max_weights];

    int full_dims;  // of the first input
    std::int64_t full_shape[max_dims];
    int axis = -1;  // of the classes, if there are any
    int narrow =
        max_inputs;      // inputs from this one on have one number per row, without the axis of the classes
    int looked_up = -1;  // an input with rows of its own, which the label picks
    int dims;            // of the values: those of the first input without the classes
    std::int64_t shape[max_dims];
    std::int64_t count, numbers;  // of values, and of elements of the first input
    bool rounds = false;          // results are float32, although inputs may be float64

    argument arg(std::string_view name) const { return {loss, name}; }
    argument input_arg(int k) const;
    // "[2, 3]" for a flat index of the values; nothing for a single value.
    std::string index_text(std::int64_t flat) const;
    // Of the class indices, the one that is not in [0, valid), as it was given; `ignored` is None where none
    // is.
    [[noreturn]] void refuse_label(const argument& who, const py::array& labels, std::int64_t flat,
                                   std::int64_t valid, const py::object& ignored) const;

    void add_input(py::handle given);
    // After the first input: the axis of the classes, by default 1, or 0 of a single row.
    int class_axis(const py::object& given) const;
    // After the first input: the shapes, given the axis of the classes or -1.
    void set_shapes(int class_axis);

    dtype grad_type(int k) const {
        if (rounds) return dtype::float32;
        return is_float(type[k]) ? type[k] : dtype::float64;
    }
    dtype value_type() const;
    bool single() const;
    py::handle like_bfloat16() const;
    bool broadcasts(int k) const;

    // In a job every array has the job's shape, so results are viewed like inputs.
    void place(const argument& who, const py::array& a, dtype t, strided& to) const {
        view(who, a, t, dims, shape, to);
    }
    void place(const argument& who, const py::array& a, dtype t, class_array& to) const;
    // What has the shape of input k: itself, or its gradient.
    void place(const argument& who, int, const py::array& a, dtype t, strided& to) const {
        place(who, a, t, to);
    }
    void place(const argument& who, int k, const py::array& a, dtype t, class_array& to) const;
    int dims_of(int k) const { return k < narrow ? full_dims : dims; }
    const std::int64_t* shape_of(int k) const { return k < narrow ? full_shape : shape; }
};

inline py::array array_in(const py::object& o) { return py::reinterpret_borrow<py::array>(o); }

// An array in native byte order; a Python number becomes an array of one double.
py::array as_array(py::handle given, bool& weak);
inline py::array as_array(py::handle given) {
    bool weak;
    return as_array(given, weak);
}

// The arrays that go back: given as out=, one array or a tuple with one array (or None) per result, or new.
class outputs {
  public:
    outputs(const arguments& all, py::object given) : all_(all), given_(std::move(given)) {}

    py::object next(dtype type, int dims, const std::int64_t* shape);
    // Refuses arrays that are too many or overlap; true if some were given.
    bool complete(const std::vector<py::array>& results) const;

  private:
    const arguments& all_;
    py::object given_;
    std::size_t taken_ = 0;
};

// The gradient of a broadcast argument: the sum over the elements it was broadcast to.
void sum_into(const py::array& full, const py::array& out);

inline void*& data_of(strided& a) { return a.data; }
inline void*& data_of(class_array& a) { return a.rows.data; }

template <class Job>
struct request : arguments {
    // Most of a job is strides of dimensions that are not there: left uninitialised.
    using arguments::arguments;

    Job job;
    py::object value, hess, aux, grad[max_inputs];
    py::object spread[max_inputs];  // gradients over the job's shape, of arguments that were broadcast to it
    double divisor = 1.0;
    fusedloss::sum weights;  // what a mean divides by, unrounded
    bool in_place = false;   // a result replaces an input, so the job cannot run twice

    void prepare(const py::tuple& params, double* values) {
        for (std::size_t k = 0; k < params.size(); ++k) values[k] = py::cast<double>(params[k]);
        job.params = values;
        job.inputs = inputs;
        job.dims = dims;
        job.count = count;
        std::memcpy(job.shape, shape, sizeof(std::int64_t) * std::size_t(dims));
        for (int k = 0; k < inputs; ++k) place(input_arg(k), k, array_in(input[k]), type[k], job.in[k]);
        job.single = single() || rounds;
        job.weights = 0;
        job.total_scale = 1.0;
    }

    void add_weight(const argument& who, const py::array& a) {
        weight[job.weights] = a;
        place(who, a, dtype_of(who, a), job.weight[job.weights]);
        ++job.weights;
    }

    void refuse_weight(std::int64_t flat) const {
        throw py::value_error(arg("sample_weight").text() + index_text(flat) + " is negative or not finite");
    }

    // After all weights: what gradients are multiplied by.
    void set_scales(const demands& d) {
        if (d.reduce == mean) divisor = fusedloss::rounded(weights);
        if (d.reduce == batchmean) divisor = dims ? double(shape[0]) : 1.0;
        job.grad_scale = divisor == 0.0 ? 0.0 : 1.0 / divisor;
        if (d.cotangent.is_none()) return;
        const argument who = arg("grad_output");
        const py::array c = as_array(d.cotangent);
        dtype_of(who, c);
        if (c.ndim() == 0)
            job.grad_scale *= py::cast<double>(c.attr("item")());
        else if (d.reduce == none)
            add_weight(who, c);
        else
            throw py::value_error(who.text() + " has shape " + shape_text(c) +
                                  ", expected a scalar as the loss is reduced");
    }

    void make_outputs(const demands& d) {
        const py::handle like = like_bfloat16();
        job.total = (d.want & want_value) && d.reduce != none;
        job.value.data = data_of(job.hess) = nullptr;
        outputs given(*this, d.out);
        const argument out = arg("out");
        if ((d.want & want_value) && d.reduce == none) {
            value = d.want & value_to_out ? given.next(value_type(), dims, shape)
                                          : py::object(allocate(value_type(), dims, shape, like));
            place(arg("value"), array_in(value), value_type(), job.value);
        }
        for (auto& g : job.grad) data_of(g) = nullptr;
        for (int k = 0; k < inputs; ++k) {
            if (!(d.want & want_grad) || !(d.wrt >> k & 1)) continue;
            const py::array x = array_in(input[k]);
            std::int64_t own[max_dims];
            for (int i = 0; i < int(x.ndim()); ++i) own[i] = x.shape(i);
            grad[k] = given.next(grad_type(k), int(x.ndim()), own);
            if (k == looked_up) continue;
            if (broadcasts(k)) spread[k] = allocate(dtype::float64, dims_of(k), shape_of(k), like);
            place(out, k, array_in(spread[k] ? spread[k] : grad[k]),
                  spread[k] ? dtype::float64 : grad_type(k), job.grad[k]);
        }
        if (d.want & want_hess) {
            hess = given.next(grad_type(0), full_dims, full_shape);
            place(out, array_in(hess), grad_type(0), job.hess);
        }
        std::vector<py::array> written;
        if (d.want & value_to_out) written.push_back(array_in(value));
        for_each_result([&](const py::array& a) { written.push_back(a); });
        if (!given.complete(written)) return;
        // A row is read again for each of its results.
        const bool may_replace = axis < 0 || written.size() == 1;
        for (const py::array& a : written) protect(a, may_replace);
    }

    template <class F>
    void for_each_result(F f) const {
        for (int k = 0; k < inputs; ++k)
            if (grad[k]) f(array_in(grad[k]));
        if (hess) f(array_in(hess));
    }

    // The memory a result overlaps is read before it is written only if it is the very same view; anything
    // else is copied first.
    void protect(const py::array& out, bool may_replace) {
        const auto separate = [&](py::object& o) {
            const py::array a = array_in(o);
            if (!overlap(a, out)) return false;
            if (may_replace && same_view(a, out) && int(a.ndim()) == full_dims) {
                in_place = true;
                return false;
            }
            o = a.attr("copy")();
            return true;
        };
        for (int k = 0; k < inputs; ++k)
            if (separate(input[k])) place(input_arg(k), k, array_in(input[k]), type[k], job.in[k]);
        for (int k = 0; k < job.weights; ++k)
            if (separate(weight[k]))
                place(arg("weight"), array_in(weight[k]), job.weight[k].type, job.weight[k]);
    }

    py::object reduced(double number, bool as_array) const {
        const dtype type = value_type();
        if (!as_array || (type != dtype::float32 && type != dtype::float64)) return py::float_(number);
        py::array a = allocate(type, 0, nullptr, {});
        if (type == dtype::float32)
            *static_cast<float*>(a.mutable_data()) = float(number);
        else
            *static_cast<double*>(a.mutable_data()) = number;
        return std::move(a);
    }

    // Runs the job and gives what Python gets: value, gradients, Hessian, and what only the family has.
    template <class Run>
    py::tuple results(const demands& d, Run run) {
        // A mean may be finite where the sum leaves the range of double. Powers of two change no bits.
        constexpr double small = 0x1p-64;
        if (in_place && divisor > 1.0 && !job.single) job.total_scale = small;
        fusedloss::sum s{0.0, 0.0};
        if (count) s = without_gil(numbers, run);
        if (divisor > 1.0 && job.total_scale == 1.0 && std::isinf(fusedloss::rounded(s))) {
            job.total_scale = small;
            data_of(job.hess) = nullptr;
            for (auto& g : job.grad) data_of(g) = nullptr;
            s = without_gil(numbers, run);
        }
        for (int k = 0; k < inputs; ++k)
            if (spread[k]) sum_into(array_in(spread[k]), array_in(grad[k]));

        py::object first = py::none();
        if (d.want & want_value) {
            if (d.reduce == none)
                first = value;
            else if (d.reduce == partial)
                first = py::make_tuple(s.high, s.low, weights.high, weights.low, count);
            else
                first = reduced(fusedloss::rounded(s) / divisor / job.total_scale, d.want & reduced_array);
        }
        py::list gradients;
        for (int k = 0; k < inputs; ++k)
            if (grad[k]) gradients.append(grad[k]);
        return py::make_tuple(first, py::tuple(gradients), hess ? hess : py::none(), aux ? aux : py::none());
    }
};

// Every family has the same entry; `options` are what only it takes.
template <class Run>
void define_family(py::module_& m, const char* name, Run run, const char* doc) {
    m.def(name, run, py::arg("loss"), py::arg("label"), py::arg("inputs"), py::arg("params"),
          py::arg("options"), py::arg("sample_weight"), py::arg("cotangent"), py::arg("reduction"),
          py::arg("want"), py::arg("wrt"), py::arg("out"), py::arg("threads"), doc);
}

}  // namespace fusedloss_python
