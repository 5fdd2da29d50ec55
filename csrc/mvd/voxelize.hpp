// Exact conservative voxelization of triangles: a voxel is set when its closed cube meets the
// closed triangle, so touching counts.
//
// Exact means: each vertex is first rounded (half to even) to a lattice of 2^-16 voxel, and from
// there on everything is integer arithmetic without overflow or rounding. A cube and a triangle
// are apart when one of 13 axes separates them. Each such axis is a linear inequality in the
// voxel's index, so the voxels of a triangle on one line along z are an interval, and a triangle
// costs its lines, not the volume of its bounding box. Segments and points need no case of their
// own: their zero normals and edges separate nothing.
#pragma once

#include <algorithm>
#include <cstdint>

#include "mvd/bitgrid.hpp"
#include "mvd/lattice.hpp"

namespace mvd {

// What became of the triangles of a mesh.
struct SurfaceCounts {
    std::int64_t bad;         // skipped: a vertex missing, not finite or beyond kLatticeReach
    std::int64_t degenerate;  // voxelized as the segment or point they are on the lattice
};

// vertices: (V, 3) in voxels; faces: (F, 3) indices of vertices; packed: (X, Y, W), overwritten.
// What lies outside the grid is clipped.
SurfaceCounts voxelize_surface(const double* vertices, std::int64_t vertex_count,
                               const std::int64_t* faces, std::int64_t face_count, Word* packed,
                               GridShape shape, int threads);

// Samples closed meshes at the centres of voxels: a voxel is set when its centre is inside, by the
// parity of the triangles below it. Parity is counted along each axis and two of the three decide;
// returns how many voxels the three do not agree on, which is 0 for every closed mesh (each edge in
// an even number of triangles), whatever lies exactly on what: a centre is taken a hair off, by
// less along each axis than along the one before, so that a box holds its lower faces.
// Arguments as for voxelize_surface.
std::int64_t voxelize_centres(const double* vertices, std::int64_t vertex_count,
                              const std::int64_t* faces, std::int64_t face_count, Word* packed,
                              GridShape shape, int threads);

namespace voxelize {

__extension__ using Int128 = __int128;

// A triangle that covers at most this many voxels along each axis is done in 64 bits: with edges
// up to M = 2^20 lattice steps no value exceeds 3 M^3 < 2^62. Others need 3 (2^37)^3 < 2^113.
inline constexpr std::int64_t kSmallCells = 16;

// A range of voxel indices, both ends included.
template <typename Int>
struct Interval {
    Int first, last;

    MVD_HD bool empty() const { return first > last; }
};

// floor(a / b) for b > 0.
template <typename Int>
MVD_HD Int floor_div(Int a, Int b) {
    const Int quotient = a / b;
    return quotient * b > a ? quotient - 1 : quotient;
}

// The voxels along one axis whose closed extent meets that of a triangle, by its vertices' places.
MVD_HD inline Interval<std::int64_t> extent(std::int64_t a, std::int64_t b, std::int64_t c) {
    const std::int64_t low = std::min(a, std::min(b, c)), high = std::max(a, std::max(b, c));
    return {floor_div(low - 1, kLatticeUnit), floor_div(high, kLatticeUnit)};
}

// Keeps those indices k of `range` for which constant + slope * k >= 0.
template <typename Int>
MVD_HD void keep(Interval<Int>& range, Int constant, Int slope) {
    if (slope > 0) {
        range.first = std::max(range.first, -floor_div(constant, slope));
    } else if (slope < 0) {
        range.last = std::min(range.last, floor_div(constant, -slope));
    } else if (constant < 0) {
        range.last = range.first - 1;
    }
}

// Three vertices in lattice steps from the low corner of the first voxel of their bounding box.
template <typename Int>
struct Triangle {
    Int at[3][3];  // [vertex][axis]

    // Component of the normal along the third axis after u and v, for (u, v) in cyclic order.
    MVD_HD Int normal(int u, int v) const {
        return (at[1][u] - at[0][u]) * (at[2][v] - at[0][v]) -
               (at[1][v] - at[0][v]) * (at[2][u] - at[0][u]);
    }
};

// Whether three lattice points lie on a line.
MVD_HD inline bool is_degenerate(const LatticePoint& a, const LatticePoint& b,
                                 const LatticePoint& c) {
    Triangle<Int128> triangle;
    for (int axis = 0; axis < 3; ++axis) {
        triangle.at[0][axis] = a.at[axis];
        triangle.at[1][axis] = b.at[axis];
        triangle.at[2][axis] = c.at[axis];
    }
    return triangle.normal(0, 1) == 0 && triangle.normal(1, 2) == 0 && triangle.normal(2, 0) == 0;
}

// The shadow of a triangle along an axis, as the cells (i, j) of axes u and v that it meets: each
// edge keeps the cells with u * i + v * j + constant >= 0.
template <typename Int>
struct Shadow {
    struct Edge {
        Int u, v, constant;
    } edges[3];

    MVD_HD Shadow(const Triangle<Int>& triangle, int u, int v) {
        constexpr Int unit = kLatticeUnit;
        const Int turn = triangle.normal(u, v) < 0 ? -1 : 1;
        for (int e = 0; e < 3; ++e) {
            const Int* from = triangle.at[e];
            const Int* to = triangle.at[(e + 1) % 3];
            const Int a = turn * (from[v] - to[v]);
            const Int b = turn * (to[u] - from[u]);
            const Int corner = (a > 0 ? a * (unit - from[u]) : -a * from[u]) +
                               (b > 0 ? b * (unit - from[v]) : -b * from[v]);
            edges[e] = {a * unit, b * unit, corner};
        }
    }

    // The part of `range` along v that meets the triangle in cell i of u.
    MVD_HD Interval<Int> across(Int i, Interval<Int> range) const {
        for (const Edge& edge : edges) keep(range, edge.constant + edge.u * i, edge.v);
        return range;
    }
};

// floor((start + step * n) / divisor) for n = 0, 1, 2 ... with two divisions in all.
template <typename Int>
class Ramp {
  public:
    MVD_HD Ramp(Int start, Int step, Int divisor)
        : value_(floor_div(start, divisor)),
          rest_(start - value_ * divisor),
          step_(floor_div(step, divisor)),
          step_rest_(step - step_ * divisor),
          divisor_(divisor) {}

    MVD_HD Int value() const { return value_; }

    MVD_HD void next() {
        value_ += step_;
        rest_ += step_rest_;
        if (rest_ >= divisor_) {
            rest_ -= divisor_;
            ++value_;
        }
    }

  private:
    Int value_, rest_, step_, step_rest_, divisor_;
};

// The plane of a triangle, its normal turned to z >= 0: which voxels of a line along z it meets.
template <typename Int>
struct Plane {
    Int normal[3];
    Int low, high;  // the plane's equation at the lowest and highest corner of voxel (0, 0, 0)

    MVD_HD explicit Plane(const Triangle<Int>& triangle) {
        constexpr Int unit = kLatticeUnit;
        const Int turn = triangle.normal(0, 1) < 0 ? -1 : 1;
        low = high = 0;
        for (int axis = 0; axis < 3; ++axis) {
            const Int n = turn * triangle.normal((axis + 1) % 3, (axis + 2) % 3);
            const Int near = -n * triangle.at[0][axis];
            const Int far = n * (unit - triangle.at[0][axis]);
            normal[axis] = n;
            low += std::min(near, far);
            high += std::max(near, far);
        }
    }

    // Minus the first index of z that the plane meets on the lines (i, j), (i, j + 1) ... An
    // upright plane bounds no line: its shadow on xy says it all, and `range` stays as it is.
    MVD_HD Ramp<Int> minus_first(Int i, Int j, Interval<Int> range) const {
        if (normal[2] == 0) return {-range.first, 0, 1};
        return {high + along(0, i) + along(1, j), along(1, 1), along(2, 1)};
    }

    // The last such index.
    MVD_HD Ramp<Int> last(Int i, Int j, Interval<Int> range) const {
        if (normal[2] == 0) return {range.last, 0, 1};
        return {-(low + along(0, i) + along(1, j)), -along(1, 1), along(2, 1)};
    }

  private:
    MVD_HD Int along(int axis, Int index) const { return normal[axis] * kLatticeUnit * index; }
};

}  // namespace voxelize

}  // namespace mvd
