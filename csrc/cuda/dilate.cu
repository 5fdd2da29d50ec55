#include <algorithm>

#include "cuda/launch.hpp"
#include "mvd/line.hpp"
#include "mvd/morphology.hpp"

namespace mvd::cuda {

namespace {

// ORs each voxel onto those `shift` before and after it along one axis.
struct SpreadWord {
    const Word* from;
    Word* to;
    GridShape shape;
    int axis;
    std::int64_t shift;  // along z at most kWordBits - 1

    MVD_HD void operator()(std::int64_t line, std::int64_t i) const {
        const std::int64_t w = shape.words();
        const std::int64_t at = line * w + i;
        to[at] = from[at] | (axis == 2 ? beside(from + line * w, i) : around(line, at));
    }

  private:
    // The voxels before and after those of word i of a line.
    MVD_HD Word beside(const Word* line, std::int64_t i) const {
        const std::int64_t w = shape.words(), begin = i * kWordBits;
        const Word spread = window(line, w, begin - shift) | window(line, w, begin + shift);
        return spread & low_mask(shape.z - begin);
    }

    // The words `shift` lines or slabs before and after word `at`, which is of line `line`.
    MVD_HD Word around(std::int64_t line, std::int64_t at) const {
        const std::int64_t edge = axis == 0 ? shape.x : shape.y;
        const std::int64_t place = axis == 0 ? line / shape.y % shape.x : line % shape.y;
        const std::int64_t step = shift * shape.words() * (axis == 0 ? shape.y : 1);
        return (place >= shift ? from[at - step] : 0) |
               (place + shift < edge ? from[at + step] : 0);
    }
};

// How far the passes along an axis reach. Each doubles the reach: beside the border only half a
// window, reach + 1 voxels, is there to move without leaving a gap.
template <typename Visit>
void for_each_shift(std::int64_t steps, std::int64_t edge, std::int64_t most, const Visit& visit) {
    for (std::int64_t reach = 0; reach < std::min(steps, edge);) {
        const std::int64_t shift = std::min({reach + 1, steps - reach, most});
        visit(shift);
        reach += shift;
    }
}

}  // namespace

template <typename Queue>
void dilate(Queue queue, const Word* packed, Word* dilated, GridShape shape, std::int64_t steps,
            Word* workspace) {
    const std::int64_t edges[3] = {shape.x, shape.y, shape.z};
    const auto for_each_pass = [&](const auto& visit) {
        for (int axis = 2; axis >= 0; --axis) {
            const std::int64_t most = axis == 2 ? kWordBits - 1 : edges[axis];
            for_each_shift(steps, edges[axis], most,
                           [&](std::int64_t shift) { visit(axis, shift); });
        }
    };
    std::int64_t left = 0;
    for_each_pass([&](int, std::int64_t) { ++left; });
    if (left == 0) {  // no step: a shift by nothing copies
        for_each(queue, "dilate", shape.lines(), shape.words(),
                 SpreadWord{packed, dilated, shape, 1, 0});
        return;
    }
    const Word* from = packed;
    for_each_pass([&](int axis, std::int64_t shift) {
        Word* to = --left % 2 == 0 ? dilated : workspace;  // the last pass writes the result
        for_each(queue, "dilate", shape.lines(), shape.words(),
                 SpreadWord{from, to, shape, axis, shift});
        from = to;
    });
}

template void dilate(ThisQueue, const Word*, Word*, GridShape, std::int64_t, Word*);

}  // namespace mvd::cuda
