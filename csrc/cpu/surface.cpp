#include "mvd/surface.hpp"

#include <numeric>
#include <utility>

#include "mvd/parallel.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kLayerGrain = 8;

inline int count_bits(Word word) { return __builtin_popcountll(word); }
inline int lowest_set_bit(Word word) { return __builtin_ctzll(word); }

// The voxels of a grid, with empty ones all around.
class Voxels {
  public:
    Voxels(const Word* packed, GridShape shape) : packed_(packed), shape_(shape) {}

    Word word(std::int64_t x, std::int64_t y, std::int64_t w) const {
        const bool inside =
            x >= 0 && x < shape_.x && y >= 0 && y < shape_.y && w >= 0 && w < shape_.words();
        return inside ? packed_[(x * shape_.y + y) * shape_.words() + w] : 0;
    }

    const GridShape& shape() const { return shape_; }

  private:
    const Word* packed_;
    GridShape shape_;
};

// Which corners at one x are used, and their ranks.
class CornerLayer {
  public:
    explicit CornerLayer(GridShape shape)
        : y_(shape.y + 1),
          words_(words_per_line(shape.z + 1)),
          used_(static_cast<std::size_t>(y_ * words_)),
          rank_(used_.size()) {}

    // Finds the corners between the voxels at x - 1 and x; the first has the number `first`.
    // Gives the number after the last.
    std::int64_t find(const Voxels& voxels, std::int64_t x, std::int64_t first) {
        std::size_t i = 0;
        for (std::int64_t y = 0; y < y_; ++y) {
            Word any_below = 0, all_below = 0;  // of the four voxels one step down in z
            for (std::int64_t w = 0; w < words_; ++w, ++i) {
                const Word a = voxels.word(x - 1, y - 1, w), b = voxels.word(x - 1, y, w);
                const Word c = voxels.word(x, y - 1, w), d = voxels.word(x, y, w);
                const Word any = a | b | c | d;
                const Word all = a & b & c & d;
                used_[i] = (any | any << 1 | any_below) & ~(all & (all << 1 | all_below));
                rank_[i] = first;
                first += count_bits(used_[i]);
                any_below = any >> (kWordBits - 1);
                all_below = all >> (kWordBits - 1);
            }
        }
        return first;
    }

    std::int64_t number(std::int64_t y, std::int64_t z) const {
        const auto i = static_cast<std::size_t>(y * words_ + z / kWordBits);
        return rank_[i] + count_bits(used_[i] & ((Word{1} << (z % kWordBits)) - 1));
    }

    template <typename Visit>
    void for_each(const Visit& visit) const {
        std::size_t i = 0;
        for (std::int64_t y = 0; y < y_; ++y) {
            for (std::int64_t w = 0; w < words_; ++w, ++i) {
                for (Word left = used_[i]; left; left &= left - 1) {
                    visit(y, w * kWordBits + lowest_set_bit(left));
                }
            }
        }
    }

  private:
    std::int64_t y_, words_;
    std::vector<Word> used_;
    std::vector<std::int64_t> rank_;  // number of the first corner of each word
};

// The four corners of a voxel's face, counterclockwise seen from outside: x, y, z steps from the
// voxel's own corner.
using Quad = std::array<std::array<std::int64_t, 3>, 4>;
constexpr std::array<Quad, 6> kQuads = {{
    {{{0, 0, 0}, {0, 0, 1}, {0, 1, 1}, {0, 1, 0}}},  // -x
    {{{1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {1, 0, 1}}},  // +x
    {{{0, 0, 0}, {1, 0, 0}, {1, 0, 1}, {0, 0, 1}}},  // -y
    {{{0, 1, 0}, {0, 1, 1}, {1, 1, 1}, {1, 1, 0}}},  // +y
    {{{0, 0, 0}, {0, 1, 0}, {1, 1, 0}, {1, 0, 0}}},  // -z
    {{{0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}}},  // +z
}};

// The voxels of a word whose face touches no other voxel, in the order of kQuads.
std::array<Word, 6> exposed(const Voxels& voxels, std::int64_t x, std::int64_t y, std::int64_t w) {
    const Word word = voxels.word(x, y, w);
    if (!word) return {};
    const Word below = word << 1 | voxels.word(x, y, w - 1) >> (kWordBits - 1);
    const Word above = word >> 1 | voxels.word(x, y, w + 1) << (kWordBits - 1);
    return {word & ~voxels.word(x - 1, y, w),
            word & ~voxels.word(x + 1, y, w),
            word & ~voxels.word(x, y - 1, w),
            word & ~voxels.word(x, y + 1, w),
            word & ~below,
            word & ~above};
}

std::int64_t count_quads(const Voxels& voxels, std::int64_t x) {
    std::int64_t count = 0;
    for (std::int64_t y = 0; y < voxels.shape().y; ++y) {
        for (std::int64_t w = 0; w < voxels.shape().words(); ++w) {
            for (const Word side : exposed(voxels, x, y, w)) count += count_bits(side);
        }
    }
    return count;
}

// Writes the triangles of the voxels at one x, whose corners are in `layers`.
void write_quads(const Voxels& voxels, std::int64_t x, const CornerLayer* const (&layers)[2],
                 std::int64_t* out) {
    const auto write_quad = [&](const Quad& quad, std::int64_t y, std::int64_t z) {
        std::array<std::int64_t, 4> corners;
        for (std::size_t i = 0; i < 4; ++i) {
            const auto [dx, dy, dz] = quad[i];
            corners[i] = layers[dx]->number(y + dy, z + dz);
        }
        for (const std::size_t i : {0, 1, 2, 0, 2, 3}) *out++ = corners[i];
    };
    for (std::int64_t y = 0; y < voxels.shape().y; ++y) {
        for (std::int64_t w = 0; w < voxels.shape().words(); ++w) {
            const std::array<Word, 6> sides = exposed(voxels, x, y, w);
            for (std::size_t side = 0; side < sides.size(); ++side) {
                for (Word left = sides[side]; left; left &= left - 1) {
                    write_quad(kQuads[side], y, w * kWordBits + lowest_set_bit(left));
                }
            }
        }
    }
}

}  // namespace

VoxelSurface::VoxelSurface(const Word* packed, GridShape shape, int threads)
    : packed_(packed),
      shape_(shape),
      first_vertex_(static_cast<std::size_t>(shape.x + 2)),
      first_quad_(static_cast<std::size_t>(shape.x + 1)) {
    const Voxels voxels(packed, shape);
    parallel_for(shape.x + 1, kLayerGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        CornerLayer layer(shape);
        for (std::int64_t x = begin; x < end; ++x) {
            const auto next = static_cast<std::size_t>(x + 1);
            first_vertex_[next] = layer.find(voxels, x, 0);
            if (x < shape.x) first_quad_[next] = count_quads(voxels, x);
        }
    });
    std::partial_sum(first_vertex_.begin(), first_vertex_.end(), first_vertex_.begin());
    std::partial_sum(first_quad_.begin(), first_quad_.end(), first_quad_.begin());
}

void VoxelSurface::write(std::array<double, 3> origin, std::array<double, 3> spacing,
                         double* vertices, std::int64_t* faces, int threads) const {
    const Voxels voxels(packed_, shape_);
    const auto write_vertices = [&](const CornerLayer& layer, std::int64_t x) {
        double* out = vertices + 3 * first_vertex_[static_cast<std::size_t>(x)];
        layer.for_each([&](std::int64_t y, std::int64_t z) {
            *out++ = origin[0] + spacing[0] * static_cast<double>(x);
            *out++ = origin[1] + spacing[1] * static_cast<double>(y);
            *out++ = origin[2] + spacing[2] * static_cast<double>(z);
        });
    };
    parallel_for(shape_.x, kLayerGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        CornerLayer near(shape_), far(shape_);
        near.find(voxels, begin, first_vertex_[static_cast<std::size_t>(begin)]);
        for (std::int64_t x = begin; x < end; ++x) {
            far.find(voxels, x + 1, first_vertex_[static_cast<std::size_t>(x + 1)]);
            write_vertices(near, x);
            if (x + 1 == shape_.x) write_vertices(far, x + 1);
            const CornerLayer* const layers[2] = {&near, &far};
            write_quads(voxels, x, layers, faces + 6 * first_quad_[static_cast<std::size_t>(x)]);
            std::swap(near, far);
        }
    });
}

}  // namespace mvd
