#include "mvd/binvox.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

using Runs = std::vector<BinvoxRun>;

// Zeroed memory straight from the system: pages that stay empty are never touched.
Array<Word> zero_packed(GridShape shape) {
    const auto zeros = py::module_::import("numpy").attr("zeros");
    return zeros(py::make_tuple(shape.batch, shape.x, shape.y, shape.words()),
                 py::dtype::of<Word>());
}

// runs (R, 2) uint8 -> packed (1, X, Y, W) uint64
Array<Word> binvox_decode(const Array<std::uint8_t>& runs, std::int64_t x, std::int64_t y,
                          std::int64_t z) {
    check_dims(runs, 2, "runs");
    if (runs.shape(1) != 2) throw Error("runs: expected pairs of a value and a count");
    if (std::min({x, y, z}) < 1) throw Error("shape: expected three positive numbers");
    const GridShape shape{1, x, y, z};
    Array<Word> packed = zero_packed(shape);
    const auto* in = reinterpret_cast<const BinvoxRun*>(runs.data());
    Word* out = packed.mutable_data();
    py::gil_scoped_release release;
    mvd::binvox_decode(in, runs.shape(0), out, shape);
    return packed;
}

// packed (1, X, Y, W) uint64 -> runs (R, 2) uint8
Array<std::uint8_t> binvox_encode(const Array<Word>& packed, std::int64_t z) {
    const GridShape shape = single_shape(packed, z, "packed");
    const Word* in = packed.data();
    auto runs = std::make_unique<Runs>();
    {
        py::gil_scoped_release release;
        *runs = mvd::binvox_encode(in, shape);
    }
    const auto count = static_cast<py::ssize_t>(runs->size());
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(runs->data());
    const py::capsule owner(runs.release(), [](void* p) { delete static_cast<Runs*>(p); });
    return Array<std::uint8_t>({count, py::ssize_t{2}}, bytes, owner);
}

}  // namespace

void bind_binvox(py::module_& module) {
    module.def("binvox_decode", &binvox_decode, py::arg("runs").noconvert(), py::arg("x"),
               py::arg("y"), py::arg("z"));
    module.def("binvox_encode", &binvox_encode, py::arg("packed").noconvert(), py::arg("z"));
}

}  // namespace mvd::bind
