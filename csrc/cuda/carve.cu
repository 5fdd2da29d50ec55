// Carving, twin of csrc/cpu/carve.cpp, tile by tile.
#include "cuda/launch.hpp"
#include "cuda/tile.hpp"
#include "mvd/carve.hpp"
#include "mvd/line.hpp"

namespace mvd::cuda {

namespace {

// Coarse lines over one tile, along one axis, for a scale of at least 2.
constexpr int kCoarse = kTile / 2 + 1;

struct CarveTile {
    const Word* low;
    const Depth* odms;
    Word* fine;
    GridShape low_shape;
    Tiles tiles;
    std::int64_t scale, n;
    int votes;

    struct Shared {
        Lines x, y;                                // bits: kept; one, two: background votes
        Word start[kCoarse][kCoarse][kTileWords];  // the coarse lines over the tile, upsampled
    };

    MVD_HD void operator()(const Block& block, Shared& shared) const {
        const Tile tile = tiles.at(block.index);
        const Views views{odms + tile.grid * kFaces * n * n, n, tiles.shape, tile};
        block.each([&](int thread) {
            const auto opinion = [](Depth pos, Depth neg, std::int64_t edge) {
                const LineOpinion line = line_opinion(pos, neg, edge);
                const bool keeps = line.keeps();
                return Flips{false, keeps ? line.first : 0, keeps ? line.end : 0,
                             line.background == 1, line.background == 2};
            };
            views.sweep(thread, shared.x, shared.y, opinion);
            if (scale > 1) upsample(tile, thread, shared);
        });
        block.each([&](int thread) {
            tiles.for_each_word(tile, thread, [&](int x, int y, int w, std::int64_t out) {
                fine[out] = carved(tile, views, x, y, w, shared);
            });
        });
    }

  private:
    // How many coarse lines lie between fine line `first` and the `more`th after it.
    MVD_HD std::uint32_t coarse(std::int64_t first, int more) const {
        const auto from = static_cast<std::uint32_t>(first), s = static_cast<std::uint32_t>(scale);
        return (from + static_cast<std::uint32_t>(more)) / s - from / s;
    }

    // Word i of coarse line (x, y), upsampled along z.
    MVD_HD Word coarse_word(std::int64_t grid, std::int64_t x, std::int64_t y,
                            std::int64_t i) const {
        const std::int64_t w = low_shape.words();
        const std::int64_t line = (grid * low_shape.x + x) * low_shape.y + y;
        return upsampled_word(low + line * w, w, scale, i);
    }

    // The part that `thread` has in filling shared.start.
    MVD_HD void upsample(Tile tile, int thread, Shared& shared) const {
        for (int i = thread; i < kCoarse * kCoarse * kTileWords; i += kBlockThreads) {
            const int w = i % kTileWords, v = i / kTileWords % kCoarse;
            const int u = i / kTileWords / kCoarse;
            const std::int64_t x = tile.x / scale + u, y = tile.y / scale + v;
            const bool over = x * scale < tile.x + kTile && y * scale < tile.y + kTile;
            if (!over || x >= low_shape.x || y >= low_shape.y ||
                tile.word + w >= tiles.shape.words()) {
                continue;
            }
            shared.start[u][v][w] = coarse_word(tile.grid, x, y, tile.word + w);
        }
    }

    MVD_HD Word carved(Tile tile, const Views& views, int x, int y, int w,
                       const Shared& shared) const {
        const std::int64_t fine_x = tile.x + x, fine_y = tile.y + y, i = tile.word + w;
        const std::int64_t pixel = fine_x * n + fine_y;
        const LineOpinion along_z =
            line_opinion(views.map(kZPos)[pixel], views.map(kZNeg)[pixel], n);
        const int needed = votes_needed(along_z, votes);
        if (needed == 0) return 0;
        const Word start = scale > 1 ? shared.start[coarse(tile.x, x)][coarse(tile.y, y)][w]
                                     : coarse_word(tile.grid, fine_x, fine_y, i);
        const Word along = word_below(along_z.end, i) & ~word_below(along_z.first, i);
        const BackgroundVotes<Word> of_x{shared.x.one_of(y, w), shared.x.two_of(y, w)};
        const BackgroundVotes<Word> of_y{shared.y.one_of(x, w), shared.y.two_of(x, w)};
        return start & along & shared.x.bits_of(x, y, w) & shared.y.bits_of(y, x, w) &
               ~outvoted(needed, of_x, of_y);
    }
};

}  // namespace

template <typename Queue>
void carve(Queue queue, const Word* low, const Depth* odms, Word* fine, GridShape low_shape,
           std::int64_t scale, int votes, std::int64_t begin, std::int64_t end) {
    const Tiles tiles{upsampled_shape(low_shape, scale), begin, end};
    for_each_block(
        queue, "carve", tiles.count(),
        CarveTile{low, odms, fine, low_shape, tiles, scale, odm_edge(tiles.shape), votes});
}

template void carve(ThisQueue, const Word*, const Depth*, Word*, GridShape, std::int64_t, int,
                    std::int64_t, std::int64_t);

}  // namespace mvd::cuda
