#include "mvd/bitgrid.hpp"

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

Array<Word> pack(const Array<bool>& dense, int threads) {
    const GridShape shape = dense_shape(dense, "dense");
    Array<Word> packed = new_packed(shape);
    const auto* in = reinterpret_cast<const std::uint8_t*>(dense.data());
    Word* out = packed.mutable_data();
    py::gil_scoped_release release;
    mvd::pack(in, out, shape, threads);
    return packed;
}

Array<bool> unpack(const Array<Word>& packed, std::int64_t z, int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    Array<bool> dense({shape.batch, shape.x, shape.y, shape.z});
    const Word* in = packed.data();
    auto* out = reinterpret_cast<std::uint8_t*>(dense.mutable_data());
    py::gil_scoped_release release;
    mvd::unpack(in, out, shape, threads);
    return dense;
}

Array<Word> mirror(const Array<Word>& packed, std::int64_t z, int axis, int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    if (axis < 0 || axis > 2)
        throw Error("axis: expected 0, 1 or 2, found " + std::to_string(axis));
    Array<Word> mirrored = new_packed(shape);
    const Word* in = packed.data();
    Word* out = mirrored.mutable_data();
    py::gil_scoped_release release;
    mvd::mirror(in, out, shape, axis, threads);
    return mirrored;
}

}  // namespace

void bind_bitgrid(py::module_& module) {
    module.def("pack", &pack, py::arg("dense").noconvert(), py::arg("threads") = 0);
    module.def("unpack", &unpack, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("threads") = 0);
    module.def("mirror", &mirror, py::arg("packed").noconvert(), py::arg("z"), py::arg("axis"),
               py::arg("threads") = 0);
}

}  // namespace mvd::bind
