// The plain closed surface of a grid: the faces of its voxels that touch no other voxel, as two
// triangles each, with the corners they share stored once.
//
// Whether a corner is used, too, is a matter of whole words: of the eight voxels around it, some
// are occupied and some are not. A corner's number is its rank among the used ones, x slowest; so
// no table of corners is ever built, and any number of threads gives the same mesh.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mvd/bitgrid.hpp"

namespace mvd {

class VoxelSurface {
  public:
    // packed: (X, Y, W), must outlive this. Counts, so that the caller can allocate.
    VoxelSurface(const Word* packed, GridShape shape, int threads);

    std::int64_t vertices() const { return first_vertex_.back(); }
    std::int64_t faces() const { return 2 * first_quad_.back(); }

    // vertices: (V, 3), origin + spacing * corner; faces: (F, 3) vertex numbers, counterclockwise
    // seen from outside.
    void write(std::array<double, 3> origin, std::array<double, 3> spacing, double* vertices,
               std::int64_t* faces, int threads) const;

  private:
    const Word* packed_;
    GridShape shape_;
    std::vector<std::int64_t> first_vertex_;  // (X + 2): of the corners at each x
    std::vector<std::int64_t> first_quad_;    // (X + 1): of the voxels at each x
};

}  // namespace mvd
