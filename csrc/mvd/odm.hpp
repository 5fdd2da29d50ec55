// Orthographic depth maps (ODMs): six views of a grid, and the grid that six views leave.
//
// A set of maps is (6, N, N) uint16 with N = max(X, Y, Z): for each face and pixel the count of
// empty voxels met before the first occupied one, N ("background") where the line meets none.
// Faces are z_neg, z_pos, y_neg, y_pos, x_neg, x_pos: the axis and direction of looking; images
// are [x, y], [x, z], [y, z]. A grid that is no cube is padded with empty voxels at the far end.
#pragma once

#include <algorithm>
#include <cstdint>

#include "mvd/bitgrid.hpp"

namespace mvd {

using Depth = std::uint16_t;
constexpr std::int64_t kFaces = 6;
constexpr std::int64_t kMaxOdmEdge = 65535;  // N is a depth too

enum Face : int { kZNeg, kZPos, kYNeg, kYPos, kXNeg, kXPos };

// N of the views of a grid.
constexpr std::int64_t odm_edge(GridShape shape) {
    return std::max(shape.x, std::max(shape.y, shape.z));
}

// packed: (B, X, Y, W) -> odms: (B, 6, N, N).
void extract_odms(const Word* packed, Depth* odms, GridShape shape, int threads);

// dense: (B, X, Y, Z) bytes -> odms: (B, 6, N, N).
void extract_odms_dense(const std::uint8_t* dense, Depth* odms, GridShape shape, int threads);

// odms: (B, 6, N, N) -> packed: (B, X, Y, W), what is left of a full grid when a voxel goes that at
// least `votes` (1 to 6) faces see past. A face sees past the voxels in front of its depth, so a
// background pixel sees past its whole line.
void project_odms(const Depth* odms, Word* packed, GridShape shape, int votes, int threads);

}  // namespace mvd
