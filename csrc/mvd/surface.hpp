// The closed surface of a grid: the faces between an occupied and an empty voxel, outside counting
// as empty, as two triangles each.
//
// Vertices are grid corners, once for each fan of faces (corner_cases.hpp), so every edge is in
// exactly two triangles that run along it in opposite directions, whatever touches whatever. They
// are numbered by corner, z fastest, and fan; faces by voxel and side: any number of threads gives
// the same mesh. Memory beside the result is that of two layers of corners a thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mvd/bitgrid.hpp"

namespace mvd {

using VertexIndex = std::int32_t;

class VoxelSurface {
  public:
    // packed: (X, Y, W), must outlive this. Counts, so that the caller can allocate. Throws when
    // there are more vertices than a VertexIndex counts.
    VoxelSurface(const Word* packed, GridShape shape, int threads);

    std::int64_t vertices() const { return first_vertex_.back(); }
    std::int64_t faces() const { return 2 * first_quad_.back(); }

    // vertices: (V, 3), origin + spacing * corner; faces: (F, 3), counterclockwise seen from
    // outside.
    void write(std::array<double, 3> origin, std::array<double, 3> spacing, double* vertices,
               VertexIndex* faces, int threads) const;

  private:
    const Word* packed_;
    GridShape shape_;
    std::vector<std::int64_t> first_vertex_;  // (X + 2): of the corners at each x
    std::vector<std::int64_t> first_quad_;    // (X + 1): of the voxels at each x
};

}  // namespace mvd
