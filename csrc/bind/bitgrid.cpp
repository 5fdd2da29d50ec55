#include "mvd/bitgrid.hpp"

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

Array<Word> pack(const Array<bool>& dense, int threads) {
    check_dims(dense, 4, "dense");
    const GridShape shape{dense.shape(0), dense.shape(1), dense.shape(2), dense.shape(3)};
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

}  // namespace

void bind_bitgrid(py::module_& module) {
    module.def("pack", &pack, py::arg("dense").noconvert(), py::arg("threads") = 0);
    module.def("unpack", &unpack, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("threads") = 0);
}

}  // namespace mvd::bind
