#include "mvd/odm.hpp"

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

void check_edge(GridShape shape) {
    if (odm_edge(shape) > kMaxOdmEdge) {
        throw Error("grid: depth maps hold edges up to " + std::to_string(kMaxOdmEdge) +
                    ", found " + std::to_string(odm_edge(shape)));
    }
}

Array<Depth> new_odms(GridShape shape) {
    check_edge(shape);
    const py::ssize_t n = odm_edge(shape);
    return Array<Depth>({shape.batch, static_cast<py::ssize_t>(kFaces), n, n});
}

Array<Depth> extract_odms(const Array<Word>& packed, std::int64_t z, int threads) {
    const GridShape shape = packed_shape(packed, z, "packed");
    Array<Depth> odms = new_odms(shape);
    const Word* in = packed.data();
    Depth* out = odms.mutable_data();
    py::gil_scoped_release release;
    mvd::extract_odms(in, out, shape, threads);
    return odms;
}

Array<Depth> extract_odms_dense(const Array<bool>& dense, int threads) {
    const GridShape shape = dense_shape(dense, "dense");
    Array<Depth> odms = new_odms(shape);
    const auto* in = reinterpret_cast<const std::uint8_t*>(dense.data());
    Depth* out = odms.mutable_data();
    py::gil_scoped_release release;
    mvd::extract_odms_dense(in, out, shape, threads);
    return odms;
}

Array<Word> project_odms(const Array<Depth>& odms, std::int64_t x, std::int64_t y, std::int64_t z,
                         int votes, int threads) {
    check_dims(odms, 4, "odms");
    const GridShape shape{odms.shape(0), x, y, z};
    const std::int64_t n = odm_edge(shape);
    check_edge(shape);
    if (odms.shape(1) != kFaces || odms.shape(2) != n || odms.shape(3) != n) {
        throw Error("odms: expected (B, 6, " + std::to_string(n) + ", " + std::to_string(n) +
                    "), found (" + std::to_string(odms.shape(0)) + ", " +
                    std::to_string(odms.shape(1)) + ", " + std::to_string(odms.shape(2)) + ", " +
                    std::to_string(odms.shape(3)) + ")");
    }
    if (std::min({x, y, z}) < 1 || votes < 1 || votes > kFaces) {
        throw Error("project_odms: expected edges of at least 1 and 1 to 6 votes, found " +
                    std::to_string(x) + "x" + std::to_string(y) + "x" + std::to_string(z) +
                    " and " + std::to_string(votes));
    }
    Array<Word> packed = new_packed(shape);
    const Depth* in = odms.data();
    Word* out = packed.mutable_data();
    py::gil_scoped_release release;
    mvd::project_odms(in, out, shape, votes, threads);
    return packed;
}

}  // namespace

void bind_odm(py::module_& module) {
    module.def("extract_odms", &extract_odms, py::arg("packed").noconvert(), py::arg("z"),
               py::arg("threads") = 0);
    module.def("extract_odms_dense", &extract_odms_dense, py::arg("dense").noconvert(),
               py::arg("threads") = 0);
    module.def("project_odms", &project_odms, py::arg("odms").noconvert(), py::arg("x"),
               py::arg("y"), py::arg("z"), py::arg("votes") = 1, py::arg("threads") = 0);
}

}  // namespace mvd::bind
