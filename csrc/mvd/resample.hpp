// Coarser and finer grids of the same place.
#pragma once

#include <cstdint>

#include "mvd/bitgrid.hpp"

namespace mvd {

// When a coarse voxel is occupied: when any of its fine voxels is, when at least half of them are,
// or when the fine voxel at its centre is (number factor / 2 along each axis). Fine voxels that
// the last blocks lack count as empty.
enum class PoolRule { kAny, kHalf, kCentre };

// Shape of a grid pooled by `factor`, the last blocks perhaps partial.
constexpr GridShape pooled_shape(GridShape shape, std::int64_t factor) {
    return {shape.batch, (shape.x + factor - 1) / factor, (shape.y + factor - 1) / factor,
            (shape.z + factor - 1) / factor};
}

constexpr GridShape upsampled_shape(GridShape shape, std::int64_t factor) {
    return {shape.batch, shape.x * factor, shape.y * factor, shape.z * factor};
}

// packed: (B, X, Y, W) of `shape`; pooled: packed words of pooled_shape(shape, factor).
void pool(const Word* packed, Word* pooled, GridShape shape, std::int64_t factor, PoolRule rule,
          int threads);

// packed: (B, X, Y, W) of `shape`; upsampled: packed words of upsampled_shape(shape, factor).
void upsample_nearest(const Word* packed, Word* upsampled, GridShape shape, std::int64_t factor,
                      int threads);

}  // namespace mvd
