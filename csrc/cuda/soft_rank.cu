// One round of filling from coverage, twin of csrc/cpu/soft_rank.cpp: a block of threads for each
// coarse voxel.
#include <algorithm>

#include "cuda/launch.hpp"
#include "mvd/line.hpp"
#include "mvd/soft_rank.hpp"

namespace mvd::cuda {

namespace {

constexpr int kMaxVoxels = kMaxSoftScale * kMaxSoftScale * kMaxSoftScale;

struct FillVoxel {
    const Coverage* coverage;
    const Depth* levels;
    std::int64_t count;
    SoftScores scores;
    const Word* before;
    Word* fine;  // empty before
    GridShape low;
    std::int64_t scale, n;

    struct Shared {
        SoftKey keys[kMaxVoxels];
        std::uint8_t chosen[kMaxVoxels];
    };

    // A coarse voxel, of grid `grid`.
    struct Place {
        std::int64_t grid, x, y, z;
    };

    MVD_HD void operator()(const Block& block, Shared& shared) const {
        const int voxels = static_cast<int>(scale * scale * scale);
        const auto wanted = static_cast<int>(covered(coverage[block.index], voxels));
        if (wanted == 0) return;
        const std::int64_t slab = block.index / (low.y * low.z);
        const Place at{slab / low.x, slab % low.x, block.index / low.z % low.y,
                       block.index % low.z};
        if (wanted < voxels) {
            block.each([&](int thread) {
                for (int i = thread; i < voxels; i += kBlockThreads) shared.keys[i] = key(at, i);
            });
        }
        block.each([&](int thread) {
            for (int i = thread; i < voxels; i += kBlockThreads) {
                shared.chosen[i] = wanted == voxels || rank(i, voxels, shared) < wanted;
            }
        });
        block.each([&](int thread) {
            if (thread < scale * scale) write(at, thread, shared);
        });
    }

  private:
    MVD_HD SoftKey key(Place at, int i) const {
        const int s = static_cast<int>(scale);
        const int x = i / (s * s), y = i / s % s, z = i % s;
        const std::int64_t u = at.x * s + x, v = at.y * s + y, w = at.z * s + z;
        const std::uint32_t share = trilinear(at, x, y, z);
        const Score score = lone_score(scores, share, kept(at.grid, u, v, w), scale);
        if (!before) return soft_key(score, share);
        const std::uint32_t weight = neighbours(at.grid, u, v, w);
        return soft_key(score + neighbour_score(scores, weight), weight);
    }

    // What the occupied neighbours of a fine voxel weigh.
    MVD_HD std::uint32_t neighbours(std::int64_t grid, std::int64_t x, std::int64_t y,
                                    std::int64_t z) const {
        const std::int64_t edge_x = low.x * scale, edge_y = low.y * scale;
        const std::int64_t words = words_per_line(low.z * scale);
        std::uint32_t sum = 0;
        for (std::int64_t i = 0; i < kReachWindow; ++i) {
            const std::int64_t u = x + i - kReach;
            if (u < 0 || u >= edge_x) continue;
            for (std::int64_t j = 0; j < kReachWindow; ++j) {
                const std::int64_t v = y + j - kReach;
                if (v < 0 || v >= edge_y) continue;
                const Word* line = before + ((grid * edge_x + u) * edge_y + v) * words;
                sum += reach_weight(i) * reach_weight(j) *
                       window_weight(window(line, words, z - kReach));
            }
        }
        return sum;
    }

    // How many keys come before key i.
    MVD_HD static int rank(int i, int voxels, const Shared& shared) {
        const SoftKey own = shared.keys[i];
        int before = 0;
        for (int j = 0; j < voxels; ++j) {
            before += shared.keys[j] > own || (shared.keys[j] == own && j < i);
        }
        return before;
    }

    // The interpolated coverage of fine voxel (i, j, k) of a coarse one.
    MVD_HD std::uint32_t trilinear(Place at, int i, int j, int k) const {
        const Between x = between(i, scale), y = between(j, scale), z = between(k, scale);
        std::uint32_t planes[2];
        for (int a = 0; a < 2; ++a) {
            std::uint32_t lines[2];
            for (int b = 0; b < 2; ++b) {
                const std::int64_t u = at.x + x.first + a, v = at.y + y.first + b;
                lines[b] = mix(covered_at(at.grid, u, v, at.z + z.first),
                               covered_at(at.grid, u, v, at.z + z.first + 1), z.second, scale);
            }
            planes[a] = mix(lines[0], lines[1], y.second, scale);
        }
        return mix(planes[0], planes[1], x.second, scale);
    }

    MVD_HD std::uint32_t covered_at(std::int64_t grid, std::int64_t x, std::int64_t y,
                                    std::int64_t z) const {
        const bool inside = 0 <= x && x < low.x && 0 <= y && y < low.y && 0 <= z && z < low.z;
        return inside ? coverage[((grid * low.x + x) * low.y + y) * low.z + z] : 0;
    }

    // How many levels keep a fine voxel: a bolder one keeps a subset, so the least of the faces'.
    MVD_HD std::int32_t kept(std::int64_t grid, std::int64_t x, std::int64_t y,
                             std::int64_t z) const {
        const Depth* maps = levels + grid * count * kFaces * n * n;
        const std::int32_t along_x = kept_along(maps, kXPos, kXNeg, y, z, x);
        const std::int32_t along_y = kept_along(maps, kYPos, kYNeg, x, z, y);
        const std::int32_t along_z = kept_along(maps, kZPos, kZNeg, x, y, z);
        return std::min(along_x, std::min(along_y, along_z));
    }

    MVD_HD std::int32_t kept_along(const Depth* maps, Face pos, Face neg, std::int64_t row,
                                   std::int64_t column, std::int64_t depth) const {
        const Depth* near = maps + (pos * n + row) * n + column;
        const Depth* far = maps + (neg * n + row) * n + column;
        std::int32_t from_near = 0, from_far = 0;
        for (std::int64_t i = 0; i < count; ++i, near += kFaces * n * n, far += kFaces * n * n) {
            from_near += *near <= depth;
            from_far += n - *far > depth;
        }
        return std::min(from_near, from_far);
    }

    // Line `i` of a coarse voxel: its chosen voxels.
    MVD_HD void write(Place at, int i, const Shared& shared) const {
        const int s = static_cast<int>(scale);
        Word bits = 0;
        for (int k = 0; k < s; ++k) bits |= static_cast<Word>(shared.chosen[i * s + k]) << k;
        const std::int64_t x = (at.grid * low.x + at.x) * s + i / s, y = at.y * s + i % s;
        const std::int64_t z = at.z * s, bit = z % kWordBits;
        Word* word = fine + (x * low.y * s + y) * words_per_line(low.z * s) + z / kWordBits;
        atomic_or(word, bits << bit);
        if (bit + s > kWordBits) atomic_or(word + 1, bits >> (kWordBits - bit));
    }
};

}  // namespace

template <typename Queue>
void soft_rank(Queue queue, const Coverage* coverage, const Depth* levels, std::int64_t count,
               SoftScores scores, const Word* before, Word* fine, GridShape low_shape,
               std::int64_t scale) {
    const GridShape shape = upsampled_shape(low_shape, scale);
    clear(queue, "soft_rank", fine, shape.lines() * shape.words());
    for_each_block(queue, "soft_rank", low_shape.voxels(),
                   FillVoxel{coverage, levels, count, scores, before, fine, low_shape, scale,
                             odm_edge(shape)});
}

template void soft_rank(ThisQueue, const Coverage*, const Depth*, std::int64_t, SoftScores,
                        const Word*, Word*, GridShape, std::int64_t);

}  // namespace mvd::cuda
