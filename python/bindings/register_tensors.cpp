// PyTorch's tensors as arrays, by the table of C functions that DLPack 1.2 has its types offer: a call
// of Python for every tensor takes longer than a small loss.
#include "arrays.hpp"

namespace fusedloss_python {
namespace {

// Of https://github.com/dmlc/dlpack, include/dlpack/dlpack.h, what is read here.
struct dl_tensor {
    void* data;
    std::int32_t device, device_number;
    std::int32_t dims;
    std::uint8_t code, bits;
    std::uint16_t lanes;
    std::int64_t* shape;
    std::int64_t* stride;  // in elements
    std::uint64_t byte_offset;
};
struct dl_exchange {
    std::uint32_t major, minor;
    void* older;
    void *allocate, *tensor_of_object, *object_of_tensor;
    int (*view)(void* object, dl_tensor* out);  // fails with an exception set
    void* stream;
};
enum dl_device { dl_cpu = 1 };
enum dl_code { dl_int = 0, dl_uint = 1, dl_float = 2, dl_bool = 6 };

// NumPy's number of the type of the elements, or -1 if it has none.
int numpy_type(const dl_tensor& t) {
    using api = py::detail::npy_api;
    static constexpr int numbers[][4] = {
        {api::NPY_INT8_, api::NPY_INT16_, api::NPY_INT32_, api::NPY_INT64_},
        {api::NPY_UINT8_, api::NPY_UINT16_, api::NPY_UINT32_, api::NPY_UINT64_},
        {-1, 23, api::NPY_FLOAT_, api::NPY_DOUBLE_},
    };
    const int size = t.bits == 8 ? 0 : t.bits == 16 ? 1 : t.bits == 32 ? 2 : t.bits == 64 ? 3 : -1;
    if (t.lanes != 1 || size < 0) return -1;
    if (t.code == dl_bool) return size == 0 ? int(api::NPY_BOOL_) : -1;
    return t.code <= dl_float ? numbers[t.code][size] : -1;
}

class views {
  public:
    views(py::capsule table, py::function otherwise)
        : table_(std::move(table)), otherwise_(std::move(otherwise)), is_neg_("is_neg") {}

    py::tuple operator()(const py::sequence& tensors) const {
        py::tuple arrays(tensors.size());
        for (std::size_t k = 0; k < arrays.size(); ++k) arrays[k] = view(tensors[k]);
        return arrays;
    }

  private:
    py::object view(const py::object& tensor) const {
        const dl_exchange& exchange = *static_cast<const dl_exchange*>(table_.get_pointer());
        if (exchange.major != 1 || !exchange.view) return otherwise_(tensor);
        dl_tensor t;
        if (exchange.view(tensor.ptr(), &t) != 0) {
            PyErr_Clear();
            return otherwise_(tensor);
        }
        const int type = numpy_type(t);
        if (t.device != dl_cpu || type < 0 || !t.stride || is_negative_of(t, tensor))
            return otherwise_(tensor);
        std::vector<py::ssize_t> strides(t.stride, t.stride + t.dims);
        for (py::ssize_t& stride : strides) stride *= t.bits / 8;
        return py::array(py::dtype(type), std::vector<py::ssize_t>(t.shape, t.shape + t.dims),
                         std::move(strides), static_cast<const char*>(t.data) + t.byte_offset, tensor);
    }

    // PyTorch negates the imaginary part of a conjugate when somebody reads it; DLPack does not tell.
    bool is_negative_of(const dl_tensor& t, const py::object& tensor) const {
        if (t.code != dl_float) return false;
        const auto told =
            py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(tensor.ptr(), is_neg_.ptr()));
        if (!told) throw py::error_already_set();
        return told.is(py::bool_(true));
    }

    py::capsule table_;
    py::function otherwise_;
    py::str is_neg_;
};

}  // namespace
}  // namespace fusedloss_python

void register_tensors(pybind11::module_& m) {
    namespace py = pybind11;
    m.def(
        "tensor_views",
        [](py::capsule table, py::function otherwise) {
            return py::cpp_function(fusedloss_python::views(std::move(table), std::move(otherwise)));
        },
        py::arg("table"), py::arg("otherwise"),
        "What makes a tuple of arrays of tensors: on their memory, or as `otherwise` has them.");
}
