#include "mvd/soft_rank.hpp"

#include <algorithm>

#include "bind/bind.hpp"

namespace mvd::bind {

namespace {

constexpr std::int64_t kKeptScores = 1 << 26;  // 256 MiB

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

Array<Word> soft_rank(const Array<Coverage>& coverage, const Array<Depth>& levels,
                      const Array<Score>& trilinear_scores, const Array<Score>& level_scores,
                      const Array<Score>& neighbour_scores, std::int64_t scale, int rounds,
                      int threads, std::int64_t keep) {
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
    if (rounds < 0) throw Error("rounds: expected at least 0, found " + std::to_string(rounds));
    if (keep < 0) throw Error("keep: expected at least 0, found " + std::to_string(keep));
    Array<Word> fine = new_packed(upsampled_shape(low, scale));
    Word* out = fine.mutable_data();
    const SoftScores scores{trilinear_scores.data(), level_scores.data(), neighbour_scores.data()};
    py::gil_scoped_release release;
    mvd::soft_rank(coverage.data(), levels.data(), levels.shape(1), scores, rounds, keep, out, low,
                   scale, threads);
    return fine;
}

}  // namespace

void bind_soft_rank(py::module_& module) {
    module.def("soft_rank", &soft_rank, py::arg("coverage").noconvert(),
               py::arg("levels").noconvert(), py::arg("trilinear_scores").noconvert(),
               py::arg("level_scores").noconvert(), py::arg("neighbour_scores").noconvert(),
               py::arg("scale"), py::arg("rounds"), py::arg("threads") = 0,
               py::arg("keep") = kKeptScores);
}

}  // namespace mvd::bind
