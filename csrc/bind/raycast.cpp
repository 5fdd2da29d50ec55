#include "mvd/raycast.hpp"

#include <cmath>

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

constexpr float kLargestRadius = 16;

// The number of (n, 3) vectors, all finite.
std::int64_t vectors(const Array<float>& array, const char* name) {
    check_dims(array, 2, name);
    if (array.shape(1) != 3) {
        throw Error(std::string(name) + ": expected 3 columns, found " +
                    std::to_string(array.shape(1)));
    }
    const float* values = array.data();
    for (std::int64_t i = 0; i < array.size(); ++i) {
        if (!std::isfinite(values[i])) throw Error(std::string(name) + ": expected finite numbers");
    }
    return array.shape(0);
}

// packed (1, X, Y, W), starts (R, 3), directions (R, 3) or (1, 3) -> distances (R)
Array<float> raycast(const Array<Word>& packed, std::int64_t z, const Array<float>& starts,
                     const Array<float>& directions, int threads) {
    const GridShape shape = single_shape(packed, z, "packed");
    const std::int64_t rays = vectors(starts, "starts");
    const std::int64_t ways = vectors(directions, "directions");
    if (ways != rays && ways != 1) {
        throw Error("directions: expected 1 or " + std::to_string(rays) + ", found " +
                    std::to_string(ways));
    }
    Array<float> distances(rays);
    const Word* in = packed.data();
    const float* from = starts.data();
    const float* along = directions.data();
    float* out = distances.mutable_data();
    py::gil_scoped_release release;
    mvd::raycast(in, shape, from, along, ways == 1, rays, out, threads);
    return distances;
}

// packed (1, X, Y, W), points (P, 3) -> normals (P, 3)
Array<float> surface_normals(const Array<Word>& packed, std::int64_t z, const Array<float>& points,
                             float radius, int threads) {
    const GridShape shape = single_shape(packed, z, "packed");
    const std::int64_t count = vectors(points, "points");
    if (!(radius > 0) || radius > kLargestRadius) {
        throw Error("radius: expected a number above 0, at most 16 voxels, found " +
                    std::to_string(radius));
    }
    Array<float> normals({count, std::int64_t{3}});
    const Word* in = packed.data();
    const float* at = points.data();
    float* out = normals.mutable_data();
    py::gil_scoped_release release;
    mvd::surface_normals(in, shape, at, count, radius, out, threads);
    return normals;
}

}  // namespace

void bind_raycast(py::module_& module) {
    module.def("raycast", &raycast, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("starts").noconvert(), py::arg("directions").noconvert(),
               py::arg("threads") = 0);
    module.def("surface_normals", &surface_normals, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("points").noconvert(), py::arg("radius"), py::arg("threads") = 0);
}

}  // namespace mvd::bind
