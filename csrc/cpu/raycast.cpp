#include "mvd/raycast.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/parallel.hpp"
#include "mvd/resample.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kBlock = 8;
constexpr std::int64_t kGrain = 1024;  // rays or points, the least that is worth a thread
constexpr double kFar = std::numeric_limits<double>::infinity();

using Cell = std::array<std::int64_t, 3>;
using Vector = std::array<double, 3>;

bool is_occupied(const Word* grid, std::int64_t y, std::int64_t words, const Cell& at) {
    return voxel(grid + (at[0] * y + at[1]) * words, at[2]);
}

// Walks rays through one grid.
class Walker {
  public:
    Walker(const Word* grid, GridShape shape, const Word* blocks)
        : grid_(grid),
          blocks_(blocks),
          edges_{shape.x, shape.y, shape.z},
          words_(shape.words()),
          blocks_y_((shape.y + kBlock - 1) / kBlock),
          block_words_(words_per_line((shape.z + kBlock - 1) / kBlock)) {}

    double distance(const Vector& start, const Vector& along) const {
        double t = enter(start, along);
        if (t == kFar) return kFar;
        Cell at;
        for (std::size_t i = 0; i < 3; ++i) at[i] = cell(start[i] + t * along[i], 0, edges_[i] - 1);
        while (true) {
            const Cell block{at[0] / kBlock, at[1] / kBlock, at[2] / kBlock};
            const bool empty = !is_occupied(blocks_, blocks_y_, block_words_, block);
            if (!empty && is_occupied(grid_, edges_[1], words_, at)) return t;
            if (!leave(start, along, empty ? kBlock : 1, at, t)) return kFar;
        }
    }

  private:
    static std::int64_t cell(double place, std::int64_t least, std::int64_t most) {
        return std::clamp(static_cast<std::int64_t>(std::floor(place)), least, most);
    }

    // Where the ray enters the grid: 0 when it starts inside, kFar when it misses.
    double enter(const Vector& start, const Vector& along) const {
        double from = 0, to = kFar;
        for (std::size_t i = 0; i < 3; ++i) {
            const auto edge = static_cast<double>(edges_[i]);
            if (along[i] == 0) {
                if (start[i] < 0 || start[i] >= edge) return kFar;
                continue;
            }
            const double a = -start[i] / along[i], b = (edge - start[i]) / along[i];
            from = std::max(from, std::min(a, b));
            to = std::min(to, std::max(a, b));
        }
        return from < to ? from : kFar;
    }

    // Goes on to the first cell past the cube of `size` cells that holds `at`; false: it is outside
    // the grid.
    bool leave(const Vector& start, const Vector& along, std::int64_t size, Cell& at,
               double& t) const {
        Cell low;
        std::size_t axis = 3;
        double exit = kFar;
        for (std::size_t i = 0; i < 3; ++i) {
            low[i] = at[i] / size * size;
            if (along[i] == 0) continue;
            const auto wall = static_cast<double>(along[i] > 0 ? low[i] + size : low[i]);
            const double there = (wall - start[i]) / along[i];
            if (there < exit) {
                exit = there;
                axis = i;
            }
        }
        if (axis == 3) return false;
        t = std::max(t, exit);
        for (std::size_t i = 0; i < 3; ++i) {
            const std::int64_t most = std::min(low[i] + size, edges_[i]) - 1;
            at[i] = cell(start[i] + t * along[i], low[i], most);
        }
        at[axis] = along[axis] > 0 ? low[axis] + size : low[axis] - 1;
        return at[axis] >= 0 && at[axis] < edges_[axis];
    }

    const Word* grid_;
    const Word* blocks_;  // (X/8, Y/8, W/8): whether a block has an occupied voxel
    Cell edges_;
    std::int64_t words_, blocks_y_, block_words_;
};

Vector vector_at(const float* values, std::int64_t index) {
    return {values[3 * index], values[3 * index + 1], values[3 * index + 2]};
}

// Away from the occupied voxels of the ball around a point; not of unit length.
Vector away(const Word* grid, GridShape shape, const Vector& point, double radius) {
    Vector sum{0, 0, 0};
    Cell low, high;
    const Cell edges{shape.x, shape.y, shape.z};
    for (std::size_t i = 0; i < 3; ++i) {
        low[i] = std::max<std::int64_t>(0, std::llround(std::ceil(point[i] - radius - 0.5)));
        high[i] =
            std::min(edges[i] - 1,
                     static_cast<std::int64_t>(std::llround(std::floor(point[i] + radius - 0.5))));
    }
    const double reach = radius * radius;
    for (std::int64_t x = low[0]; x <= high[0]; ++x) {
        const double dx = static_cast<double>(x) + 0.5 - point[0];
        for (std::int64_t y = low[1]; y <= high[1]; ++y) {
            const double dy = static_cast<double>(y) + 0.5 - point[1];
            for (std::int64_t z = low[2]; z <= high[2]; ++z) {
                if (!is_occupied(grid, shape.y, shape.words(), {x, y, z})) continue;
                const double dz = static_cast<double>(z) + 0.5 - point[2];
                const double rest = 1 - (dx * dx + dy * dy + dz * dz) / reach;
                if (rest <= 0) continue;
                sum[0] -= rest * rest * dx;
                sum[1] -= rest * rest * dy;
                sum[2] -= rest * rest * dz;
            }
        }
    }
    return sum;
}

}  // namespace

void raycast(const Word* grid, GridShape shape, const float* starts, const float* directions,
             bool one_direction, std::int64_t rays, float* distances, int threads) {
    const GridShape coarse = pooled_shape(shape, kBlock);
    std::vector<Word> blocks(static_cast<std::size_t>(coarse.x * coarse.y * coarse.words()));
    pool(grid, blocks.data(), shape, kBlock, PoolRule::kAny, threads);
    const Walker walker(grid, shape, blocks.data());
    parallel_for(rays, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t ray = begin; ray < end; ++ray) {
            const Vector along = vector_at(directions, one_direction ? 0 : ray);
            distances[ray] = static_cast<float>(walker.distance(vector_at(starts, ray), along));
        }
    });
}

void surface_normals(const Word* grid, GridShape shape, const float* points, std::int64_t count,
                     float radius, float* normals, int threads) {
    parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            const Vector sum = away(grid, shape, vector_at(points, i), radius);
            const double length = std::sqrt(sum[0] * sum[0] + sum[1] * sum[1] + sum[2] * sum[2]);
            for (std::size_t axis = 0; axis < 3; ++axis) {
                normals[3 * i + static_cast<std::int64_t>(axis)] =
                    length > 0 ? static_cast<float>(sum[axis] / length) : 0.0F;
            }
        }
    });
}

}  // namespace mvd
