#include "mvd/morphology.hpp"

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

Array<Word> dilate(const Array<Word>& packed, std::int64_t z, std::int64_t steps, int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    if (steps < 0) throw Error("steps: expected at least 0, found " + std::to_string(steps));
    Array<Word> dilated = new_packed(shape);
    const Word* in = packed.data();
    Word* out = dilated.mutable_data();
    py::gil_scoped_release release;
    mvd::dilate(in, out, shape, steps, threads);
    return dilated;
}

Array<Word> keep_largest(const Array<Word>& packed, std::int64_t z, int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    Array<Word> kept = new_packed(shape);
    const Word* in = packed.data();
    Word* out = kept.mutable_data();
    py::gil_scoped_release release;
    mvd::keep_largest(in, out, shape, threads);
    return kept;
}

Array<Word> remove_small_parts(const Array<Word>& packed, std::int64_t z, std::int64_t voxels,
                               int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    if (voxels < 0) throw Error("voxels: expected at least 0, found " + std::to_string(voxels));
    Array<Word> kept = new_packed(shape);
    const Word* in = packed.data();
    Word* out = kept.mutable_data();
    py::gil_scoped_release release;
    mvd::remove_small_parts(in, out, shape, voxels, threads);
    return kept;
}

void remove_small_parts_within(Array<Word> packed, std::int64_t z, const Array<Word>& coarse,
                               std::int64_t coarse_z, std::int64_t voxels, int threads) {
    const GridShape fine = packed_shape(packed, z, "packed");
    const GridShape shape = packed_shape(coarse, coarse_z, "coarse");
    if (voxels < 0) throw Error("voxels: expected at least 0, found " + std::to_string(voxels));
    const std::int64_t scale = shape.x > 0 ? fine.x / shape.x : 0;
    if (scale < 1 || fine.batch != shape.batch || fine.x != scale * shape.x ||
        fine.y != scale * shape.y || fine.z != scale * shape.z) {
        throw Error("coarse: expected edges that are those of the grid divided by one number");
    }
    Word* grid = packed.mutable_data();
    const Word* whole = coarse.data();
    py::gil_scoped_release release;
    mvd::remove_small_parts_within(grid, whole, shape, scale, voxels, threads);
}

Array<std::int64_t> count_parts(const Array<Word>& packed, std::int64_t z, int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    Array<std::int64_t> counts(shape.batch);
    const Word* in = packed.data();
    std::int64_t* out = counts.mutable_data();
    py::gil_scoped_release release;
    mvd::count_parts(in, out, shape, threads);
    return counts;
}

Array<Word> fill_holes(const Array<Word>& packed, std::int64_t z, int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    Array<Word> filled = new_packed(shape);
    const Word* in = packed.data();
    Word* out = filled.mutable_data();
    py::gil_scoped_release release;
    mvd::fill_holes(in, out, shape, threads);
    return filled;
}

}  // namespace

void bind_morphology(py::module_& module) {
    module.def("dilate", &dilate, py::arg("packed").noconvert(), py::arg("z"), py::arg("steps") = 1,
               py::arg("threads") = 0);
    module.def("fill_holes", &fill_holes, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("threads") = 0);
    module.def("keep_largest", &keep_largest, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("threads") = 0);
    module.def("remove_small_parts", &remove_small_parts, py::arg("packed").noconvert(),
               py::arg("z"), py::arg("voxels"), py::arg("threads") = 0);
    module.def("remove_small_parts_within", &remove_small_parts_within,
               py::arg("packed").noconvert(), py::arg("z"), py::arg("coarse").noconvert(),
               py::arg("coarse_z"), py::arg("voxels"), py::arg("threads") = 0);
    module.def("count_parts", &count_parts, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("threads") = 0);
}

}  // namespace mvd::bind
