// NumPy arrays as the core sees them: checked, never converted. Every refusal names the argument.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "fusedloss/core/job.hpp"

namespace fusedloss_python {

namespace py = pybind11;
using fusedloss::dtype;
using fusedloss::strided;

// Who is asking: "huber_loss: target".
struct argument {
    py::handle loss;  // str
    std::string_view name;

    std::string text() const { return py::cast<std::string>(loss) + ": " + std::string(name); }
};

std::string shape_text(int dims, const std::int64_t* shape);
std::string shape_text(const py::array& a);
bool has_shape(const py::array& a, int dims, const std::int64_t* shape);
bool is_float(dtype type);

bool has_swapped_bytes(const py::array& a);

// TypeError for an array that is missing.
[[noreturn]] void refuse_none(const argument& who);

// The dtype of an array the core can read as it lies; TypeError for anything else.
dtype dtype_of(const argument& who, const py::array& a);

// The array seen through `shape`, to which it must broadcast.
void view(const argument& who, const py::array& a, dtype type, int dims, const std::int64_t* shape,
          strided& out);

// A new array of a floating dtype; bfloat16 needs `like`, an array that already has that dtype.
py::array allocate(dtype type, int dims, const std::int64_t* shape, py::handle like);

// An array given as out=: writable, of exactly this dtype and shape.
py::array checked_out(const argument& who, py::handle given, dtype type, int dims, const std::int64_t* shape);

// Whether the memory of two arrays overlaps (by their extents), and whether they are the same view.
bool overlap(const py::array& a, const py::array& b);
bool same_view(const py::array& a, const py::array& b);

}  // namespace fusedloss_python
