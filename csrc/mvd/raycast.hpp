// Looking at a packed grid along rays: where each meets the shape, and which way the surface faces
// there. What a picture needs, without a mesh.
#pragma once

#include <cstdint>

#include "mvd/bitgrid.hpp"

namespace mvd {

// How far each ray goes before it enters an occupied voxel; infinity when it meets none.
//
// Voxel (i, j, k) fills [i, i + 1) x [j, j + 1) x [k, k + 1); outside the grid all is empty. A ray
// that starts inside an occupied voxel has gone 0. Blocks of 8³ without an occupied voxel are
// crossed in one step.
//
// grid: (X, Y, W), one grid. starts: (R, 3), voxels. directions: (R, 3), or (1, 3) for all rays;
// their length is the unit of the result. distances: (R).
void raycast(const Word* grid, GridShape shape, const float* starts, const float* directions,
             bool one_direction, std::int64_t rays, float* distances, int threads);

// Unit normals of the surface near some points: away from the occupied voxels whose centres lie
// within `radius`, the nearer the heavier (weight (1 - d²/radius²)²). Zero where they balance.
//
// grid: (X, Y, W), one grid. points, normals: (P, 3), voxels. radius: voxels, at most 16.
void surface_normals(const Word* grid, GridShape shape, const float* points, std::int64_t count,
                     float radius, float* normals, int threads);

}  // namespace mvd
