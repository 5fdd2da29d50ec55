#include "mvd/surface.hpp"

#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "mvd/corner_layer.hpp"
#include "mvd/error.hpp"
#include "mvd/parallel.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kLayerGrain = 8;

// A corner of a voxel's face: steps from the voxel's own corner, and which of that corner's faces
// the face is.
struct QuadCorner {
    int dx, dy, dz, face;
};

// The four corners of a voxel's face, counterclockwise seen from outside.
using Quad = std::array<QuadCorner, 4>;

constexpr Quad make_quad(int axis, bool ahead) {
    // Around the axis, from the axis after it to the one before it: counterclockwise seen from
    // ahead.
    constexpr int kU[4] = {0, 1, 1, 0}, kV[4] = {0, 0, 1, 1};
    Quad quad{};
    for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t turn = ahead ? i : 3 - i;
        int step[3] = {};
        step[axis] = ahead;
        step[(axis + 1) % 3] = kU[turn];
        step[(axis + 2) % 3] = kV[turn];
        // A corner one step ahead has the face one step back.
        const int du = 1 - step[axis == 0 ? 1 : 0], dv = 1 - step[axis == 2 ? 1 : 2];
        quad[i] = {step[0], step[1], step[2], corner_face(axis, du, dv)};
    }
    return quad;
}

constexpr std::array<Quad, 6> kQuads = {make_quad(0, false), make_quad(0, true),
                                        make_quad(1, false), make_quad(1, true),
                                        make_quad(2, false), make_quad(2, true)};

// Calls visit(side, y, w, voxels) for each word of voxels at one x whose face on that side touches
// no other voxel; sides in the order of kQuads.
template <typename Visit>
void for_each_exposed(const Voxels& voxels, std::int64_t x, const Visit& visit) {
    const std::int64_t words = voxels.shape().words();
    for (std::int64_t y = 0; y < voxels.shape().y; ++y) {
        const Word* line = voxels.line(x, y);
        const Word* const beside[4] = {voxels.line(x - 1, y), voxels.line(x + 1, y),
                                       voxels.line(x, y - 1), voxels.line(x, y + 1)};
        for (std::int64_t w = 0; w < words; ++w) {
            const Word word = line[w];
            if (!word) continue;
            for (std::size_t side = 0; side < 4; ++side) visit(side, y, w, word & ~beside[side][w]);
            const Word before = w > 0 ? line[w - 1] >> (kWordBits - 1) : 0;
            const Word after = w + 1 < words ? line[w + 1] << (kWordBits - 1) : 0;
            visit(std::size_t{4}, y, w, word & ~(word << 1 | before));
            visit(std::size_t{5}, y, w, word & ~(word >> 1 | after));
        }
    }
}

std::int64_t count_vertices(const Voxels& voxels, std::int64_t x) {
    std::int64_t count = 0;
    for_each_corner(voxels, x, [&](std::int64_t, std::int64_t, const Fans* fans) {
        count += fans ? fans->count : 1;
    });
    return count;
}

std::int64_t count_quads(const Voxels& voxels, std::int64_t x) {
    std::int64_t count = 0;
    for_each_exposed(voxels, x, [&](std::size_t, std::int64_t, std::int64_t, Word exposed) {
        count += count_bits(exposed);
    });
    return count;
}

// Calls visit(vertices) for the faces of the voxels at one x, whose corners are in `layers`.
template <typename Visit>
void for_each_quad(const Voxels& voxels, std::int64_t x, const CornerLayer* const (&layers)[2],
                   const Visit& visit) {
    const auto quad = [&](std::size_t side, std::int64_t y, std::int64_t w, Word exposed) {
        for_each_voxel(exposed, w, [&](std::int64_t z) {
            std::array<VertexIndex, 4> vertices;
            for (std::size_t i = 0; i < 4; ++i) {
                const QuadCorner& corner = kQuads[side][i];
                vertices[i] = layers[corner.dx]->vertex(y + corner.dy, z + corner.dz, corner.face);
            }
            visit(vertices);
        });
    };
    for_each_exposed(voxels, x, quad);
}

}  // namespace

VoxelSurface::VoxelSurface(const Word* packed, GridShape shape, int threads)
    : packed_(packed),
      shape_(shape),
      first_vertex_(static_cast<std::size_t>(shape.x + 2)),
      first_quad_(static_cast<std::size_t>(shape.x + 1)) {
    const Voxels voxels(packed, shape);
    parallel_for(shape.x + 1, kLayerGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t x = begin; x < end; ++x) {
            const auto next = static_cast<std::size_t>(x + 1);
            first_vertex_[next] = count_vertices(voxels, x);
            if (x < shape.x) first_quad_[next] = count_quads(voxels, x);
        }
    });
    std::partial_sum(first_vertex_.begin(), first_vertex_.end(), first_vertex_.begin());
    std::partial_sum(first_quad_.begin(), first_quad_.end(), first_quad_.begin());
    if (vertices() > std::numeric_limits<VertexIndex>::max()) {
        throw Error("surface: expected fewer than 2^31 vertices, found " +
                    std::to_string(vertices()));
    }
}

void VoxelSurface::write(std::array<double, 3> origin, std::array<double, 3> spacing,
                         double* vertices, VertexIndex* faces, int threads) const {
    const Voxels voxels(packed_, shape_);
    const auto first = [&](std::int64_t x) { return first_vertex_[static_cast<std::size_t>(x)]; };
    const auto write_vertices = [&](std::int64_t x) {
        double* out = vertices + 3 * first(x);
        for_each_corner(voxels, x, [&](std::int64_t y, std::int64_t z, const Fans* fans) {
            for (int fan = 0; fan < (fans ? fans->count : 1); ++fan) {
                *out++ = origin[0] + spacing[0] * static_cast<double>(x);
                *out++ = origin[1] + spacing[1] * static_cast<double>(y);
                *out++ = origin[2] + spacing[2] * static_cast<double>(z);
            }
        });
    };
    parallel_for(shape_.x, kLayerGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        CornerLayer near(voxels), far(voxels);
        near.number(begin, static_cast<VertexIndex>(first(begin)));
        for (std::int64_t x = begin; x < end; ++x) {
            far.number(x + 1, static_cast<VertexIndex>(first(x + 1)));
            write_vertices(x);
            if (x + 1 == shape_.x) write_vertices(x + 1);
            VertexIndex* out = faces + 6 * first_quad_[static_cast<std::size_t>(x)];
            const CornerLayer* const layers[2] = {&near, &far};
            for_each_quad(voxels, x, layers, [&](const std::array<VertexIndex, 4>& quad) {
                for (const std::size_t i : {0, 1, 2, 0, 2, 3}) *out++ = quad[i];
            });
            std::swap(near, far);
        }
    });
}

}  // namespace mvd
