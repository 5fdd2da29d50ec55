#include "mvd/surface.hpp"

#include <pybind11/stl.h>

#include <optional>

#include "bind/bind.hpp"
#include "mvd/odm.hpp"

namespace mvd::bind {

namespace {

// The real depths of a grid: (6, N, N) float32.
DepthMaps depth_maps(const Array<float>& depths, GridShape shape) {
    const std::int64_t n = odm_edge(shape);
    check_dims(depths, 3, "depths");
    if (depths.shape(0) != kFaces || depths.shape(1) != n || depths.shape(2) != n) {
        throw Error("depths: expected 6 maps of " + std::to_string(n) + " pixels an edge");
    }
    return {depths.data(), n};
}

// packed (1, X, Y, W) uint64 -> vertices (V, 3) float64, faces (F, 3) int32
py::tuple surface_mesh(const Array<Word>& packed, std::int64_t z, std::array<double, 3> origin,
                       std::array<double, 3> spacing, bool smooth, double apart,
                       const std::optional<Array<float>>& depths, std::int64_t max_faces,
                       int threads) {
    const GridShape shape = single_shape(packed, z, "packed");
    const Word* in = packed.data();
    DepthMaps maps{};
    if (depths) maps = depth_maps(*depths, shape);
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
        surface->write({origin, spacing}, {smooth, apart, depths ? &maps : nullptr}, out_vertices,
                       out_faces, threads);
    }
    return py::make_tuple(std::move(vertices), std::move(faces));
}

}  // namespace

void bind_surface(py::module_& module) {
    module.def("surface_mesh", &surface_mesh, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("origin"), py::arg("spacing"), py::arg("smooth"), py::arg("apart"),
               py::arg("depths"), py::arg("max_faces"), py::arg("threads") = 0);
}

}  // namespace mvd::bind
