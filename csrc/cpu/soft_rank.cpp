#include "mvd/soft_rank.hpp"

#include <algorithm>
#include <functional>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"

namespace mvd {

namespace {

using Key = SoftKey;

struct Block {
    std::int64_t x, y, z;  // coarse voxel
};

// The interpolated coverage of the fine voxels of a block, in parts of (2 scale)³ kFullCoverage.
class Trilinear {
  public:
    Trilinear(const Coverage* coverage, GridShape shape, std::int64_t scale)
        : coverage_(coverage), shape_(shape), scale_(scale) {
        for (std::int64_t i = 0; i < scale; ++i) between_[i] = between(i, scale);
    }

    // out: (scale, scale, scale).
    void block(Block at, std::uint32_t* out) const {
        std::uint32_t around[3][3][3];
        for (std::int64_t i = 0; i < 3; ++i) {
            for (std::int64_t j = 0; j < 3; ++j) {
                for (std::int64_t k = 0; k < 3; ++k) {
                    around[i][j][k] = clamped(at.x + i - 1, at.y + j - 1, at.z + k - 1);
                }
            }
        }
        for (std::int64_t i = 0; i < scale_; ++i) {
            std::uint32_t plane[3][3], line[3];
            for (int j = 0; j < 3; ++j) {
                for (int k = 0; k < 3; ++k) {
                    const std::int64_t a = between_[i].first + 1;
                    plane[j][k] =
                        mix(around[a][j][k], around[a + 1][j][k], between_[i].second, scale_);
                }
            }
            for (std::int64_t j = 0; j < scale_; ++j) {
                const std::int64_t a = between_[j].first + 1;
                for (int k = 0; k < 3; ++k) {
                    line[k] = mix(plane[a][k], plane[a + 1][k], between_[j].second, scale_);
                }
                for (std::int64_t k = 0; k < scale_; ++k) {
                    const std::int64_t b = between_[k].first + 1;
                    *out++ = mix(line[b], line[b + 1], between_[k].second, scale_);
                }
            }
        }
    }

  private:
    std::uint32_t clamped(std::int64_t x, std::int64_t y, std::int64_t z) const {
        x = std::clamp<std::int64_t>(x, 0, shape_.x - 1);
        y = std::clamp<std::int64_t>(y, 0, shape_.y - 1);
        z = std::clamp<std::int64_t>(z, 0, shape_.z - 1);
        return coverage_[(x * shape_.y + y) * shape_.z + z];
    }

    const Coverage* coverage_;  // (X, Y, Z)
    GridShape shape_;
    std::int64_t scale_;
    Between between_[kMaxSoftScale];
};

// How many levels keep each fine voxel of a block.
class Levels {
  public:
    // maps: (count, 6, N, N).
    Levels(const Depth* maps, std::int64_t count, std::int64_t n, std::int64_t scale)
        : maps_(maps), count_(count), n_(n), scale_(scale) {}

    // kept: (scale, scale, scale), a bolder level keeps a subset: the least of six faces' counts.
    void block(Block at, std::int32_t* kept) const {
        std::fill(kept, kept + scale_ * scale_ * scale_, static_cast<std::int32_t>(count_));
        if (count_ == 0) return;
        const std::int64_t s = scale_, plane = s * s;
        along(kZNeg, kZPos, at.x, at.y, at.z, {plane, s, 1}, kept);
        along(kYNeg, kYPos, at.x, at.z, at.y, {plane, 1, s}, kept);
        along(kXNeg, kXPos, at.y, at.z, at.x, {s, 1, plane}, kept);
    }

  private:
    struct Strides {
        std::int64_t u, v, depth;
    };

    void along(Face neg, Face pos, std::int64_t u, std::int64_t v, std::int64_t depth,
               Strides strides, std::int32_t* kept) const {
        for (std::int64_t i = 0; i < scale_; ++i) {
            for (std::int64_t j = 0; j < scale_; ++j) {
                const std::int64_t pixel = (u * scale_ + i) * n_ + v * scale_ + j;
                lower(maps_ + pos * n_ * n_ + pixel, maps_ + neg * n_ * n_ + pixel, depth * scale_,
                      kept + i * strides.u + j * strides.v, strides.depth);
            }
        }
    }

    // One line of a block, from place `start` of the pixel that the two faces of an axis share: a
    // level keeps what lies from its depth at one face to its depth at the other.
    void lower(const Depth* pos, const Depth* neg, std::int64_t start, std::int32_t* line,
               std::int64_t stride) const {
        std::int32_t begin[kMaxSoftScale + 1] = {}, end[kMaxSoftScale + 1] = {};  // at each place
        for (std::int64_t i = 0; i < count_; ++i) {
            const std::int64_t first = *pos - start, stop = n_ - *neg - start;
            ++begin[std::clamp<std::int64_t>(first, 0, scale_)];
            ++end[std::clamp<std::int64_t>(stop, 0, scale_)];
            pos += kFaces * n_ * n_;
            neg += kFaces * n_ * n_;
        }
        auto from_pos = std::int32_t{0}, from_neg = static_cast<std::int32_t>(count_);
        for (std::int64_t d = 0; d < scale_; ++d) {
            from_pos += begin[d];
            from_neg -= end[d];
            std::int32_t& least = line[d * stride];
            least = std::min({least, from_pos, from_neg});
        }
    }

    const Depth* maps_;
    std::int64_t count_, n_, scale_;
};

// Keeps the `wanted` highest keys of a block, ties by C order. chosen: (scale³); order: scratch.
void choose(const std::vector<Key>& keys, std::int64_t wanted, std::vector<Key>& order,
            std::vector<char>& chosen) {
    order = keys;
    const auto last = order.begin() + (wanted - 1);
    std::nth_element(order.begin(), last, order.end(), std::greater<>());
    const Key threshold = *last;
    std::int64_t ties =
        wanted - std::count_if(order.begin(), last, [&](Key key) { return key > threshold; });
    for (std::size_t i = 0; i < keys.size(); ++i) {
        chosen[i] = keys[i] > threshold || (keys[i] == threshold && ties-- > 0);
    }
}

class Filler {
  public:
    Filler(const Coverage* coverage, const Depth* levels, std::int64_t count, SoftScores scores,
           GridShape low, std::int64_t scale)
        : coverage_(coverage),
          low_(low),
          scale_(scale),
          voxels_(scale * scale * scale),
          scores_(scores),
          trilinear_(coverage, low, scale),
          levels_(levels, count, scale * odm_edge(low), scale),
          shares_(static_cast<std::size_t>(voxels_)),
          kept_(shares_.size()),
          keys_(shares_.size()),
          order_(shares_.size()),
          chosen_(shares_.size()) {}

    // slab: (scale, scale Y, W), the fine layers of coarse layer x, empty before.
    void layer(std::int64_t x, Word* slab) {
        for (std::int64_t y = 0; y < low_.y; ++y) {
            for (std::int64_t z = 0; z < low_.z; ++z) {
                const std::int64_t wanted =
                    covered(coverage_[(x * low_.y + y) * low_.z + z], voxels_);
                if (wanted == 0) continue;
                if (wanted == voxels_) {
                    std::fill(chosen_.begin(), chosen_.end(), char{1});
                } else {
                    make_keys({x, y, z});
                    choose(keys_, wanted, order_, chosen_);
                }
                write({x, y, z}, slab);
            }
        }
    }

  private:
    void make_keys(Block at) {
        trilinear_.block(at, shares_.data());
        levels_.block(at, kept_.data());
        for (std::size_t i = 0; i < keys_.size(); ++i) {
            keys_[i] = soft_key(scores_, shares_[i], kept_[i], scale_);
        }
    }

    void write(Block at, Word* slab) const {
        const std::int64_t w = words_per_line(low_.z * scale_);
        const char* chosen = chosen_.data();
        for (std::int64_t i = 0; i < scale_; ++i) {
            for (std::int64_t j = 0; j < scale_; ++j) {
                Word* line = slab + (i * low_.y * scale_ + at.y * scale_ + j) * w;
                for (std::int64_t k = 0; k < scale_; ++k) {
                    const std::int64_t z = at.z * scale_ + k;
                    line[z / kWordBits] |= static_cast<Word>(*chosen++) << (z % kWordBits);
                }
            }
        }
    }

    const Coverage* coverage_;
    GridShape low_;
    std::int64_t scale_, voxels_;
    SoftScores scores_;
    Trilinear trilinear_;
    Levels levels_;
    std::vector<std::uint32_t> shares_;
    std::vector<std::int32_t> kept_;
    std::vector<Key> keys_, order_;
    std::vector<char> chosen_;
};

}  // namespace

void soft_rank(const Coverage* coverage, const Depth* levels, std::int64_t count, SoftScores scores,
               Word* fine, GridShape low_shape, std::int64_t scale, int threads) {
    const GridShape one{1, low_shape.x, low_shape.y, low_shape.z};
    const std::int64_t n = scale * odm_edge(one);
    const std::int64_t slab = scale * low_shape.y * scale * words_per_line(low_shape.z * scale);
    parallel_for(
        low_shape.batch * low_shape.x, 1, threads, [&](std::int64_t begin, std::int64_t end) {
            std::fill(fine + begin * slab, fine + end * slab, Word{0});
            for (std::int64_t i = begin; i < end;) {
                const std::int64_t b = i / low_shape.x;
                const std::int64_t stop = std::min(end, (b + 1) * low_shape.x);
                Filler filler(coverage + b * one.voxels(), levels + b * count * kFaces * n * n,
                              count, scores, one, scale);
                for (; i < stop; ++i) filler.layer(i - b * low_shape.x, fine + i * slab);
            }
        });
}

}  // namespace mvd
