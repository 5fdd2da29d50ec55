// Extracting depth maps, from one reading of the grid. The z faces are the first and last set bit
// of a line. The faces along y and x walk over planes of lines with a mask of the pixels that have
// met nothing yet. For both faces of an axis eight planes are ORed first: a word costs an eighth of
// a test unless it holds the first voxel of some pixel, and each pixel is written once.
#include <algorithm>
#include <memory>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/odm.hpp"
#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"

namespace mvd {

namespace {

// Work below this many words is not worth a thread of its own.
constexpr std::int64_t kWordGrain = 1 << 14;

// Lines along y that are walked together over x: their masks stay in the nearest cache.
constexpr std::int64_t kRowsPerBlock = 32;

constexpr std::int64_t kGroup = 8;  // planes that are ORed

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

constexpr std::int64_t group_count(std::int64_t planes) { return (planes + kGroup - 1) / kGroup; }

// ORs `steps` consecutive planes of `count` words in groups of eight: groups (groups, count).
MVD_CLONES void or_planes(const Word* __restrict planes, Word* __restrict groups,
                          std::int64_t steps, std::int64_t count) {
    for (; steps >= kGroup; steps -= kGroup, planes += kGroup * count, groups += count) {
        for (std::int64_t i = 0; i < count; ++i) {
            Word any = 0;
            for (std::int64_t k = 0; k < kGroup; ++k) any |= planes[k * count + i];
            groups[i] = any;
        }
    }
    if (steps == 0) return;
    std::copy_n(planes, count, groups);
    for (std::int64_t i = count; i < steps * count; ++i) groups[i % count] |= planes[i];
}

// Rows of pixels that look across lines, over planes of lines from both ends.
struct Walk {
    const Word* planes;  // (steps, rows, W), planes `stride` words apart
    const Word* groups;  // (groups, rows, W), eight planes ORed, `group_stride` words apart
    std::int64_t steps, stride, group_stride, rows, words;
    Depth* near;     // pixels (rows, N) of the face that starts at the first plane
    Depth* far;      // and of the face that starts at the last
    std::int64_t n;  // N, also the pixels from row to row
};

// Where a walk stands: the planes of one group in the order in which a face meets them.
struct Step {
    const Word* group;  // (rows, W)
    const Word* plane;  // (rows, W), the first
    std::int64_t stride;
    std::int64_t depth;  // of the first plane; one more for each next
};

// Gives their depth to the pixels (rows, N) of `map` that the group is the first to meet.
// unseen: (rows, W), the pixels that have met nothing yet.
inline void meet(const Walk& walk, Step step, Word* unseen, Depth* map) {
    for (std::int64_t row = 0; row < walk.rows; ++row, map += walk.n) {
        for (std::int64_t i = 0; i < walk.words; ++i) {
            const std::int64_t at = row * walk.words + i;
            Word wanted = step.group[at] & unseen[at];
            if (!wanted) continue;
            unseen[at] ^= wanted;
            const Word* word = step.plane + at;
            for (std::int64_t depth = step.depth; wanted; ++depth, word += step.stride) {
                const Word hits = *word & wanted;
                wanted ^= hits;
                for_each_voxel(hits, i,
                               [&](std::int64_t z) { map[z] = static_cast<Depth>(depth); });
            }
        }
    }
}

// unseen: scratch (rows, W).
MVD_CLONES void view_across(const Walk& walk, Word* unseen) {
    const std::int64_t groups = group_count(walk.steps);
    std::fill_n(unseen, walk.rows * walk.words, ~Word{0});
    for (std::int64_t g = 0; g < groups; ++g) {
        const std::int64_t first = g * kGroup;
        meet(walk,
             {walk.groups + g * walk.group_stride, walk.planes + first * walk.stride, walk.stride,
              first},
             unseen, walk.near);
    }
    std::fill_n(unseen, walk.rows * walk.words, ~Word{0});
    for (std::int64_t g = groups - 1; g >= 0; --g) {
        const std::int64_t first = std::min(walk.steps, (g + 1) * kGroup) - 1;
        meet(walk,
             {walk.groups + g * walk.group_stride, walk.planes + first * walk.stride, -walk.stride,
              walk.n - 1 - first},
             unseen, walk.far);
    }
}

// Uninitialized words.
inline std::unique_ptr<Word[]> new_words(std::int64_t count) {
    return std::unique_ptr<Word[]>(new Word[static_cast<std::size_t>(count)]);
}

// The views of a batch of grids, in two stages that are each a loop over independent parts.
class Viewer {
  public:
    Viewer(const Word* packed, Depth* odms, GridShape shape)
        : packed_(packed),
          odms_(odms),
          shape_(shape),
          n_(odm_edge(shape)),
          w_(shape.words()),
          slab_(shape.y * w_),
          x_groups_(new_words(slab_parts() * slab_)) {
        std::fill_n(odms, shape.batch * kFaces * n_ * n_, static_cast<Depth>(n_));
    }

    // Stage 1, z and y faces: a slab of x has a row of pixels of its own in each of the four maps.
    // Parts are the groups of eight slabs, which are ORed on the way. load(begin, end) is called
    // with the slabs, counted over the batch, that are read next.
    std::int64_t slab_parts() const { return shape_.batch * group_count(shape_.x); }

    template <typename Load>
    void view_slabs(std::int64_t begin, std::int64_t end, const Load& load) const {
        std::vector<Word> unseen(static_cast<std::size_t>(w_));
        std::vector<Word> groups(static_cast<std::size_t>(group_count(shape_.y) * w_));
        for (std::int64_t part = begin; part < end; ++part) {
            const std::int64_t b = part / group_count(shape_.x);
            const std::int64_t first = part % group_count(shape_.x) * kGroup;
            const std::int64_t last = std::min(shape_.x, first + kGroup);
            load(b * shape_.x + first, b * shape_.x + last);
            const Word* slab = packed_ + (b * shape_.x + first) * slab_;
            or_planes(slab, x_groups_.get() + part * slab_, last - first, slab_);
            for (std::int64_t x = first; x < last; ++x, slab += slab_) {
                view_z(slab, pixels(b, kZNeg, x), pixels(b, kZPos, x), shape_, n_);
                or_planes(slab, groups.data(), shape_.y, w_);
                view_across({slab, groups.data(), shape_.y, w_, w_, 1, w_, pixels(b, kYPos, x),
                             pixels(b, kYNeg, x), n_},
                            unseen.data());
            }
        }
    }

    // Stage 2, x faces: a block of lines along y has rows of pixels of its own.
    std::int64_t row_parts() const { return shape_.batch * blocks(); }

    void view_rows(std::int64_t begin, std::int64_t end) const {
        std::vector<Word> unseen(static_cast<std::size_t>(kRowsPerBlock * w_));
        for (std::int64_t part = begin; part < end; ++part) {
            const std::int64_t b = part / blocks(), y = part % blocks() * kRowsPerBlock;
            const Word* groups = x_groups_.get() + b * group_count(shape_.x) * slab_;
            view_across({packed_ + b * shape_.x * slab_ + y * w_, groups + y * w_, shape_.x, slab_,
                         slab_, std::min(kRowsPerBlock, shape_.y - y), w_, pixels(b, kXPos, y),
                         pixels(b, kXNeg, y), n_},
                        unseen.data());
        }
    }

  private:
    std::int64_t blocks() const { return (shape_.y + kRowsPerBlock - 1) / kRowsPerBlock; }

    Depth* pixels(std::int64_t b, Face face, std::int64_t row) const {
        return odms_ + ((b * kFaces + face) * n_ + row) * n_;
    }

    const Word* packed_;
    Depth* odms_;
    GridShape shape_;
    std::int64_t n_, w_, slab_;
    std::unique_ptr<Word[]> x_groups_;  // (B, groups of x, Y, W)
};

template <typename Load>
void extract(const Word* packed, Depth* odms, GridShape shape, int threads, const Load& load) {
    const Viewer viewer(packed, odms, shape);
    const std::int64_t words = shape.lines() * shape.words();
    const auto grain = [&](std::int64_t parts) {
        return kWordGrain * parts / std::max<std::int64_t>(1, words) + 1;
    };
    parallel_for(
        viewer.slab_parts(), grain(viewer.slab_parts()), threads,
        [&](std::int64_t begin, std::int64_t end) { viewer.view_slabs(begin, end, load); });
    parallel_for(viewer.row_parts(), grain(viewer.row_parts()), threads,
                 [&](std::int64_t begin, std::int64_t end) { viewer.view_rows(begin, end); });
}

}  // namespace

void extract_odms(const Word* packed, Depth* odms, GridShape shape, int threads) {
    extract(packed, odms, shape, threads, [](std::int64_t, std::int64_t) {});
}

void extract_odms_dense(const std::uint8_t* dense, Depth* odms, GridShape shape, int threads) {
    const std::int64_t w = shape.words();
    const auto packed = new_words(shape.lines() * w);
    extract(packed.get(), odms, shape, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t line = begin * shape.y; line < end * shape.y; ++line) {
            pack_line(dense + line * shape.z, packed.get() + line * w, shape.z);
        }
    });
}

}  // namespace mvd
