#include "mvd/voxelize.hpp"

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

py::tuple voxelize_surface(const Array<double>& vertices, const Array<std::int64_t>& faces,
                           std::int64_t x, std::int64_t y, std::int64_t z, int threads) {
    check_triples(vertices, "vertices");
    check_triples(faces, "faces");
    if (x < 0 || y < 0 || z < 0) throw Error("grid: expected a shape of three sizes from 0 up");
    const GridShape shape{1, x, y, z};
    Array<Word> packed({x, y, shape.words()});
    Word* out = packed.mutable_data();
    SurfaceCounts counts{};
    {
        py::gil_scoped_release release;
        counts = mvd::voxelize_surface(vertices.data(), vertices.shape(0), faces.data(),
                                       faces.shape(0), out, shape, threads);
    }
    return py::make_tuple(packed, counts.bad, counts.degenerate);
}

}  // namespace

void bind_voxelize(py::module_& module) {
    module.def("voxelize_surface", &voxelize_surface, py::arg("vertices").noconvert(),
               py::arg("faces").noconvert(), py::arg("x"), py::arg("y"), py::arg("z"),
               py::arg("threads") = 0);
}

}  // namespace mvd::bind
