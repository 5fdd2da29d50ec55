// Meshes on a lattice of 2^-16 voxel: what voxelization rounds to before it computes exactly.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "mvd/host_device.hpp"
#include "mvd/parallel.hpp"

namespace mvd {

inline constexpr std::int64_t kLatticeUnit = std::int64_t{1} << 16;   // lattice steps a voxel
inline constexpr std::int64_t kLatticeReach = std::int64_t{1} << 20;  // voxels from the origin

// A vertex in lattice steps.
struct LatticePoint {
    std::int64_t at[3];

    static constexpr std::int64_t kNowhere = std::numeric_limits<std::int64_t>::min();
    MVD_HD bool valid() const { return at[0] != kNowhere; }
};

// The lattice point next to `vertex` (3) in voxels, halves to even; nowhere when it is not finite
// or out of reach.
MVD_HD inline LatticePoint snap(const double* vertex) {
    LatticePoint point{};
    for (int axis = 0; axis < 3; ++axis) {
        // Negated, so that NaN fails.
        if (!(std::abs(vertex[axis]) <= static_cast<double>(kLatticeReach))) {
            return {{LatticePoint::kNowhere, 0, 0}};
        }
        point.at[axis] = std::llrint(vertex[axis] * static_cast<double>(kLatticeUnit));
    }
    return point;
}

struct LatticeMesh {
    std::vector<LatticePoint> points;
    const std::int64_t* faces;  // (F, 3)
    std::int64_t face_count;

    // vertices: (V, 3) in voxels.
    LatticeMesh(const double* vertices, std::int64_t vertex_count, const std::int64_t* triangles,
                std::int64_t triangle_count, int threads)
        : points(static_cast<std::size_t>(vertex_count)),
          faces(triangles),
          face_count(triangle_count) {
        constexpr std::int64_t kGrain = 1 << 14;
        parallel_for(vertex_count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t v = begin; v < end; ++v) {
                points[static_cast<std::size_t>(v)] = snap(vertices + v * 3);
            }
        });
    }

    // Fills `found`; false when a vertex is missing or nowhere.
    bool corners(std::int64_t face, const LatticePoint* (&found)[3]) const {
        for (int c = 0; c < 3; ++c) {
            const std::int64_t index = faces[face * 3 + c];
            if (index < 0 || index >= static_cast<std::int64_t>(points.size())) return false;
            found[c] = &points[static_cast<std::size_t>(index)];
            if (!found[c]->valid()) return false;
        }
        return true;
    }
};

}  // namespace mvd
