#include "mvd/surface.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "mvd/corner_layer.hpp"
#include "mvd/error.hpp"
#include "mvd/parallel.hpp"
#include "mvd/surface_net.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kLayerGrain = 8;

constexpr float kSeenReach = 1;  // voxels between a face and the depth of the pixel that sees it

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

std::int64_t count_quads(const Voxels& voxels, std::int64_t x) {
    std::int64_t count = 0;
    for_each_exposed(voxels, x, [&](std::size_t, std::int64_t, std::int64_t, Word exposed) {
        if (exposed) count += count_bits(exposed);
    });
    return count;
}

using QuadVertices = std::array<VertexIndex, 4>;

// Calls visit(side, y, z, vertices) for the faces of the voxels at one x, whose corners are in
// `layers`.
template <typename Visit>
void for_each_quad(const Voxels& voxels, std::int64_t x, const CornerLayer* const (&layers)[2],
                   const Visit& visit) {
    const auto quad = [&](std::size_t side, std::int64_t y, std::int64_t w, Word exposed) {
        for_each_voxel(exposed, w, [&](std::int64_t z) {
            QuadVertices vertices;
            for (std::size_t i = 0; i < 4; ++i) {
                const QuadCorner& corner = kQuads[side][i];
                vertices[i] = layers[corner.dx]->vertex(y + corner.dy, z + corner.dz, corner.face);
            }
            visit(side, y, z, vertices);
        });
    };
    for_each_exposed(voxels, x, quad);
}

using Point = std::array<double, 3>;

Point point(std::int64_t x, std::int64_t y, std::int64_t z) {
    return {static_cast<double>(x), static_cast<double>(y), static_cast<double>(z)};
}

// What moves the vertex of a fan by `apart` towards the fan's own side.
Point step_apart(const Fan& fan, double apart) {
    const auto& [x, y, z] = fan.pull;
    const int square = x * x + y * y + z * z;
    if (square == 0) return {};
    const double scale = apart / std::sqrt(square);
    return {scale * x, scale * y, scale * z};
}

// Writes corner + step; gives where the next goes.
double* write_point(const GridPlace& place, const Point& corner, const Point& step, double* out) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
        *out++ = place.origin[axis] + place.spacing[axis] * (corner[axis] + step[axis]);
    }
    return out;
}

// How far the real depths of the faces around a corner move its vertex: along each axis the mean of
// those faces of the fan, across that axis, whose pixel saw them.
Vec4 seen_step(const DepthMaps& depths, const std::array<std::int64_t, 3>& corner, const Fans& fans,
               int fan, unsigned config) {
    Vec4 step{};
    for (int axis = 0; axis < 3; ++axis) {
        const auto a = static_cast<std::size_t>(axis);
        float total = 0, count = 0;
        for (int face = 4 * axis; face < 4 * axis + 4; ++face) {
            if (fans.of_face[static_cast<std::size_t>(face)] != fan) continue;
            const std::int64_t u = corner[axis == 0 ? 1 : 0] - 1 + (face >> 1 & 1);
            const std::int64_t v = corner[axis == 2 ? 1 : 2] - 1 + (face & 1);
            const bool ahead = corner::faces_ahead(config, face);
            const std::int64_t border = ahead ? depths.edge - corner[a] : corner[a];
            const float deeper = depths.at(axis, ahead, u, v) - static_cast<float>(border);
            if (!(std::abs(deeper) <= kSeenReach)) continue;  // another surface, or none: NaN
            total += ahead ? -deeper : deeper;
            ++count;
        }
        if (count > 0) step[a] = std::clamp(total / count, -kReach, kReach);
    }
    return step;
}

// Describes the vertices at one x, the middle one of three layers, from number `first` on.
void add_vertices(const Voxels& voxels, std::int64_t x, const CornerLayer* const (&layers)[3],
                  VertexIndex first, const Voxels::Box& box, const DepthMaps* depths,
                  SurfaceNet& net) {
    auto i = static_cast<std::size_t>(first);
    const auto add = [&](std::int64_t y, std::int64_t z, const Fans& fans, int number,
                         unsigned config) {
        const Fan& fan = fans.fan[static_cast<std::size_t>(number)];
        std::int8_t count = 0;
        for (int half = 0; half < 6; ++half) {
            const auto slot = static_cast<std::size_t>(half);
            const int face = fan.face_along[slot], axis = half >> 1, step = (half & 1) ? 1 : -1;
            if (face < 0) {
                net.neighbours[i][slot] = static_cast<VertexIndex>(i);
                continue;
            }
            const CornerLayer& layer = *layers[axis == 0 ? 1 + step : 1];
            net.neighbours[i][slot] =
                layer.vertex(y + (axis == 1 ? step : 0), z + (axis == 2 ? step : 0),
                             face_at_other_end(face, axis));
            ++count;
        }
        net.pull[i] = {fan.pull[0], fan.pull[1], fan.pull[2], count};
        net.area[i] = {fan.area[0], fan.area[1], fan.area[2],
                       static_cast<std::int8_t>(fans.count - 1)};
        const std::array<std::int64_t, 3> corner = {x, y, z};
        if (depths) {
            net.start[i] = seen_step(*depths, corner, fans, number, config);
        } else {
            net.border[i] = box.sides(corner);
        }
        ++i;
    };
    for_each_fan(voxels, x, add);
}

// Calls body(begin, end) with consecutive parts of the corner layers 0 to X on threads.
template <typename Body>
void for_layers(const GridShape& shape, int threads, const Body& body) {
    parallel_for(shape.x + 1, kLayerGrain, threads, body);
}

}  // namespace

VoxelSurface::VoxelSurface(const Word* packed, GridShape shape, int threads)
    : packed_(packed),
      shape_(shape),
      first_vertex_(static_cast<std::size_t>(shape.x + 2)),
      first_quad_(static_cast<std::size_t>(shape.x + 1)) {
    const Voxels voxels(packed, shape);
    for_layers(shape, threads, [&](std::int64_t begin, std::int64_t end) {
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

void VoxelSurface::write(const GridPlace& place, const SurfaceOptions& options, double* vertices,
                         VertexIndex* faces, int threads) const {
    if (options.smooth) {
        write_smooth(place, options, vertices, faces, threads);
    } else {
        write_plain(place, options.apart, vertices, faces, threads);
    }
}

void VoxelSurface::write_plain(const GridPlace& place, double apart, double* vertices,
                               VertexIndex* faces, int threads) const {
    const Voxels voxels(packed_, shape_);
    const auto write_layer = [&](CornerLayer& layer, std::int64_t x) {
        double* out = vertices + 3 * std::int64_t{first_vertex(x)};
        layer.number(x, first_vertex(x), [&](std::int64_t y, std::int64_t z, const Fans* fans) {
            const Point corner = point(x, y, z);
            if (!fans || fans->count == 1) {
                out = write_point(place, corner, {}, out);
                return;
            }
            for (int i = 0; i < fans->count; ++i) {
                const Fan& fan = fans->fan[static_cast<std::size_t>(i)];
                out = write_point(place, corner, step_apart(fan, apart), out);
            }
        });
    };
    parallel_for(shape_.x, kLayerGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        CornerLayer near(voxels), far(voxels);
        if (begin == 0) {
            write_layer(near, 0);
        } else {
            near.number(begin, first_vertex(begin));
        }
        for (std::int64_t x = begin; x < end; ++x) {
            write_layer(far, x + 1);
            VertexIndex* out = faces + 6 * first_quad(x);
            const CornerLayer* const layers[2] = {&near, &far};
            for_each_quad(voxels, x, layers,
                          [&](std::size_t, std::int64_t, std::int64_t, const QuadVertices& quad) {
                              for (const std::size_t i : {0, 1, 2, 0, 2, 3}) *out++ = quad[i];
                          });
            std::swap(near, far);
        }
    });
}

void VoxelSurface::write_smooth(const GridPlace& place, const SurfaceOptions& options,
                                double* vertices, VertexIndex* faces, int threads) const {
    const SurfaceNet net = make_net(options.depths, threads);
    const std::vector<Vec4> moved = relax(net, options.apart, threads);
    const Voxels voxels(packed_, shape_);
    for_layers(shape_, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t x = begin; x < end; ++x) {
            double* out = vertices + 3 * std::int64_t{first_vertex(x)};
            auto i = static_cast<std::size_t>(first_vertex(x));
            for_each_corner_fans(voxels, x, [&](std::int64_t y, std::int64_t z, const Fans* fans) {
                for (const std::size_t last = i + (fans ? fans->count : 1); i < last; ++i) {
                    out = write_point(place, point(x, y, z),
                                      {moved[i][0], moved[i][1], moved[i][2]}, out);
                }
            });
        }
    });
    write_triangles(net, moved, faces, threads);
}

SurfaceNet VoxelSurface::make_net(const DepthMaps* depths, int threads) const {
    const Voxels voxels(packed_, shape_);
    SurfaceNet net(static_cast<std::size_t>(vertices()), static_cast<std::size_t>(faces() / 2));
    if (depths) net.start.resize(net.pull.size());
    const Voxels::Box box = voxels.occupied_box();
    // Three layers at a time: the neighbours of a corner are in all of them.
    for_layers(shape_, threads, [&](std::int64_t begin, std::int64_t end) {
        CornerLayer before(voxels), here(voxels), after(voxels);
        if (begin > 0) before.number(begin - 1, first_vertex(begin - 1));
        here.number(begin, first_vertex(begin));
        for (std::int64_t x = begin; x < end; ++x) {
            if (x < shape_.x) after.number(x + 1, first_vertex(x + 1));
            const CornerLayer* const layers[3] = {&before, &here, &after};
            add_vertices(voxels, x, layers, first_vertex(x), box, depths, net);
            if (x < shape_.x) {
                auto quad = static_cast<std::size_t>(first_quad(x));
                for_each_quad(
                    voxels, x, {&here, &after},
                    [&](std::size_t side, std::int64_t, std::int64_t, const QuadVertices& corners) {
                        net.quads[quad] = corners;
                        net.sides[quad++] = static_cast<std::uint8_t>(side);
                    });
            }
            std::swap(before, here);
            std::swap(here, after);
        }
    });
    return net;
}

}  // namespace mvd
