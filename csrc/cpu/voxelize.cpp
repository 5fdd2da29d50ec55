#include "mvd/voxelize.hpp"

#include <vector>

#include "mvd/line.hpp"
#include "mvd/parallel.hpp"

namespace mvd {

namespace {

using voxelize::Int128;
using voxelize::Interval;
using Index = Interval<std::int64_t>;

constexpr std::int64_t kSlabGrain = 8;  // layers of x, each slab reads all triangles

// The voxels along one axis whose closed extent meets that of the triangle.
Index extent(const LatticePoint* const (&corners)[3], int axis) {
    return voxelize::extent(corners[0]->at[axis], corners[1]->at[axis], corners[2]->at[axis]);
}

// Sets the voxels of triangles in one slab of the grid: layers of x that one thread writes.
template <typename Int>
class Filler {
  public:
    Filler(Word* packed, GridShape shape, Index layers)
        : packed_(packed), shape_(shape), bounds_{layers, {0, shape.y - 1}, {0, shape.z - 1}} {}

    // `box`: the voxels of the triangle's bounding box. All other indices count from its first.
    void add(const LatticePoint* const (&corners)[3], const Index (&box)[3]) {
        voxelize::Triangle<Int> triangle;
        Interval<Int> cells[3];
        for (int axis = 0; axis < 3; ++axis) {
            const auto [first, last] = box[axis];
            for (int c = 0; c < 3; ++c) {
                triangle.at[c][axis] = corners[c]->at[axis] - first * kLatticeUnit;
            }
            cells[axis] = {std::max(bounds_[axis].first, first) - first,
                           std::min(bounds_[axis].last, last) - first};
        }
        const voxelize::Shadow<Int> xy(triangle, 0, 1), yz(triangle, 1, 2), xz(triangle, 0, 2);
        const voxelize::Plane<Int> plane(triangle);
        columns_.clear();
        for (Int j = cells[1].first; j <= cells[1].last; ++j) {
            columns_.push_back(yz.across(j, cells[2]));
        }
        for (Int i = cells[0].first; i <= cells[0].last; ++i) {
            const Interval<Int> ys = xy.across(i, cells[1]);
            const Interval<Int> zs = xz.across(i, cells[2]);
            if (ys.empty() || zs.empty()) continue;
            auto minus_first = plane.minus_first(i, ys.first, zs);
            auto plane_last = plane.last(i, ys.first, zs);
            Word* line = line_at(box[0].first + static_cast<std::int64_t>(i),
                                 box[1].first + static_cast<std::int64_t>(ys.first));
            const auto* column = &columns_[static_cast<std::size_t>(ys.first - cells[1].first)];
            for (Int j = ys.first; j <= ys.last; ++j, ++column, line += shape_.words()) {
                const Int first = std::max({zs.first, column->first, -minus_first.value()});
                const Int last = std::min({zs.last, column->last, plane_last.value()});
                if (first <= last) {
                    set_range(line, box[2].first + static_cast<std::int64_t>(first),
                              box[2].first + static_cast<std::int64_t>(last) + 1);
                }
                minus_first.next();
                plane_last.next();
            }
        }
    }

  private:
    Word* line_at(std::int64_t x, std::int64_t y) const {
        return packed_ + (x * shape_.y + y) * shape_.words();
    }

    Word* packed_;
    GridShape shape_;
    Index bounds_[3];
    std::vector<Interval<Int>> columns_;  // for each j of a triangle, its z in the yz shadow
};

void fill_slab(const LatticeMesh& surface, Word* packed, GridShape shape, Index layers) {
    Filler<std::int64_t> small(packed, shape, layers);
    Filler<Int128> large(packed, shape, layers);
    const Index bounds[3] = {layers, {0, shape.y - 1}, {0, shape.z - 1}};
    for (std::int64_t face = 0; face < surface.face_count; ++face) {
        const LatticePoint* corners[3];
        if (!surface.corners(face, corners)) continue;
        Index box[3];
        bool inside = true, is_small = true;
        for (int axis = 0; axis < 3 && inside; ++axis) {
            box[axis] = extent(corners, axis);
            inside = box[axis].first <= bounds[axis].last && box[axis].last >= bounds[axis].first;
            is_small &= box[axis].last - box[axis].first < voxelize::kSmallCells;
        }
        if (!inside) continue;
        if (is_small) {
            small.add(corners, box);
        } else {
            large.add(corners, box);
        }
    }
}

SurfaceCounts count_faces(const LatticeMesh& surface) {
    SurfaceCounts counts{0, 0};
    for (std::int64_t face = 0; face < surface.face_count; ++face) {
        const LatticePoint* corners[3];
        if (!surface.corners(face, corners)) {
            ++counts.bad;
            continue;
        }
        counts.degenerate += voxelize::is_degenerate(*corners[0], *corners[1], *corners[2]);
    }
    return counts;
}

}  // namespace

SurfaceCounts voxelize_surface(const double* vertices, std::int64_t vertex_count,
                               const std::int64_t* faces, std::int64_t face_count, Word* packed,
                               GridShape shape, int threads) {
    const LatticeMesh surface(vertices, vertex_count, faces, face_count, threads);
    const std::int64_t layer_words = shape.y * shape.words();
    parallel_for(shape.x, kSlabGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        std::fill(packed + begin * layer_words, packed + end * layer_words, Word{0});
        fill_slab(surface, packed, shape, {begin, end - 1});
    });
    return count_faces(surface);
}

}  // namespace mvd
