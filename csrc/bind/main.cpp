#include "bind/bind.hpp"

PYBIND11_MODULE(_core, module) {
    namespace py = pybind11;
    module.doc() = "The C++ core of mvd_toolkit: use it through mvd_toolkit.ops";
    py::register_exception<mvd::Error>(module, "CoreError", PyExc_ValueError);
    module.def("cuda_build", [] { return MVD_CUDA_SUMMARY; });
    mvd::bind::bind_binvox(module);
    mvd::bind::bind_bitgrid(module);
    mvd::bind::bind_carve(module);
    mvd::bind::bind_device(module);
    mvd::bind::bind_metrics(module);
    mvd::bind::bind_morphology(module);
    mvd::bind::bind_odm(module);
    mvd::bind::bind_raycast(module);
    mvd::bind::bind_resample(module);
    mvd::bind::bind_smooth(module);
    mvd::bind::bind_soft_rank(module);
    mvd::bind::bind_surface(module);
    mvd::bind::bind_voxelize(module);
}
