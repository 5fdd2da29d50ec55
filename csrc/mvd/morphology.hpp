// Growing grids and choosing parts of them.
#pragma once

#include <cstdint>

#include "mvd/bitgrid.hpp"

namespace mvd {

// Occupies every voxel within `steps` of an occupied one along each axis: the 26-neighbourhood,
// `steps` times. packed, dilated: (B, X, Y, W).
void dilate(const Word* packed, Word* dilated, GridShape shape, std::int64_t steps, int threads);

// Keeps the largest part connected through voxel faces (6-connectivity); of equals, the one whose
// first voxel in C order comes first. packed, kept: (B, X, Y, W). Memory grows with the number of
// runs along z, not with the voxels.
void keep_largest(const Word* packed, Word* kept, GridShape shape, int threads);

// Keeps the parts connected through voxel faces that have at least so many voxels.
// packed, kept: (B, X, Y, W).
void remove_small_parts(const Word* packed, Word* kept, GridShape shape, std::int64_t voxels,
                        int threads);

// The same in place, but a part that is too small stays, too, where it is in parts of `coarse` and
// none of these has one that is large enough. A coarse voxel stands for scale^3 voxels.
// coarse: (B, X, Y, W) of `shape`; packed: the same `scale` times finer.
void remove_small_parts_within(Word* packed, const Word* coarse, GridShape shape,
                               std::int64_t scale, std::int64_t voxels, int threads);

// How many parts connected through voxel faces each grid has. packed: (B, X, Y, W); counts: (B).
void count_parts(const Word* packed, std::int64_t* counts, GridShape shape, int threads);

// Occupies the empty voxels that are not connected to the outside through voxel faces: what a
// flood from beyond the grid does not reach. packed, filled: (B, X, Y, W). Memory as for
// keep_largest, of the empty runs.
void fill_holes(const Word* packed, Word* filled, GridShape shape, int threads);

}  // namespace mvd
