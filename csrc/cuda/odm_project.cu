// Projecting depth maps, twin of csrc/cpu/odm_project.cpp: along one axis a voxel is seen past by
// 0, 1 or 2 faces, which an odd bit that flips at two places and a "crossed" bit tell.
#include "cuda/launch.hpp"
#include "cuda/tile.hpp"
#include "mvd/line.hpp"
#include "mvd/odm_votes.hpp"

namespace mvd::cuda {

namespace {

// How many voxels from the near end the face that looks along an axis sees past, and from which on
// the one that looks against it does.
struct SeenPast {
    std::int32_t p, q;
};

MVD_HD SeenPast seen_past(Depth pos, Depth neg, std::int64_t n) {
    const auto edge = static_cast<std::int32_t>(n);
    return {pos < edge ? pos : edge, neg < edge ? edge - neg : 0};
}

struct ProjectTile {
    const Depth* odms;
    Word* packed;
    Tiles tiles;
    std::int64_t n;
    int votes;

    struct Shared {
        Lines x, y;  // bits: odd; one: crossed
    };

    MVD_HD void operator()(const Block& block, Shared& shared) const {
        const Tile tile = tiles.at(block.index);
        const Views views{odms + tile.grid * kFaces * n * n, n, tiles.shape, tile};
        block.each([&](int thread) {
            const auto opinion = [](Depth pos, Depth neg, std::int64_t edge) {
                const SeenPast seen = seen_past(pos, neg, edge);
                return Flips{true, seen.p, seen.q, seen.p > seen.q, false};
            };
            views.sweep(thread, shared.x, shared.y, opinion);
        });
        block.each([&](int thread) {
            tiles.for_each_word(tile, thread, [&](int x, int y, int w, std::int64_t out) {
                const std::int64_t pixel = (tile.x + x) * n + tile.y + y, i = tile.word + w;
                const SeenPast z = seen_past(views.map(kZPos)[pixel], views.map(kZNeg)[pixel], n);
                const Word pos = word_below(z.p, i), neg = ~word_below(z.q, i);
                const FaceCount count = count_faces(
                    seen(shared.x.bits_of(x, y, w), shared.x.one_of(y, w)),
                    seen(shared.y.bits_of(y, x, w), shared.y.one_of(x, w)), {pos ^ neg, pos & neg});
                packed[out] = ~count.at_least(votes) & low_mask(tiles.shape.z - i * kWordBits);
            });
        });
    }
};

}  // namespace

template <typename Queue>
void project_odms(Queue queue, const Depth* odms, Word* packed, GridShape shape, int votes) {
    const Tiles tiles{shape, 0, shape.x};
    for_each_block(queue, "project_odms", tiles.count(),
                   ProjectTile{odms, packed, tiles, odm_edge(shape), votes});
}

template void project_odms(ThisQueue, const Depth*, Word*, GridShape, int);

}  // namespace mvd::cuda
