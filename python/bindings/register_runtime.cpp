// What was compiled in, what is active, and how many threads.
#include <pybind11/pybind11.h>

#include "fusedloss/runtime.hpp"

namespace py = pybind11;
namespace rt = fusedloss::runtime;

namespace {

py::tuple words(const char* text) { return py::tuple(py::str(text).attr("split")()); }

py::dict describe(int index, const char* name, const char* inputs, const char* params,
                  unsigned differentiable, bool hessian) {
    py::dict d;
    d["index"] = index;
    d["name"] = name;
    d["inputs"] = words(inputs);
    d["params"] = words(params);
    d["differentiable"] = differentiable;
    d["has_hessian"] = hessian;
    return d;
}

py::list losses() {
    py::list all;
    for (int i = 0; i < rt::loss_count(); ++i) {
        const rt::loss_info& info = rt::loss_at(i);
        const auto& traits = info.traits;
        py::dict d = describe(i, info.name, info.inputs, info.params, traits.differentiable, traits.hessian);
        d["shape"] = "elementwise";
        d["arrays"] = traits.inputs;
        all.append(d);
    }
    for (int i = 0; i < rt::row_loss_count(); ++i) {
        const rt::row_loss_info& info = rt::row_loss_at(i);
        const auto& traits = info.traits;
        py::dict d = describe(i, info.name, info.inputs, info.params, traits.differentiable, traits.hessian);
        d["shape"] = info.shape;
        d["arrays"] = traits.inputs;
        all.append(d);
    }
    for (int i = 0; i < rt::box_loss_count(); ++i) {
        const rt::row_loss_info& info = rt::box_loss_at(i);
        const auto& traits = info.traits;
        py::dict d = describe(i, info.name, info.inputs, info.params, traits.differentiable, traits.hessian);
        d["shape"] = info.shape;
        d["arrays"] = traits.inputs;
        all.append(d);
    }
    for (int i = 0; i < rt::pair_loss_count(); ++i) {
        const rt::pair_loss_info& info = rt::pair_loss_at(i);
        const auto& traits = info.traits;
        py::dict d = describe(i, info.name, info.inputs, info.params, traits.differentiable, false);
        d["shape"] = "pairs";
        d["arrays"] = traits.vectors + traits.numbers;
        all.append(d);
    }
    for (int i = 0; i < rt::overlap_loss_count(); ++i) {
        const rt::overlap_loss_info& info = rt::overlap_loss_at(i);
        py::dict d = describe(i, info.name, info.inputs, info.params, 1, false);
        d["shape"] = "overlap";
        d["grouped"] = info.traits.grouped;
        d["arrays"] = 1;
        all.append(d);
    }
    return all;
}

py::dict isa_levels() {
    py::dict levels;
    for (int i = 0; i < rt::isa_count(); ++i) levels[rt::isa_name(i)] = rt::isa_supported(i);
    return levels;
}

}  // namespace

void register_runtime(py::module_& m) {
    m.def("losses", losses,
          "Every compiled loss: shape of its formula, index, name, inputs, number of them that are arrays of "
          "numbers, params, differentiable (bit mask), has_hessian.");
    m.def("isa_levels", isa_levels, "Compiled ISA levels, best first, and whether this CPU supports them.");
    m.def("active_isa", rt::active_isa, "The ISA level in use.");
    m.def("set_isa", rt::set_isa, py::arg("name"),
          "Use an ISA level; False if it is unknown or unsupported here.");
    m.def("default_threads", rt::default_threads, "Threads a call uses unless told otherwise.");
    m.def("set_threads", rt::set_threads, py::arg("n"),
          "Threads of every later call; 0 restores the default.");
    m.def("cgroup_cpu_limit", rt::cgroup_cpu_limit, "CPUs the cgroup quota allows, 0 if unlimited.");
    m.def("openmp", rt::openmp_name, "The OpenMP version compiled in, or 'none'.");
    m.def("compiler", rt::compiler, "The compiler of the core.");
    m.def("last_level_cache", rt::last_level_cache, "Bytes of the last-level cache.");
    m.def("watch_forks", rt::watch_forks, "Registers the fork guard; called once at import.");
}
