// Parity along columns. Each triangle flips the first voxel whose centre is above it in every
// column of centres that it covers; running XORs along the columns make parities of the flips. The
// cells that a triangle covers and the plane it lies in are integer inequalities, as in
// voxelize.cpp; those that hold with equality are decided by the hair that centres are off.
#include <algorithm>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"
#include "mvd/voxelize.hpp"

namespace mvd {

namespace {

using voxelize::Int128;
using voxelize::Interval;

constexpr std::int64_t kRowGrain = 8;  // rows of columns a thread; each reads all triangles
constexpr std::int64_t kWordGrain = 1 << 14;

// Columns along one axis, in the plane of the other two, u before v.
struct Columns {
    int along, u, v;
};
constexpr Columns kColumns[3] = {{0, 1, 2}, {1, 0, 2}, {2, 0, 1}};

// A triangle as seen along columns. Lengths are in lattice steps from the low corner of the first
// voxel of its bounding box, cells count from that voxel.
template <typename Int>
class Lid {
  public:
    Lid(const voxelize::Triangle<Int>& triangle, Columns columns) {
        constexpr Int unit = kLatticeUnit, half = kLatticeUnit / 2;
        const auto [w, u, v] = columns;
        const Int normal[3] = {triangle.normal(1, 2), triangle.normal(2, 0), triangle.normal(0, 1)};
        if (normal[w] == 0) return;  // seen edge on: no column is inside
        const Int* origin = triangle.at[0];

        const Int up = normal[w] < 0 ? -1 : 1;
        flat_ = false;
        height_ = up * (normal[0] * (half - origin[0]) + normal[1] * (half - origin[1]) +
                        normal[2] * (half - origin[2]));
        height_u_ = up * normal[u] * unit;
        height_v_ = up * normal[v] * unit;
        height_w_ = up * normal[w] * unit;
        const Int first = normal[0] != 0 ? normal[0] : normal[1] != 0 ? normal[1] : normal[2];
        if (up * first < 0) height_ -= 1;  // a centre on the plane is below it

        const Int turn = triangle.normal(u, v) < 0 ? -1 : 1;
        for (int e = 0; e < 3; ++e) {
            const Int* from = triangle.at[e];
            const Int* to = triangle.at[(e + 1) % 3];
            const Int du = turn * (to[u] - from[u]), dv = turn * (to[v] - from[v]);
            const bool holds = dv != 0 ? dv < 0 : du > 0;  // a centre on the edge is inside
            edges_[e] = {-dv * unit, du * unit,
                         du * (half - from[v]) - dv * (half - from[u]) - (holds ? 0 : 1)};
        }
    }

    bool flat() const { return flat_; }

    // The columns of row i that the triangle covers.
    Interval<Int> covered(Int i, Interval<Int> cells) const {
        for (const Edge& edge : edges_) {
            voxelize::keep(cells, edge.constant + edge.u * i, edge.v);
        }
        return cells;
    }

    // The first voxel of column (i, j) whose centre is above.
    Int first_above(Int i, Int j) const {
        return -voxelize::floor_div(height_ + height_u_ * i + height_v_ * j, height_w_);
    }

  private:
    struct Edge {
        Int u, v, constant;  // inside: u * i + v * j + constant >= 0
    };

    bool flat_ = true;
    Int height_, height_u_, height_v_, height_w_;
    Edge edges_[3];
};

// Flips of the columns along one axis.
class Flips {
  public:
    Flips(Word* packed, GridShape shape, Columns columns)
        : packed_(packed),
          edges_{shape.x, shape.y, shape.z},
          w_(shape.words()),
          columns_(columns) {}

    // Adds the columns [begin, end) of u that triangles cover.
    void add(const LatticeMesh& mesh, std::int64_t begin, std::int64_t end) const {
        for (std::int64_t face = 0; face < mesh.face_count; ++face) {
            const LatticePoint* corners[3];
            if (!mesh.corners(face, corners)) continue;
            Interval<std::int64_t> box[3];
            bool is_small = true;
            for (int axis = 0; axis < 3; ++axis) {
                const auto [low, high] =
                    std::minmax({corners[0]->at[axis], corners[1]->at[axis], corners[2]->at[axis]});
                box[axis] = {voxelize::floor_div(low - 1, kLatticeUnit),
                             voxelize::floor_div(high, kLatticeUnit)};
                is_small &= box[axis].last - box[axis].first < voxelize::kSmallCells;
            }
            const auto rows = clip(box[columns_.u], begin, end - 1);
            const auto cells = clip(box[columns_.v], 0, edges_[columns_.v] - 1);
            if (rows.empty() || cells.empty()) continue;
            if (is_small) {
                cover<std::int64_t>(corners, box, rows, cells);
            } else {
                cover<Int128>(corners, box, rows, cells);
            }
        }
    }

  private:
    static Interval<std::int64_t> clip(Interval<std::int64_t> range, std::int64_t first,
                                       std::int64_t last) {
        return {std::max(range.first, first), std::min(range.last, last)};
    }

    template <typename Int>
    void cover(const LatticePoint* const (&corners)[3], const Interval<std::int64_t> (&box)[3],
               Interval<std::int64_t> rows, Interval<std::int64_t> cells) const {
        const auto [along, u, v] = columns_;
        voxelize::Triangle<Int> triangle;
        for (int axis = 0; axis < 3; ++axis) {
            for (int c = 0; c < 3; ++c) {
                triangle.at[c][axis] = corners[c]->at[axis] - box[axis].first * kLatticeUnit;
            }
        }
        const Lid<Int> lid(triangle, columns_);
        if (lid.flat()) return;
        const Interval<Int> all{static_cast<Int>(cells.first - box[v].first),
                                static_cast<Int>(cells.last - box[v].first)};
        for (std::int64_t row = rows.first; row <= rows.last; ++row) {
            const Int i = row - box[u].first;
            const Interval<Int> covered = lid.covered(i, all);
            for (Int j = covered.first; j <= covered.last; ++j) {
                const auto above = static_cast<std::int64_t>(lid.first_above(i, j));
                flip(row, static_cast<std::int64_t>(j) + box[v].first, above + box[along].first);
            }
        }
    }

    void flip(std::int64_t u, std::int64_t v, std::int64_t along) const {
        if (along >= edges_[columns_.along]) return;
        std::int64_t at[3];
        at[columns_.u] = u;
        at[columns_.v] = v;
        at[columns_.along] = std::max<std::int64_t>(0, along);
        Word* line = packed_ + (at[0] * edges_[1] + at[1]) * w_;
        line[at[2] / kWordBits] ^= Word{1} << (at[2] % kWordBits);
    }

    Word* packed_;
    std::int64_t edges_[3], w_;
    Columns columns_;
};

// Running XOR of `planes` planes of `stride` words, for the words [begin, end) of each.
MVD_CLONES void accumulate(Word* grid, std::int64_t planes, std::int64_t stride, std::int64_t begin,
                           std::int64_t end) {
    for (std::int64_t p = 1; p < planes; ++p) {
        Word* here = grid + p * stride;
        for (std::int64_t i = begin; i < end; ++i) here[i] ^= here[i - stride];
    }
}

// The same along the voxels of each line.
void accumulate_lines(Word* lines, std::int64_t count, std::int64_t z) {
    const std::int64_t w = words_per_line(z);
    const Word last = low_mask(z - (w - 1) * kWordBits);
    for (std::int64_t line = 0; line < count; ++line, lines += w) {
        Word odd = 0;  // all ones when the words before hold an odd number of flips
        for (std::int64_t i = 0; i < w; ++i) {
            Word word = lines[i];
            for (int step = 1; step < kWordBits; step *= 2) word ^= word << step;
            lines[i] = word ^ odd;
            odd = Word{0} - (lines[i] >> (kWordBits - 1));
        }
        lines[w - 1] &= last;
    }
}

// Whether the centres are inside, by the columns along one axis: (X, Y, W), empty before.
void count_parity(const LatticeMesh& mesh, Word* packed, GridShape shape, Columns columns,
                  int threads) {
    const std::int64_t edges[3] = {shape.x, shape.y, shape.z};
    const std::int64_t slab = shape.y * shape.words();
    const Flips flips(packed, shape, columns);
    parallel_for(edges[columns.u], kRowGrain, threads,
                 [&](std::int64_t begin, std::int64_t end) { flips.add(mesh, begin, end); });
    if (columns.along == 0) {
        parallel_for(slab, kWordGrain / std::max<std::int64_t>(1, shape.x) + 1, threads,
                     [&](std::int64_t begin, std::int64_t end) {
                         accumulate(packed, shape.x, slab, begin, end);
                     });
        return;
    }
    parallel_for(shape.x, kRowGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        if (columns.along == 2) {
            accumulate_lines(packed + begin * slab, (end - begin) * shape.y, shape.z);
            return;
        }
        for (std::int64_t x = begin; x < end; ++x) {
            accumulate(packed + x * slab, shape.y, shape.words(), 0, shape.words());
        }
    });
}

}  // namespace

std::int64_t voxelize_centres(const double* vertices, std::int64_t vertex_count,
                              const std::int64_t* faces, std::int64_t face_count, Word* packed,
                              GridShape shape, int threads) {
    const LatticeMesh mesh(vertices, vertex_count, faces, face_count, threads);
    const std::int64_t words = shape.lines() * shape.words();
    std::vector<Word> by_x(static_cast<std::size_t>(words)), by_y(by_x);
    std::fill_n(packed, words, Word{0});
    if (words == 0) return 0;
    count_parity(mesh, by_x.data(), shape, kColumns[0], threads);
    count_parity(mesh, by_y.data(), shape, kColumns[1], threads);
    count_parity(mesh, packed, shape, kColumns[2], threads);
    std::int64_t disputed = 0;
    for (std::int64_t i = 0; i < words; ++i) {
        const Word x = by_x[static_cast<std::size_t>(i)], y = by_y[static_cast<std::size_t>(i)];
        const Word z = packed[i];
        disputed += count_bits((x ^ y) | (y ^ z));
        packed[i] = (x & y) | (z & (x | y));
    }
    return disputed;
}

}  // namespace mvd
