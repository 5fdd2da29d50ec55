// Extracting depth maps. The z faces are the first and last set bit of a line. The faces along y
// and x walk over lines with a mask of the pixels that have met nothing yet: a word costs one AND
// unless it holds the first voxel of some pixel, and each pixel is written once.
#include <algorithm>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/odm.hpp"
#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"

namespace mvd {

namespace {

// Work below this many words is not worth a thread of its own.
constexpr std::int64_t kWordGrain = 1 << 14;

// Lines along y that are walked together over x: enough for the prefetcher, few enough that their
// masks stay in the nearest cache.
constexpr std::int64_t kRowsPerBlock = 32;

// A row of pixels that looks across lines: which of them have met nothing yet.
struct Row {
    Word* unseen;  // (W)
    Depth* depth;  // (Z) of the row in its map
};

// Gives `depth` to every pixel of `row` that `line` (W) is the first to meet; returns how many.
inline std::int64_t meet(const Word* line, Row row, std::int64_t words, Depth depth) {
    std::int64_t met = 0;
    for (std::int64_t i = 0; i < words; ++i) {
        const Word hits = line[i] & row.unseen[i];
        if (!hits) continue;
        row.unseen[i] ^= hits;
        for_each_voxel(hits, i, [&](std::int64_t z) {
            row.depth[z] = depth;
            ++met;
        });
    }
    return met;
}

// The two z faces of the lines of slab x: (Y, W).
void view_z(const Word* slab, Depth* neg, Depth* pos, GridShape shape, std::int64_t n) {
    const std::int64_t w = shape.words();
    for (std::int64_t y = 0; y < shape.y; ++y) {
        const Word* line = slab + y * w;
        const std::int64_t first = first_voxel(line, w);
        if (first < 0) continue;
        pos[y] = static_cast<Depth>(first);
        neg[y] = static_cast<Depth>(n - 1 - last_voxel(line, w));
    }
}

// Walks `rows` rows of pixels over `steps` planes, `stride` words apart, from both ends.
// near and far: the (rows, N) pixels of the faces that start at the first and at the last plane.
struct Walk {
    const Word* planes;  // (steps, rows, W)
    std::int64_t steps, stride, rows, words;
    Depth* near;
    Depth* far;
    std::int64_t n;       // N, also the pixels from row to row of a map
    std::int64_t pixels;  // pixels of a row that lines pass through: Z
};

// Meets plane `step`; returns how many pixels it was the first to meet.
inline std::int64_t meet_plane(const Walk& walk, std::int64_t step, Word* unseen, Depth* map,
                               Depth depth) {
    const Word* plane = walk.planes + step * walk.stride;
    std::int64_t met = 0;
    for (std::int64_t r = 0; r < walk.rows; ++r) {
        const Row row{unseen + r * walk.words, map + r * walk.n};
        met += meet(plane + r * walk.words, row, walk.words, depth);
    }
    return met;
}

// unseen: scratch of (rows, W) words.
void view_across(const Walk& walk, std::vector<Word>& unseen) {
    std::fill(unseen.begin(), unseen.end(), ~Word{0});
    const std::int64_t all = walk.rows * walk.pixels;
    std::int64_t met = 0;
    for (std::int64_t step = 0; step < walk.steps && met < all; ++step) {
        met += meet_plane(walk, step, unseen.data(), walk.near, static_cast<Depth>(step));
    }
    // From the other end only the pixels that have met something are left to find.
    for (Word& word : unseen) word = ~word;
    for (std::int64_t step = walk.steps - 1; met > 0; --step) {
        met -=
            meet_plane(walk, step, unseen.data(), walk.far, static_cast<Depth>(walk.n - 1 - step));
    }
}

}  // namespace

void extract_odms(const Word* packed, Depth* odms, GridShape shape, int threads) {
    const std::int64_t n = odm_edge(shape);
    const std::int64_t w = shape.words();
    const std::int64_t slab = shape.y * w;
    const std::int64_t map = n * n;
    std::fill(odms, odms + shape.batch * kFaces * map, static_cast<Depth>(n));

    // z and y faces: a slab of x has a row of pixels of its own in each of the four maps.
    const std::int64_t slab_grain = kWordGrain / std::max<std::int64_t>(1, slab) + 1;
    parallel_for(shape.batch * shape.x, slab_grain, threads,
                 [&](std::int64_t begin, std::int64_t end) {
                     std::vector<Word> unseen(static_cast<std::size_t>(w));
                     for (std::int64_t i = begin; i < end; ++i) {
                         Depth* row = odms + i / shape.x * kFaces * map + i % shape.x * n;
                         view_z(packed + i * slab, row + kZNeg * map, row + kZPos * map, shape, n);
                         view_across({packed + i * slab, shape.y, w, 1, w, row + kYPos * map,
                                      row + kYNeg * map, n, shape.z},
                                     unseen);
                     }
                 });

    // x faces: a block of lines along y has rows of pixels of its own.
    const std::int64_t blocks = (shape.y + kRowsPerBlock - 1) / kRowsPerBlock;
    const std::int64_t block_grain =
        kWordGrain / std::max<std::int64_t>(1, shape.x * kRowsPerBlock * w) + 1;
    parallel_for(shape.batch * blocks, block_grain, threads,
                 [&](std::int64_t begin, std::int64_t end) {
                     std::vector<Word> unseen;
                     for (std::int64_t i = begin; i < end; ++i) {
                         const std::int64_t y = i % blocks * kRowsPerBlock;
                         const std::int64_t rows = std::min(kRowsPerBlock, shape.y - y);
                         Depth* row = odms + i / blocks * kFaces * map + y * n;
                         unseen.resize(static_cast<std::size_t>(rows * w));
                         view_across({packed + i / blocks * shape.x * slab + y * w, shape.x, slab,
                                      rows, w, row + kXPos * map, row + kXNeg * map, n, shape.z},
                                     unseen);
                     }
                 });
}

void extract_odms_dense(const std::uint8_t* dense, Depth* odms, GridShape shape, int threads) {
    std::vector<Word> packed(static_cast<std::size_t>(shape.lines() * shape.words()));
    pack(dense, packed.data(), shape, threads);
    extract_odms(packed.data(), odms, shape, threads);
}

}  // namespace mvd
