#include "mvd/surface.hpp"

#include <pybind11/stl.h>

#include <optional>

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

// packed (1, X, Y, W) uint64 -> vertices (V, 3) float64, faces (F, 3) int32
py::tuple surface_mesh(const Array<Word>& packed, std::int64_t z, std::array<double, 3> origin,
                       std::array<double, 3> spacing, bool smooth, double apart,
                       std::int64_t max_faces, int threads) {
    const GridShape shape = single_shape(packed, z, "packed");
    const Word* in = packed.data();
    std::optional<VoxelSurface> surface;
    {
        py::gil_scoped_release release;
        surface.emplace(in, shape, threads);
    }
    if (surface->faces() > max_faces) {
        throw Error("surface: expected at most " + std::to_string(max_faces) +
                    " triangles, found " + std::to_string(surface->faces()));
    }
    Array<double> vertices({surface->vertices(), std::int64_t{3}});
    Array<VertexIndex> faces({surface->faces(), std::int64_t{3}});
    double* out_vertices = vertices.mutable_data();
    VertexIndex* out_faces = faces.mutable_data();
    {
        py::gil_scoped_release release;
        surface->write({origin, spacing}, {smooth, apart}, out_vertices, out_faces, threads);
    }
    return py::make_tuple(std::move(vertices), std::move(faces));
}

}  // namespace

void bind_surface(py::module_& module) {
    module.def("surface_mesh", &surface_mesh, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("origin"), py::arg("spacing"), py::arg("smooth"), py::arg("apart"),
               py::arg("max_faces"), py::arg("threads") = 0);
}

}  // namespace mvd::bind
