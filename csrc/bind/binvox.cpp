#include "mvd/binvox.hpp"

#include <algorithm>
#include <memory>
#include <utility>
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

// The runs as an array that owns them: (R, 2) uint8.
Array<std::uint8_t> owned(Runs&& made) {
    auto runs = std::make_unique<Runs>(std::move(made));
    const auto count = static_cast<py::ssize_t>(runs->size());
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(runs->data());
    const py::capsule owner(runs.release(), [](void* p) { delete static_cast<Runs*>(p); });
    return Array<std::uint8_t>({count, py::ssize_t{2}}, bytes, owner);
}

// packed (1, X, Y, W) uint64 -> runs (R, 2) uint8
Array<std::uint8_t> binvox_encode(const Array<Word>& packed, std::int64_t z) {
    const GridShape shape = single_shape(packed, z, "packed");
    const Word* in = packed.data();
    Runs runs;
    {
        py::gil_scoped_release release;
        runs = mvd::binvox_encode(in, shape);
    }
    return owned(std::move(runs));
}

// packed (1, X, Y, W) uint64, a part of a grid along x, and value and length of the run before it
// -> runs (R, 2) uint8, value and length of the run that goes on
py::tuple binvox_encode_part(const Array<Word>& packed, std::int64_t z, bool value,
                             std::int64_t length) {
    const GridShape shape = single_shape(packed, z, "packed");
    if (length < 0) throw Error("length: expected at least 0");
    const Word* in = packed.data();
    BinvoxTail tail{value, length};
    Runs runs;
    {
        py::gil_scoped_release release;
        runs = mvd::binvox_encode_part(in, shape, tail);
    }
    return py::make_tuple(owned(std::move(runs)), tail.value, tail.length);
}

// value and length of the run that the last part left -> runs (R, 2) uint8
Array<std::uint8_t> binvox_encode_tail(bool value, std::int64_t length) {
    if (length < 0) throw Error("length: expected at least 0");
    return owned(mvd::binvox_encode_tail({value, length}));
}

}  // namespace

void bind_binvox(py::module_& module) {
    module.def("binvox_decode", &binvox_decode, py::arg("runs").noconvert(), py::arg("x"),
               py::arg("y"), py::arg("z"));
    module.def("binvox_encode", &binvox_encode, py::arg("packed").noconvert(), py::arg("z"));
    module.def("binvox_encode_part", &binvox_encode_part, py::arg("packed").noconvert(),
               py::arg("z"), py::arg("value"), py::arg("length"));
    module.def("binvox_encode_tail", &binvox_encode_tail, py::arg("value"), py::arg("length"));
}

}  // namespace mvd::bind
