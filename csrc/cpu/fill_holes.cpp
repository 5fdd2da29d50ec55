// A flood from outside, by runs: empty runs whose part does not reach the border are holes.
#include <algorithm>
#include <vector>

#include "mvd/morphology.hpp"
#include "mvd/parallel.hpp"
#include "mvd/parts.hpp"

namespace mvd {

namespace {

// in: (X, Y, W); out: the same with empty and occupied voxels exchanged.
void complement(const Word* in, Word* out, GridShape shape) {
    const std::int64_t w = shape.words();
    const Word last = low_mask(shape.z - (w - 1) * kWordBits);
    for (std::int64_t line = 0; line < shape.x * shape.y; ++line, in += w, out += w) {
        for (std::int64_t i = 0; i < w; ++i) out[i] = ~in[i];
        out[w - 1] &= last;
    }
}

}  // namespace

void fill_holes(const Word* packed, Word* filled, GridShape shape, int threads) {
    const std::int64_t grid = shape.x * shape.y * shape.words();
    if (grid == 0) return;
    parallel_for(shape.batch, 1, threads, [&](std::int64_t begin, std::int64_t end) {
        std::vector<Word> empty(static_cast<std::size_t>(grid));
        for (std::int64_t b = begin; b < end; ++b) {
            Word* out = filled + b * grid;
            std::copy_n(packed + b * grid, grid, out);
            complement(out, empty.data(), shape);
            Parts parts(empty.data(), shape);
            parts.join_neighbours();
            parts.for_each(parts.reach_border(), false,
                           [&](std::int64_t line, std::int64_t first, std::int64_t stop) {
                               set_range(out + line * shape.words(), first, stop);
                           });
        }
    });
}

}  // namespace mvd
