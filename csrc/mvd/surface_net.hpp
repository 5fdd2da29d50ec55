// The surface of a grid as a net of vertices, and its relaxation.
//
// A voxel surface is a staircase wherever the shape is not parallel to the grid. Relaxing moves
// each vertex towards the mean of its neighbours, by less than half a voxel along each axis: it
// stays in its own cell of the grid of corners, so that vertices of different corners never meet
// and no face turns around. (Constrained elastic surface nets: Gibson 1998.)
//
// Means alone shrink whatever is convex, a thin rod to nothing. Three things prevent it:
// - Edges that are no stairs stay. Where a surface bends one way only, and not to and fro as stairs
//   do, that is the shape; vertices move the less, the more one-sided the bending around them is.
//   Boxes along the axes stay as they are, and so do rods of one voxel.
// - What moving the vertices takes from the volume in one place, moving those around along the
//   normals gives back there.
// - What is then left to the volume of the voxels is made up for everywhere alike.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mvd/surface.hpp"

namespace mvd {

// Three coordinates and one lane more.
using Vec4 = float __attribute__((vector_size(16)));

// How far a vertex may move along each axis, in voxels: a bit less than half, so that vertices of
// neighbouring corners stay apart in single precision, too.
constexpr float kReach = 31.0F / 64;

// A few small whole numbers and one more.
struct SmallVector {
    std::int8_t x, y, z, extra;

    Vec4 vec() const {
        return Vec4{static_cast<float>(x), static_cast<float>(y), static_cast<float>(z), 0};
    }
};

// Vertices and quads in the order of VoxelSurface.
struct SurfaceNet {
    SurfaceNet(std::size_t vertices, std::size_t faces)
        : neighbours(vertices),
          pull(vertices),
          area(vertices),
          border(vertices),
          quads(faces),
          sides(faces) {}

    std::int64_t size() const { return static_cast<std::int64_t>(pull.size()); }

    std::vector<std::array<VertexIndex, 6>> neighbours;  // by half-axis; itself where none
    std::vector<SmallVector> pull;  // sum of the steps to the neighbours; extra: how many they are
    std::vector<SmallVector> area;  // outward, in quarters; extra: other vertices at its corner
    // Half-axes, a bit each, that lead out of the box of the voxels: the surface stays inside it,
    // unless real depths say otherwise.
    std::vector<std::uint8_t> border;
    std::vector<Vec4> start;  // steps from the corners to begin with; or none at all
    std::vector<std::array<VertexIndex, 4>> quads;
    std::vector<std::uint8_t> sides;  // of the voxel, each quad's: see kQuads
};

// How far each vertex ends up from its corner, in voxels; lane 3 is 0. Vertices at one corner end
// up at least `apart` on their own sides of it.
std::vector<Vec4> relax(const SurfaceNet& net, double apart, int threads);

// Two triangles for each quad, by a diagonal inside it, the shorter one if both are.
void write_triangles(const SurfaceNet& net, const std::vector<Vec4>& moved, VertexIndex* faces,
                     int threads);

}  // namespace mvd
