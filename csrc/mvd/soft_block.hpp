// What soft_rank ranks the fine voxels of one coarse voxel by, on the CPU: all of them at a time,
// in C order.
#pragma once

#include <algorithm>
#include <cstdint>

#include "mvd/line.hpp"
#include "mvd/soft_rank.hpp"

namespace mvd {

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
                    around[i][j][k] = coverage(at.x + i - 1, at.y + j - 1, at.z + k - 1);
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
    std::uint32_t coverage(std::int64_t x, std::int64_t y, std::int64_t z) const {
        const bool inside =
            0 <= x && x < shape_.x && 0 <= y && y < shape_.y && 0 <= z && z < shape_.z;
        return inside ? coverage_[(x * shape_.y + y) * shape_.z + z] : 0;
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

// What the occupied neighbours of the fine voxels of a block weigh.
class Neighbours {
  public:
    // fine: (X, Y, W); null where nothing is asked.
    Neighbours(const Word* fine, GridShape shape, std::int64_t scale)
        : fine_(fine), shape_(shape), scale_(scale), edge_(scale + 2 * kReach) {
        for (Word bits = 0; bits < kWindows; ++bits) {
            window_weights_[bits] = static_cast<std::uint8_t>(window_weight(bits));
        }
    }

    // weights: (scale, scale, scale), in parts of kWholeReach.
    void block(Block at, std::uint32_t* weights) {
        const std::int64_t s = scale_;
        for (std::int64_t i = 0; i < edge_; ++i) {
            for (std::int64_t j = 0; j < edge_; ++j) {
                line(at.x * s + i - kReach, at.y * s + j - kReach, at.z * s,
                     along_z_ + (i * edge_ + j) * s);
            }
        }
        for (std::int64_t i = 0; i < edge_; ++i) {
            reach(along_z_ + i * edge_ * s, s, s * s, along_y_ + i * s * s);
        }
        reach(along_y_, s * s, s * s * s, weights);
    }

  private:
    static constexpr Word kWindows = 1 << kReachWindow;
    static constexpr std::int64_t kMaxEdge = kMaxSoftScale + 2 * kReach;

    // out: (scale) voxels from z on of the line at (x, y), each with its neighbours along it.
    void line(std::int64_t x, std::int64_t y, std::int64_t z, std::uint16_t* out) const {
        Word bits = 0;
        if (0 <= x && x < shape_.x && 0 <= y && y < shape_.y) {
            bits = window(fine_ + (x * shape_.y + y) * shape_.words(), shape_.words(), z - kReach);
        }
        for (std::int64_t k = 0; k < scale_; ++k) {
            out[k] = window_weights_[bits >> k & (kWindows - 1)];
        }
    }

    // in: (rows + 2 kReach, row), out: (rows, row), `count` numbers: each with its neighbours.
    template <typename Out>
    static void reach(const std::uint16_t* in, std::int64_t row, std::int64_t count, Out* out) {
        for (std::int64_t i = 0; i < count; ++i) {
            Out sum = 0;
            for (std::int64_t d = 0; d < kReachWindow; ++d) {
                sum += static_cast<Out>(reach_weight(d) * in[d * row + i]);
            }
            out[i] = sum;
        }
    }

    const Word* fine_;
    GridShape shape_;
    std::int64_t scale_, edge_;
    std::uint8_t window_weights_[kWindows];
    std::uint16_t along_z_[kMaxEdge * kMaxEdge * kMaxSoftScale];
    std::uint16_t along_y_[kMaxEdge * kMaxSoftScale * kMaxSoftScale];
};

}  // namespace mvd
