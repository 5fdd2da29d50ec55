#include <algorithm>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/morphology.hpp"
#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kWordGrain = 1 << 14;

// ORs each voxel of a line (W) onto those `shift` (1 to 63) before and after it.
void spread_line(Word* line, std::int64_t words, std::int64_t shift) {
    Word below = 0;  // the word before, as it was
    for (std::int64_t i = 0; i < words; ++i) {
        const Word here = line[i];
        const Word above = i + 1 < words ? line[i + 1] : 0;
        line[i] = here | here << shift | here >> shift | below >> (kWordBits - shift) |
                  above << (kWordBits - shift);
        below = here;
    }
}

// Dilates a line (W) of z voxels by `steps`. The reach doubles each time round: beside the end of
// the line only half a window, reach + 1 voxels, is there to move without leaving a gap.
void dilate_line(Word* line, std::int64_t z, std::int64_t steps) {
    const std::int64_t words = words_per_line(z);
    for (std::int64_t reach = 0; reach < std::min(steps, z);) {
        const std::int64_t shift = std::min({reach + 1, steps - reach, kWordBits - 1});
        spread_line(line, words, shift);
        reach += shift;
    }
    line[words - 1] &= low_mask(z - (words - 1) * kWordBits);
}

MVD_CLONES void or_into(Word* __restrict out, const Word* __restrict in, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) out[i] |= in[i];
}

// slab, out: (Y, W); out becomes slab dilated along y and z. lines: scratch (Y, W).
void dilate_slab(const Word* slab, Word* out, Word* lines, GridShape shape, std::int64_t steps) {
    const std::int64_t w = shape.words();
    std::copy_n(slab, shape.y * w, lines);
    for (std::int64_t y = 0; y < shape.y; ++y) dilate_line(lines + y * w, shape.z, steps);
    std::copy_n(lines, shape.y * w, out);
    for (std::int64_t step = 1; step <= std::min(steps, shape.y - 1); ++step) {
        or_into(out, lines + step * w, (shape.y - step) * w);
        or_into(out + step * w, lines, (shape.y - step) * w);
    }
}

}  // namespace

void dilate(const Word* packed, Word* dilated, GridShape shape, std::int64_t steps, int threads) {
    const std::int64_t slab = shape.y * shape.words();
    const std::int64_t grain = kWordGrain / std::max<std::int64_t>(1, slab) + 1;
    parallel_for(shape.batch * shape.x, grain, threads, [&](std::int64_t begin, std::int64_t end) {
        std::vector<Word> grown(static_cast<std::size_t>(slab));
        std::vector<Word> lines(static_cast<std::size_t>(slab));
        std::fill(dilated + begin * slab, dilated + end * slab, Word{0});
        const std::int64_t first = std::max(begin - steps, begin / shape.x * shape.x);
        const std::int64_t stop = std::min(end + steps, ((end - 1) / shape.x + 1) * shape.x);
        for (std::int64_t from = first; from < stop; ++from) {
            dilate_slab(packed + from * slab, grown.data(), lines.data(), shape, steps);
            const std::int64_t grid = from / shape.x * shape.x;  // slabs of the same grid
            const std::int64_t low = std::max({from - steps, grid, begin});
            const std::int64_t high = std::min({from + steps + 1, grid + shape.x, end});
            for (std::int64_t to = low; to < high; ++to) {
                or_into(dilated + to * slab, grown.data(), slab);
            }
        }
    });
}

}  // namespace mvd
