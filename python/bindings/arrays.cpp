#include "arrays.hpp"

#include <atomic>
#include <cstring>

namespace fusedloss_python {

std::string shape_text(const py::array& a) { return py::cast<std::string>(py::str(a.attr("shape"))); }

std::string shape_text(int dims, const std::int64_t* shape) {
    std::string text = "(";
    for (int d = 0; d < dims; ++d)
        text += std::to_string(shape[d]) + (d + 1 < dims ? ", " : dims == 1 ? "," : "");
    return text + ")";
}

bool is_float(dtype type) { return type <= dtype::bfloat16; }

bool has_shape(const py::array& a, int dims, const std::int64_t* shape) {
    if (int(a.ndim()) != dims) return false;
    for (int d = 0; d < dims; ++d)
        if (std::int64_t(a.shape(d)) != shape[d]) return false;
    return true;
}

bool has_swapped_bytes(const py::array& a) {
    return a.dtype().byteorder() == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '>' : '<');
}

void refuse_none(const argument& who) { throw py::type_error(who.text() + " is None, expected an array"); }

dtype dtype_of(const argument& who, const py::array& a) {
    // NumPy's type numbers are part of its ABI and cheaper to read than names.
    const py::dtype descriptor = a.dtype();
    const auto integer = [](py::ssize_t size, bool is_signed) {
        switch (size) {
            case 1: return is_signed ? dtype::int8 : dtype::uint8;
            case 2: return is_signed ? dtype::int16 : dtype::uint16;
            case 4: return is_signed ? dtype::int32 : dtype::uint32;
            default: return is_signed ? dtype::int64 : dtype::uint64;
        }
    };
    const int number = descriptor.num();
    if (number == 0) return dtype::boolean;
    if (number >= 1 && number <= 10) return integer(descriptor.itemsize(), number % 2 == 1);
    if (number == 11) return dtype::float32;
    if (number == 12) return dtype::float64;
    if (number == 23) return dtype::float16;
    // Types of other packages get their number when they are registered, once per process.
    static std::atomic<int> bfloat16_number{-1};
    if (number == bfloat16_number.load(std::memory_order_relaxed)) return dtype::bfloat16;
    const std::string name = py::cast<std::string>(py::str(descriptor));
    if (name == "bfloat16") {
        bfloat16_number.store(number, std::memory_order_relaxed);
        return dtype::bfloat16;
    }
    throw py::type_error(who.text() + " has dtype " + name +
                         "; expected a real floating, integer or bool array");
}

void view(const argument& who, const py::array& a, dtype type, int dims, const std::int64_t* shape,
          strided& out) {
    const int own = int(a.ndim());
    bool fits = own <= dims;
    for (int d = 0; d < dims && fits; ++d) {
        const int k = d - (dims - own);
        const std::int64_t length = k < 0 ? 1 : std::int64_t(a.shape(k));
        fits = length == shape[d] || length == 1;
        out.stride[d] = k < 0 || length == 1 ? 0 : std::int64_t(a.strides(k));
    }
    if (!fits)
        throw py::value_error(who.text() + " has shape " + shape_text(a) + ", which does not broadcast to " +
                              shape_text(dims, shape));
    out.data = const_cast<void*>(a.data());
    out.type = type;
}

py::array allocate(dtype type, int dims, const std::int64_t* shape, py::handle like) {
    std::vector<py::ssize_t> extent(shape, shape + dims);
    switch (type) {
        case dtype::float32: return py::array(py::dtype::of<float>(), std::move(extent));
        case dtype::float16: return py::array(py::dtype("e"), std::move(extent));
        case dtype::bfloat16:
            return py::array(py::reinterpret_borrow<py::array>(like).dtype(), std::move(extent));
        default: return py::array(py::dtype::of<double>(), std::move(extent));
    }
}

py::array checked_out(const argument& who, py::handle given, dtype type, int dims,
                      const std::int64_t* shape) {
    if (!py::isinstance<py::array>(given))
        throw py::type_error(who.text() + " must be a numpy array, got " +
                             py::cast<std::string>(py::type::of(given).attr("__name__")));
    const py::array a = py::reinterpret_borrow<py::array>(given);
    const dtype found = dtype_of(who, a);
    if (!has_shape(a, dims, shape))
        throw py::value_error(who.text() + " has shape " + shape_text(a) + ", expected " +
                              shape_text(dims, shape));
    if (found != type) {
        static const char* const names[] = {"float32", "float64", "float16", "bfloat16"};
        throw py::type_error(who.text() + " has dtype " + py::cast<std::string>(py::str(a.dtype())) +
                             ", expected " + names[int(type)]);
    }
    if (has_swapped_bytes(a)) throw py::type_error(who.text() + " is not in native byte order");
    if (!a.writeable()) throw py::value_error(who.text() + " is read-only");
    return a;
}

bool overlap(const py::array& a, const py::array& b) {
    const auto extent = [](const py::array& x, const char*& low, const char*& high) {
        low = high = static_cast<const char*>(x.data());
        for (int d = 0; d < int(x.ndim()); ++d) {
            if (x.shape(d) == 0) {
                high = low;
                return false;
            }
            const py::ssize_t reach = (x.shape(d) - 1) * x.strides(d);
            (reach < 0 ? low : high) += reach;
        }
        high += x.itemsize();
        return true;
    };
    const char *a_low, *a_high, *b_low, *b_high;
    return extent(a, a_low, a_high) && extent(b, b_low, b_high) && a_low < b_high && b_low < a_high;
}

bool same_view(const py::array& a, const py::array& b) {
    if (a.data() != b.data() || a.ndim() != b.ndim() || a.itemsize() != b.itemsize()) return false;
    for (int d = 0; d < int(a.ndim()); ++d)
        if (a.shape(d) != b.shape(d) || (a.shape(d) > 1 && a.strides(d) != b.strides(d))) return false;
    return true;
}

}  // namespace fusedloss_python
