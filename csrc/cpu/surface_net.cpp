#include "mvd/surface_net.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mvd/corner_layer.hpp"
#include "mvd/parallel.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kGrain = 1 << 14;

constexpr int kFirstSteps = 12;     // towards the mean of the neighbours, before the first balance
constexpr int kStepsWhenSeen = 12;  // and one balance: from real depths there is less to do
constexpr int kBalances = 3;
constexpr int kStepsBetween = 2;
constexpr int kVolumePasses = 2;
constexpr float kStep = 0.5F;  // of the way to the mean

constexpr float kSpread = 0.16F;  // what a neighbour gets a step, below 1 / 6
constexpr int kNormalSpread = 8;  // steps: how far around a vertex a property is averaged
constexpr int kBendSpread = 8;
constexpr int kBalanceSpread = 16;

constexpr float kLeastArea = 0.2F;  // quarters of a face; a divisor that is not too small

inline float dot(Vec4 a, Vec4 b) {
    const Vec4 product = a * b;
    return product[0] + product[1] + product[2];
}

// The state of a relaxation. A field has a value a vertex, and `spare_` is where the next goes.
class Relaxation {
  public:
    Relaxation(const SurfaceNet& net, int threads)
        : net_(net),
          threads_(threads),
          moved_(net.start.empty() ? std::vector<Vec4>(net.pull.size()) : net.start),
          normals_(moved_.size()),
          field_(moved_.size()),
          spare_(moved_.size()) {
        for_each([&](std::size_t i) { moved_[i] = clamped(i, moved_[i]); });
    }

    // Normals, and in their lane 3 how freely a vertex may move.
    void find_normals() {
        fill([&](std::size_t i) {
            Vec4 area = net_.area[i].vec();
            const float bend =
                dot(area, net_.pull[i].vec()) / static_cast<float>(net_.pull[i].extra);
            return Vec4{bend, std::abs(bend), 0, 0};
        });
        spread(kBendSpread);
        for_each([&](std::size_t i) {
            const float one_sided = field_[i][1] > 0 ? field_[i][0] / field_[i][1] : 0;
            normals_[i][3] = std::max(0.0F, 1 - one_sided * one_sided);
        });
        fill([&](std::size_t i) { return net_.area[i].vec(); });
        spread(kNormalSpread);
        for_each([&](std::size_t i) {
            const float length = std::sqrt(dot(field_[i], field_[i]));
            const Vec4 normal = length > 0 ? field_[i] / length : Vec4{};
            normals_[i] = Vec4{normal[0], normal[1], normal[2], normals_[i][3]};
        });
    }

    // Moves vertices towards the mean of their neighbours.
    void smooth(int steps) {
        for (; steps > 0; --steps) {
            for_each([&](std::size_t i) {
                const Vec4 mean = (net_.pull[i].vec() + sum_of_differences(moved_, i)) /
                                  static_cast<float>(net_.pull[i].extra);
                spare_[i] = clamped(i, moved_[i] + kStep * normals_[i][3] * mean);
            });
            std::swap(moved_, spare_);
        }
    }

    // Moves vertices along their normals so that the volume taken in one place comes back there.
    void balance() {
        fill([&](std::size_t i) {
            const Vec4 area = net_.area[i].vec();
            const Vec4 moved = net_.start.empty() ? moved_[i] : moved_[i] - net_.start[i];
            return Vec4{dot(area, moved), dot(area, normals_[i]) * normals_[i][3], 0, 0};
        });
        spread(kBalanceSpread);
        for_each(
            [&](std::size_t i) { push(i, -field_[i][0] / std::max(field_[i][1], kLeastArea)); });
    }

    // What the vertices swept so far, voxels.
    double swept() const {
        const auto quads = static_cast<std::int64_t>(net_.quads.size());
        return sum(quads, [&](std::size_t i) { return swept_volume(i); });
    }

    // Moves vertices along their normals until they have swept so much.
    void restore_volume(double wanted) {
        const double area = sum(net_.size(), [&](std::size_t i) {
            return dot(net_.area[i].vec(), normals_[i]) * normals_[i][3] / 4;
        });
        if (area <= 0) return;
        for (int pass = 0; pass < kVolumePasses; ++pass) {
            const auto distance = static_cast<float>((wanted - swept()) / area);
            for_each([&](std::size_t i) { push(i, distance); });
        }
    }

    // Moves vertices that share a corner to their own sides of it.
    void part(double apart) {
        for_each([&](std::size_t i) {
            const Vec4 pull = net_.pull[i].vec();
            const float length = std::sqrt(dot(pull, pull));
            if (net_.area[i].extra == 0 || length == 0) return;
            const Vec4 side = pull / length;
            const float lacks = static_cast<float>(apart) - dot(side, moved_[i]);
            if (lacks > 0) moved_[i] = clamped(i, moved_[i] + lacks * side);
        });
    }

    std::vector<Vec4> take() { return std::move(moved_); }

  private:
    template <typename Body>
    void for_each(const Body& body) const {
        parallel_for(net_.size(), kGrain, threads_, [&](std::int64_t begin, std::int64_t end) {
            for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
                body(i);
            }
        });
    }

    template <typename Value>
    void fill(const Value& value) {
        for_each([&](std::size_t i) { field_[i] = value(i); });
    }

    // The sum of value(i) in an order that does not depend on threads.
    template <typename Value>
    double sum(std::int64_t count, const Value& value) const {
        std::vector<double> parts(static_cast<std::size_t>((count + kGrain - 1) / kGrain));
        const auto size = static_cast<std::size_t>(count);
        const auto add_part = [&](std::int64_t begin, std::int64_t end) {
            for (auto part = static_cast<std::size_t>(begin); part < static_cast<std::size_t>(end);
                 ++part) {
                const std::size_t last = std::min(size, (part + 1) * kGrain);
                for (std::size_t i = part * kGrain; i < last; ++i) {
                    parts[part] += static_cast<double>(value(i));
                }
            }
        };
        parallel_for(static_cast<std::int64_t>(parts.size()), 1, threads_, add_part);
        double total = 0;
        for (const double part : parts) total += part;
        return total;
    }

    Vec4 sum_of_differences(const std::vector<Vec4>& field, std::size_t i) const {
        Vec4 total{};
        for (const VertexIndex other : net_.neighbours[i]) {
            total += field[static_cast<std::size_t>(other)];
        }
        return total - 6 * field[i];
    }

    // Averages field_ over the neighbourhood of each vertex; the sum over all stays.
    void spread(int steps) {
        for (; steps > 0; --steps) {
            for_each([&](std::size_t i) {
                spare_[i] = field_[i] + kSpread * sum_of_differences(field_, i);
            });
            std::swap(field_, spare_);
        }
    }

    // As far as vertex i may move: within its cell, and not out of the box of the voxels.
    Vec4 clamped(std::size_t i, Vec4 moved) const {
        const Vec4 reach = {kReach, kReach, kReach, 0};
        moved = moved < reach ? moved : reach;
        moved = moved > -reach ? moved : -reach;
        if (const unsigned border = net_.border[i]) {
            for (std::size_t axis = 0; axis < 3; ++axis) {
                const unsigned sides = border >> 2 * axis;
                if (sides & 1) moved[axis] = std::max(moved[axis], 0.0F);
                if (sides & 2) moved[axis] = std::min(moved[axis], 0.0F);
            }
        }
        return moved;
    }

    void push(std::size_t i, float distance) {
        const Vec4 normal = {normals_[i][0], normals_[i][1], normals_[i][2], 0};
        moved_[i] = clamped(i, moved_[i] + distance * normals_[i][3] * normal);
    }

    double swept_volume(std::size_t quad) const;

    const SurfaceNet& net_;
    int threads_;
    std::vector<Vec4> moved_, normals_, field_, spare_;
};

// The corners of a quad that its two triangles have.
constexpr std::size_t kHalves[2][2][3] = {{{0, 1, 2}, {0, 2, 3}}, {{0, 1, 3}, {1, 2, 3}}};

// A quad's corners where they were, and how far they moved.
struct MovedQuad {
    MovedQuad(const SurfaceNet& net, const std::vector<Vec4>& moved, std::size_t quad)
        : side(net.sides[quad]) {
        for (std::size_t i = 0; i < 4; ++i) {
            const QuadCorner& corner = kQuads[side][i];
            rest[i] = Vec4{static_cast<float>(corner.dx), static_cast<float>(corner.dy),
                           static_cast<float>(corner.dz), 0};
            step[i] = moved[static_cast<std::size_t>(net.quads[quad][i])];
        }
    }

    // Twice the area of a triangle seen along the face's normal; negative when turned around.
    float projected(const std::size_t (&triangle)[3]) const {
        const std::size_t axis = side / 2, u = (axis + 1) % 3, v = (axis + 2) % 3;
        const auto [a, b, c] = triangle;
        const Vec4 p = at(b) - at(a), q = at(c) - at(a);
        const float area = p[u] * q[v] - p[v] * q[u];
        return side % 2 ? area : -area;
    }

    Vec4 at(std::size_t i) const { return rest[i] + step[i]; }

    // Which of kHalves to cut it into.
    std::size_t cut() const {
        const auto inside = [&](std::size_t way) {
            return projected(kHalves[way][0]) > 0 && projected(kHalves[way][1]) > 0;
        };
        const Vec4 first = at(2) - at(0), second = at(3) - at(1);
        const std::size_t shorter = dot(second, second) < dot(first, first);
        return inside(shorter) ? shorter : 1 - shorter;
    }

    std::size_t side;
    std::array<Vec4, 4> rest, step;
};

inline Vec4 cross(Vec4 a, Vec4 b) {
    return Vec4{a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0], 0};
}

// What a triangle of a quad sweeps while its corners move, each in a straight line and at one pace:
// the integral of area times speed.
double Relaxation::swept_volume(std::size_t quad) const {
    const MovedQuad corners(net_, moved_, quad);
    float volume = 0;
    for (const auto& [a, b, c] : kHalves[corners.cut()]) {
        const Vec4 p = corners.rest[b] - corners.rest[a], q = corners.rest[c] - corners.rest[a];
        const Vec4 dp = corners.step[b] - corners.step[a], dq = corners.step[c] - corners.step[a];
        const Vec4 area = cross(p, q) + (cross(p, dq) + cross(dp, q)) / 2 + cross(dp, dq) / 3;
        volume += dot(area, corners.step[a] + corners.step[b] + corners.step[c]) / 6;
    }
    return static_cast<double>(volume);
}

}  // namespace

std::vector<Vec4> relax(const SurfaceNet& net, double apart, int threads) {
    Relaxation relaxation(net, threads);
    const bool seen = !net.start.empty();
    const double wanted = seen ? relaxation.swept() : 0;
    relaxation.find_normals();
    relaxation.smooth(seen ? kStepsWhenSeen : kFirstSteps);
    for (int round = 0; round < (seen ? 1 : kBalances); ++round) {
        if (round > 0) relaxation.smooth(kStepsBetween);
        relaxation.balance();
    }
    relaxation.part(apart);
    relaxation.restore_volume(wanted);
    relaxation.part(apart);
    return relaxation.take();
}

void write_triangles(const SurfaceNet& net, const std::vector<Vec4>& moved, VertexIndex* faces,
                     int threads) {
    const auto quads = static_cast<std::int64_t>(net.quads.size());
    parallel_for(quads, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        VertexIndex* out = faces + 6 * begin;
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
            for (const auto& triangle : kHalves[MovedQuad(net, moved, i).cut()]) {
                for (const std::size_t corner : triangle) *out++ = net.quads[i][corner];
            }
        }
    });
}

}  // namespace mvd
