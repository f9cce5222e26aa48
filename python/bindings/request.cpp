#include "request.hpp"

#include <cstring>

namespace fusedloss_python {
namespace {

// The n-th of the space-separated names.
std::string_view word(const char* text, int n) {
    while (n > 0) n -= *text++ == ' ';
    return {text, std::strcspn(text, " ")};
}

}  // namespace

argument arguments::input_arg(int k) const { return {loss, word(names, k)}; }

std::string arguments::index_text(std::int64_t flat) const {
    std::string text;
    for (int d = dims - 1; d >= 0; --d) {
        text = std::to_string(flat % shape[d]) + (text.empty() ? "" : ", " + text);
        flat /= shape[d];
    }
    return dims ? "[" + text + "]" : text;
}

void arguments::refuse_label(const argument& who, const py::array& labels, std::int64_t flat,
                             std::int64_t valid, const py::object& ignored) const {
    const py::int_ label(labels.attr("flat")[py::int_(flat)]);
    std::string text = who.text() + index_text(flat) + " = " + py::cast<std::string>(py::str(label)) +
                       " is not in [0, " + std::to_string(valid) + ")";
    if (!ignored.is_none())
        text += " and is not ignore_index (" + py::cast<std::string>(py::str(ignored)) + ")";
    throw py::index_error(text);
}

void arguments::add_input(py::handle given) {
    const int k = inputs++;
    input[k] = as_array(given, weak[k]);
    type[k] = dtype_of(input_arg(k), array_in(input[k]));
}

int arguments::class_axis(const py::object& given) const {
    const py::array scores = array_in(input[0]);
    const int all = int(scores.ndim());
    if (all == 0) throw py::value_error(input_arg(0).text() + " is a single number, expected a class axis");
    if (given.is_none()) return all > 1 ? 1 : 0;
    const int chosen = py::cast<int>(given);
    if (chosen < -all || chosen >= all)
        throw py::value_error(arg("axis").text() + " is " + std::to_string(chosen) + ", but " +
                              std::string(input_arg(0).name) + " has shape " + shape_text(scores));
    return chosen < 0 ? chosen + all : chosen;
}

void arguments::set_shapes(int class_axis) {
    const py::array first = array_in(input[0]);
    full_dims = int(first.ndim());
    axis = class_axis;
    dims = 0;
    count = numbers = 1;
    for (int d = 0; d < full_dims; ++d) {
        full_shape[d] = first.shape(d);
        numbers *= full_shape[d];
        if (d == axis) continue;
        shape[dims++] = full_shape[d];
        count *= full_shape[d];
    }
}

dtype arguments::value_type() const {
    bool found = false;
    dtype result = dtype::float64;
    for (int k = 0; k < inputs; ++k) {
        if (weak[k] || !is_float(type[k])) continue;
        if (!found)
            result = type[k];
        else if (result == dtype::float64 || type[k] == dtype::float64)
            result = dtype::float64;
        else if (result != type[k])
            result = dtype::float32;
        found = true;
    }
    return result;
}

bool arguments::single() const {
    bool enough = is_float(type[0]) && !weak[0];
    for (int k = 0; k < inputs; ++k) enough = enough && (weak[k] || type[k] != dtype::float64);
    return enough;
}

py::handle arguments::like_bfloat16() const {
    for (int k = 0; k < inputs; ++k)
        if (type[k] == dtype::bfloat16) return input[k];
    return {};
}

bool arguments::broadcasts(int k) const { return !has_shape(array_in(input[k]), dims_of(k), shape_of(k)); }

void arguments::place(const argument& who, const py::array& a, dtype t, class_array& to) const {
    strided& rows = to.rows;
    view(who, a, t, full_dims, full_shape, rows);
    const int own = axis - (full_dims - int(a.ndim()));
    if (own < 0 || std::int64_t(a.shape(own)) != full_shape[axis])
        throw py::value_error(who.text() + " has shape " + shape_text(a) + ", which lacks the " +
                              std::to_string(full_shape[axis]) + " classes of " +
                              shape_text(full_dims, full_shape));
    to.step = rows.stride[axis];
    for (int d = axis + 1; d < full_dims; ++d) rows.stride[d - 1] = rows.stride[d];
}

void arguments::place(const argument& who, int k, const py::array& a, dtype t, class_array& to) const {
    if (k >= narrow) return place(who, a, t, to.rows);
    if (k != looked_up) return place(who, a, t, to);
    const std::int64_t own[] = {a.ndim() == 2 ? std::int64_t(a.shape(0)) : -1, full_shape[axis]};
    if (!has_shape(a, 2, own))
        throw py::value_error(who.text() + " has shape " + shape_text(a) + ", expected rows of " +
                              std::to_string(own[1]) + " numbers");
    view(who, a, t, 2, own, to.rows);
    to.step = to.rows.stride[1];
    for (int d = 1; d < max_dims; ++d) to.rows.stride[d] = 0;
}

py::array as_array(py::handle given, bool& weak) {
    weak = PyFloat_Check(given.ptr()) || PyLong_Check(given.ptr());
    if (weak) {
        py::array a(py::dtype::of<double>(), std::vector<py::ssize_t>{});
        *static_cast<double*>(a.mutable_data()) = py::cast<double>(given);
        return a;
    }
    const py::array a = py::reinterpret_borrow<py::array>(given);
    if (!has_swapped_bytes(a)) return a;
    return py::array(a.attr("astype")(a.dtype().attr("newbyteorder")("=")));
}

py::object outputs::next(dtype type, int dims, const std::int64_t* shape) {
    py::object o = py::none();
    if (!py::isinstance<py::tuple>(given_)) {
        if (taken_ == 0) o = given_;
    } else if (const py::tuple each = py::reinterpret_borrow<py::tuple>(given_); taken_ < each.size()) {
        o = each[taken_];
    }
    ++taken_;
    if (o.is_none()) return allocate(type, dims, shape, all_.like_bfloat16());
    return checked_out(all_.arg("out"), o, type, dims, shape);
}

bool outputs::complete(const std::vector<py::array>& results) const {
    if (given_.is_none()) return false;
    const std::string out = all_.arg("out").text();
    const std::size_t arrays =
        py::isinstance<py::tuple>(given_) ? py::reinterpret_borrow<py::tuple>(given_).size() : 1;
    if (arrays != taken_)
        throw py::value_error(out + " has " + std::to_string(arrays) + " arrays, expected " +
                              std::to_string(taken_));
    for (std::size_t a = 0; a < results.size(); ++a)
        for (std::size_t b = a + 1; b < results.size(); ++b)
            if (overlap(results[a], results[b])) throw py::value_error(out + ": two of the arrays overlap");
    return true;
}

void sum_into(const py::array& full, const py::array& out) {
    const int extra = int(full.ndim() - out.ndim());
    py::list axes;
    for (int d = 0; d < int(full.ndim()); ++d)
        if (d < extra || out.shape(d - extra) == 1) axes.append(d);
    const py::object total = full.attr("sum")(py::arg("axis") = py::tuple(axes));
    out[py::ellipsis()] = py::array(total).attr("reshape")(out.attr("shape"));
}

}  // namespace fusedloss_python
