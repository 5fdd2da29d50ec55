// The closed surface of a grid: the faces between an occupied and an empty voxel, outside counting
// as empty, as two triangles each.
//
// Vertices are grid corners, once for each fan of faces (corner_cases.hpp), so every edge is in
// exactly two triangles that run along it in opposite directions, whatever touches whatever. They
// are numbered by corner, z fastest, and fan; faces by voxel and side: any number of threads gives
// the same mesh. Memory beside the result is that of two layers of corners a thread, or, when
// vertices are moved, in proportion to the result.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mvd/bitgrid.hpp"

namespace mvd {

using VertexIndex = std::int32_t;

struct SurfaceNet;

// Six maps of real depths, in voxels, where the surface is known more finely than its voxels: laid
// out as those of odm.hpp. A face of a voxel lies at a whole depth, and where that of the pixel
// that sees it is within a voxel of it, the surface starts there.
struct DepthMaps {
    const float* maps;  // (6, N, N); NaN at background
    std::int64_t edge;  // N

    // The pixel (u, v) of the face that looks at the surface from ahead or from behind on an axis.
    float at(int axis, bool from_ahead, std::int64_t u, std::int64_t v) const {
        const std::int64_t face = 2 * (2 - axis) + (from_ahead ? 0 : 1);
        return maps[(face * edge + u) * edge + v];
    }
};

struct SurfaceOptions {
    // Whether to relax the staircase of the voxels: each vertex moves within its own corner's cell,
    // the volume stays (surface_net.hpp).
    bool smooth = false;
    // How far to move vertices at one corner of the grid apart, each towards its own faces, in
    // voxels. Formats that keep positions alone would join them again.
    double apart = 0;
    // Where smoothing starts; null: at the corners of the grid.
    const DepthMaps* depths = nullptr;
};

// world = origin + spacing * corner
struct GridPlace {
    std::array<double, 3> origin, spacing;
};

class VoxelSurface {
  public:
    // packed: (X, Y, W), must outlive this. Counts, so that the caller can allocate. Throws when
    // there are more vertices than a VertexIndex counts.
    VoxelSurface(const Word* packed, GridShape shape, int threads);

    std::int64_t vertices() const { return first_vertex_.back(); }
    std::int64_t faces() const { return 2 * first_quad_.back(); }

    // vertices: (V, 3), world; faces: (F, 3), counterclockwise seen from outside.
    void write(const GridPlace& place, const SurfaceOptions& options, double* vertices,
               VertexIndex* faces, int threads) const;

  private:
    void write_plain(const GridPlace& place, double apart, double* vertices, VertexIndex* faces,
                     int threads) const;
    void write_smooth(const GridPlace& place, const SurfaceOptions& options, double* vertices,
                      VertexIndex* faces, int threads) const;
    SurfaceNet make_net(const DepthMaps* depths, int threads) const;

    VertexIndex first_vertex(std::int64_t x) const {
        return static_cast<VertexIndex>(first_vertex_[static_cast<std::size_t>(x)]);
    }

    std::int64_t first_quad(std::int64_t x) const {
        return first_quad_[static_cast<std::size_t>(x)];
    }

    const Word* packed_;
    GridShape shape_;
    std::vector<std::int64_t> first_vertex_;  // (X + 2): of the corners at each x
    std::vector<std::int64_t> first_quad_;    // (X + 1): of the voxels at each x
};

}  // namespace mvd
