#include "mvd/soft_rank.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

void check_levels(const Array<Depth>& levels, GridShape low, std::int64_t scale) {
    check_dims(levels, 5, "levels");
    const std::int64_t n = scale * odm_edge(low);
    if (levels.shape(0) != low.batch || levels.shape(2) != kFaces || levels.shape(3) != n ||
        levels.shape(4) != n) {
        throw Error("levels: expected (" + std::to_string(low.batch) + ", L, 6, " +
                    std::to_string(n) + ", " + std::to_string(n) + "), found " +
                    std::string(py::str(levels.attr("shape"))));
    }
}

void check_scores(const Array<Score>& scores, std::int64_t count, const char* name) {
    check_dims(scores, 1, name);
    if (scores.shape(0) != count) {
        throw Error(std::string(name) + ": expected " + std::to_string(count) + " scores, found " +
                    std::to_string(scores.shape(0)));
    }
    const Score* begin = scores.data();
    if (std::any_of(begin, begin + count, [](Score s) { return s != std::int16_t(s); })) {
        throw Error(std::string(name) + ": expected scores within 16 bits");
    }
}

void check_before(const Array<Word>& before, GridShape shape) {
    check_dims(before, 4, "before");
    if (before.shape(0) != shape.batch || before.shape(1) != shape.x ||
        before.shape(2) != shape.y || before.shape(3) != shape.words()) {
        throw Error("before: expected (" + std::to_string(shape.batch) + ", " +
                    std::to_string(shape.x) + ", " + std::to_string(shape.y) + ", " +
                    std::to_string(shape.words()) + ") words, found " +
                    std::string(py::str(before.attr("shape"))));
    }
}

Array<Word> soft_rank(const Array<Coverage>& coverage, const Array<Depth>& levels,
                      const Array<Score>& trilinear_scores, const Array<Score>& level_scores,
                      const Array<Score>& neighbour_scores, std::int64_t scale,
                      const std::optional<Array<Word>>& before, int threads) {
    check_dims(coverage, 4, "coverage");
    const GridShape low{coverage.shape(0), coverage.shape(1), coverage.shape(2), coverage.shape(3)};
    if (low.x < 1 || low.y < 1 || low.z < 1) {
        throw Error("coverage: expected at least one voxel along each axis");
    }
    if (scale < 1 || scale > kMaxSoftScale || scale > kMaxOdmEdge / odm_edge(low)) {
        throw Error("scale: expected 1 to " + std::to_string(kMaxSoftScale) + ", found " +
                    std::to_string(scale));
    }
    check_levels(levels, low, scale);
    check_scores(trilinear_scores, kShareSteps + 1, "trilinear_scores");
    check_scores(level_scores, levels.shape(1) + 1, "level_scores");
    check_scores(neighbour_scores, kShareSteps + 1, "neighbour_scores");
    const GridShape shape = upsampled_shape(low, scale);
    if (before) check_before(*before, shape);
    Array<Word> fine = new_packed(shape);
    const Word* seen = before ? before->data() : nullptr;
    Word* out = fine.mutable_data();
    const SoftScores scores{trilinear_scores.data(), level_scores.data(), neighbour_scores.data()};
    py::gil_scoped_release release;
    mvd::soft_rank(coverage.data(), levels.data(), levels.shape(1), scores, seen, out, low, scale,
                   threads);
    return fine;
}

}  // namespace

void bind_soft_rank(py::module_& module) {
    module.def("soft_rank", &soft_rank, py::arg("coverage").noconvert(),
               py::arg("levels").noconvert(), py::arg("trilinear_scores").noconvert(),
               py::arg("level_scores").noconvert(), py::arg("neighbour_scores").noconvert(),
               py::arg("scale"), py::arg("before") = py::none(), py::arg("threads") = 0);
}

}  // namespace mvd::bind
