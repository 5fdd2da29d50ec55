#include "mvd/voxelize.hpp"

#include <algorithm>

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

void check_triples(const py::array& array, const char* name) {
    check_dims(array, 2, name);
    if (array.shape(1) != 3) {
        throw Error(std::string(name) + ": expected 3 columns, found " +
                    std::to_string(array.shape(1)));
    }
}

// The grid to fill, of a mesh whose arrays were checked.
Array<Word> new_grid(const Array<double>& vertices, const Array<std::int64_t>& faces,
                     GridShape shape) {
    check_triples(vertices, "vertices");
    check_triples(faces, "faces");
    if (std::min({shape.x, shape.y, shape.z}) < 0) {
        throw Error("grid: expected a shape of three sizes from 0 up");
    }
    return Array<Word>({shape.x, shape.y, shape.words()});
}

py::tuple voxelize_surface(const Array<double>& vertices, const Array<std::int64_t>& faces,
                           std::int64_t x, std::int64_t y, std::int64_t z, int threads) {
    const GridShape shape{1, x, y, z};
    Array<Word> packed = new_grid(vertices, faces, shape);
    Word* out = packed.mutable_data();
    SurfaceCounts counts{};
    {
        py::gil_scoped_release release;
        counts = mvd::voxelize_surface(vertices.data(), vertices.shape(0), faces.data(),
                                       faces.shape(0), out, shape, threads);
    }
    return py::make_tuple(packed, counts.bad, counts.degenerate);
}

py::tuple voxelize_centres(const Array<double>& vertices, const Array<std::int64_t>& faces,
                           std::int64_t x, std::int64_t y, std::int64_t z, int threads) {
    const GridShape shape{1, x, y, z};
    Array<Word> packed = new_grid(vertices, faces, shape);
    Word* out = packed.mutable_data();
    std::int64_t disputed = 0;
    {
        py::gil_scoped_release release;
        disputed = mvd::voxelize_centres(vertices.data(), vertices.shape(0), faces.data(),
                                         faces.shape(0), out, shape, threads);
    }
    return py::make_tuple(packed, disputed);
}

}  // namespace

void bind_voxelize(py::module_& module) {
    module.def("voxelize_surface", &voxelize_surface, py::arg("vertices").noconvert(),
               py::arg("faces").noconvert(), py::arg("x"), py::arg("y"), py::arg("z"),
               py::arg("threads") = 0);
    module.def("voxelize_centres", &voxelize_centres, py::arg("vertices").noconvert(),
               py::arg("faces").noconvert(), py::arg("x"), py::arg("y"), py::arg("z"),
               py::arg("threads") = 0);
}

}  // namespace mvd::bind
