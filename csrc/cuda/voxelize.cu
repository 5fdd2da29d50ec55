// Exact voxelization of triangles, twin of csrc/cpu/voxelize.cpp: a thread for each small triangle,
// a block of threads for each large one, whose layers they share. Threads meet in words of the
// grid, and OR does not care about order.
#include <algorithm>

#include "cuda/launch.hpp"
#include "mvd/line.hpp"
#include "mvd/voxelize.hpp"

namespace mvd::cuda {

namespace {

using voxelize::Int128;
using voxelize::Interval;
using Index = Interval<std::int64_t>;

struct Grid {
    Word* packed;
    GridShape shape;

    MVD_HD std::int64_t edge(int axis) const {
        return axis == 0 ? shape.x : axis == 1 ? shape.y : shape.z;
    }

    MVD_HD void set_range(std::int64_t x, std::int64_t y, std::int64_t begin,
                          std::int64_t end) const {
        Word* line = packed + (x * shape.y + y) * shape.words();
        for (std::int64_t i = begin / kWordBits; i * kWordBits < end; ++i) {
            atomic_or(line + i, word_below(end, i) & ~word_below(begin, i));
        }
    }
};

// A triangle and the voxels of its bounding box.
struct BoxedFace {
    LatticePoint corners[3];
    Index box[3];

    MVD_HD bool meets(const Grid& grid) const {
        for (int axis = 0; axis < 3; ++axis) {
            if (box[axis].last < 0 || box[axis].first >= grid.edge(axis)) return false;
        }
        return true;
    }

    MVD_HD bool is_small() const {
        for (const Index& range : box) {
            if (range.last - range.first >= voxelize::kSmallCells) return false;
        }
        return true;
    }
};

struct Mesh {
    const double* vertices;  // (V, 3) in voxels
    std::int64_t vertex_count;
    const std::int64_t* faces;  // (F, 3)

    // Fills `face`; false when a vertex is missing or nowhere.
    MVD_HD bool load(std::int64_t index, BoxedFace& face) const {
        for (int c = 0; c < 3; ++c) {
            const std::int64_t vertex = faces[index * 3 + c];
            if (vertex < 0 || vertex >= vertex_count) return false;
            face.corners[c] = snap(vertices + vertex * 3);
            if (!face.corners[c].valid()) return false;
        }
        for (int axis = 0; axis < 3; ++axis) {
            face.box[axis] = voxelize::extent(face.corners[0].at[axis], face.corners[1].at[axis],
                                              face.corners[2].at[axis]);
        }
        return true;
    }
};

template <typename Int>
MVD_HD voxelize::Triangle<Int> triangle_of(const BoxedFace& face) {
    voxelize::Triangle<Int> triangle;
    for (int c = 0; c < 3; ++c) {
        for (int axis = 0; axis < 3; ++axis) {
            triangle.at[c][axis] = face.corners[c].at[axis] - face.box[axis].first * kLatticeUnit;
        }
    }
    return triangle;
}

// Sets the voxels of a triangle, every `step`th layer of x from the `first`th on.
template <typename Int>
MVD_HD void set_layers(const BoxedFace& face, const Grid& grid, int first, int step) {
    const voxelize::Triangle<Int> triangle = triangle_of<Int>(face);
    Interval<Int> cells[3];  // count from the box's first
    for (int axis = 0; axis < 3; ++axis) {
        const Index box = face.box[axis];
        cells[axis] = {std::max<std::int64_t>(0, box.first) - box.first,
                       std::min(grid.edge(axis) - 1, box.last) - box.first};
    }
    const voxelize::Shadow<Int> xy(triangle, 0, 1), yz(triangle, 1, 2), xz(triangle, 0, 2);
    const voxelize::Plane<Int> plane(triangle);
    for (Int i = cells[0].first + first; i <= cells[0].last; i += step) {
        const Interval<Int> ys = xy.across(i, cells[1]), zs = xz.across(i, cells[2]);
        if (ys.empty() || zs.empty()) continue;
        auto minus_first = plane.minus_first(i, ys.first, zs);
        auto plane_last = plane.last(i, ys.first, zs);
        for (Int j = ys.first; j <= ys.last; ++j) {
            const Interval<Int> column = yz.across(j, zs);
            const Int begin = std::max(column.first, -minus_first.value());
            const Int end = std::min(column.last, plane_last.value());
            if (begin <= end) {
                grid.set_range(face.box[0].first + static_cast<std::int64_t>(i),
                               face.box[1].first + static_cast<std::int64_t>(j),
                               face.box[2].first + static_cast<std::int64_t>(begin),
                               face.box[2].first + static_cast<std::int64_t>(end) + 1);
            }
            minus_first.next();
            plane_last.next();
        }
    }
}

// Counts each face, sets the voxels of a small one and puts a large one on a list.
struct SetSmallFace {
    Mesh mesh;
    Grid grid;
    std::uint64_t* counts;  // bad, degenerate
    std::uint64_t* large;   // how many, then their indices

    MVD_HD void operator()(std::int64_t index, std::int64_t) const {
        BoxedFace face;
        if (!mesh.load(index, face)) {
            atomic_add(counts, 1);
            return;
        }
        if (voxelize::is_degenerate(face.corners[0], face.corners[1], face.corners[2])) {
            atomic_add(counts + 1, 1);
        }
        if (!face.meets(grid)) return;
        if (face.is_small()) {
            set_layers<std::int64_t>(face, grid, 0, 1);
        } else {
            large[1 + atomic_add(large, 1)] = static_cast<std::uint64_t>(index);
        }
    }
};

constexpr std::int64_t kLargeBlocks = 1024;  // at most, that share the large faces

struct SetLargeFaces {
    Mesh mesh;
    Grid grid;
    const std::uint64_t* large;
    std::int64_t blocks;

    struct Shared {};

    MVD_HD void operator()(const Block& block, Shared&) const {
        const auto count = static_cast<std::int64_t>(large[0]);
        block.each([&](int thread) {
            for (std::int64_t k = block.index; k < count; k += blocks) {
                BoxedFace face;
                mesh.load(static_cast<std::int64_t>(large[1 + k]), face);
                set_layers<Int128>(face, grid, thread, kBlockThreads);
            }
        });
    }
};

}  // namespace

template <typename Queue>
void voxelize_surface(Queue queue, const double* vertices, std::int64_t vertex_count,
                      const std::int64_t* faces, std::int64_t face_count, Word* packed,
                      GridShape shape, std::uint64_t* counts, std::uint64_t* workspace) {
    const char* name = "voxelize_surface";
    const Mesh mesh{vertices, vertex_count, faces};
    const Grid grid{packed, shape};
    const std::int64_t blocks = std::min(face_count, kLargeBlocks);
    clear(queue, name, packed, shape.lines() * shape.words());
    clear(queue, name, counts, 2);
    clear(queue, name, workspace, 1);
    for_each(queue, name, face_count, 1, SetSmallFace{mesh, grid, counts, workspace});
    for_each_block(queue, name, blocks, SetLargeFaces{mesh, grid, workspace, blocks});
}

template void voxelize_surface(ThisQueue, const double*, std::int64_t, const std::int64_t*,
                               std::int64_t, Word*, GridShape, std::uint64_t*, std::uint64_t*);

}  // namespace mvd::cuda
