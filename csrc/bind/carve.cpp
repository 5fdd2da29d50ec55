#include "mvd/carve.hpp"

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

void check_options(GridShape low, std::int64_t scale, int votes) {
    if (low.x < 1 || low.y < 1 || low.z < 1) {
        throw Error("low: expected at least one voxel along each axis");
    }
    if (scale < 1 || scale > kMaxOdmEdge / odm_edge(low)) {
        throw Error("scale: expected 1 or more and fine edges up to " +
                    std::to_string(kMaxOdmEdge) + ", found " + std::to_string(scale) +
                    " for an edge of " + std::to_string(odm_edge(low)));
    }
    if (votes < 1 || votes > kNoStructure) {
        throw Error("structure_votes: expected 1 to " + std::to_string(kNoStructure) + ", found " +
                    std::to_string(votes));
    }
}

Array<Word> carve(const Array<Word>& low, std::int64_t low_z, const Array<Depth>& odms,
                  std::int64_t scale, int votes, int threads) {
    const GridShape shape = packed_shape(low, low_z, "low");
    check_options(shape, scale, votes);
    check_dims(odms, 4, "odms");
    const std::int64_t n = odm_edge(shape) * scale;
    if (odms.shape(0) != shape.batch || odms.shape(1) != kFaces || odms.shape(2) != n ||
        odms.shape(3) != n) {
        throw Error("odms: expected (" + std::to_string(shape.batch) + ", 6, " + std::to_string(n) +
                    ", " + std::to_string(n) + "), found " +
                    std::string(py::str(odms.attr("shape"))));
    }
    Array<Word> fine = new_packed({shape.batch, shape.x * scale, shape.y * scale, shape.z * scale});
    Word* out = fine.mutable_data();
    py::gil_scoped_release release;
    mvd::carve(low.data(), odms.data(), out, shape, scale, votes, threads);
    return fine;
}

}  // namespace

void bind_carve(py::module_& module) {
    module.def("carve", &carve, py::arg("low").noconvert(), py::arg("low_z"),
               py::arg("odms").noconvert(), py::arg("scale"), py::arg("structure_votes") = 2,
               py::arg("threads") = 0);
}

}  // namespace mvd::bind
