// Projecting depth maps. Along one axis a voxel is seen past by 0, 1 or 2 faces, and along a line
// that number changes at two places: where the positive face stops seeing past (its depth p) and
// where the negative face starts (q = N - its depth). So whether it is odd is a bit that starts at
// 1 and flips at p and at q, and where it is not odd it is 2 if p > q ("crossed") and 0 if not.
// Flips are scattered as single bits; a running XOR over lines turns them into 64 voxels a word.
#include <algorithm>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/odm.hpp"
#include "mvd/odm_votes.hpp"
#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kWordGrain = 1 << 14;

// One slab of x, on its way from flips to voxels.
struct Slab {
    Word* lines;            // (Y, W), in: flips along x; out: the voxels left
    Word* x_odd;            // (Y, W), running along x
    const Word* x_crossed;  // (Y, W)
    Word* y_flips;          // (Y, W), cleared for the next slab
    Word* y_odd;            // (W), running along y
    const Word* y_crossed;  // (W)
    const Depth* z_pos;     // (Y)
    const Depth* z_neg;     // (Y)
};

// Line `lines` of a slab. z_pos sees past its voxels [0, p), z_neg past [q, N).
template <int kVotes>
inline void project_line(Word* __restrict lines, Word* __restrict x_odd,
                         const Word* __restrict x_crossed, Word* __restrict y_flips,
                         Word* __restrict y_odd, const Word* __restrict y_crossed,
                         LineBelow below_p, LineBelow below_q, std::int64_t words) {
    for (std::int64_t i = 0; i < words; ++i) {
        x_odd[i] ^= lines[i];
        y_odd[i] ^= y_flips[i];
        y_flips[i] = 0;
        const Word pos = below_p.word(i), neg = ~below_q.word(i);
        lines[i] = ~count_faces(seen(x_odd[i], x_crossed[i]), seen(y_odd[i], y_crossed[i]),
                                {pos ^ neg, pos & neg})
                        .at_least(kVotes);
    }
}

template <int kVotes>
inline void project_slab(const Slab& slab, GridShape shape, std::int64_t n) {
    const std::int64_t w = shape.words();
    const Word last = low_mask(shape.z - (w - 1) * kWordBits);
    for (std::int64_t y = 0; y < shape.y; ++y) {
        const LineBelow below_p(slab.z_pos[y]);
        const LineBelow below_q(n - std::min<std::int64_t>(slab.z_neg[y], n));
        Word* line = slab.lines + y * w;
        project_line<kVotes>(line, slab.x_odd + y * w, slab.x_crossed + y * w, slab.y_flips + y * w,
                             slab.y_odd, slab.y_crossed, below_p, below_q, w);
        line[w - 1] &= last;
    }
}

MVD_CLONES void project_slab_votes(const Slab& slab, GridShape shape, std::int64_t n, int votes) {
    switch (votes) {
        case 1:
            return project_slab<1>(slab, shape, n);
        case 2:
            return project_slab<2>(slab, shape, n);
        case 3:
            return project_slab<3>(slab, shape, n);
        case 4:
            return project_slab<4>(slab, shape, n);
        case 5:
            return project_slab<5>(slab, shape, n);
        default:
            return project_slab<6>(slab, shape, n);
    }
}

// One row of pixels (Z) of the two faces of an axis, over planes [begin, end) of that axis that
// lie `stride` words apart from `flips` on: sets the state at plane `begin` and scatters the flips
// of the planes after it.
struct RowFlips {
    const Depth* pos;  // (Z)
    const Depth* neg;  // (Z)
    Word* flips;
    std::int64_t stride, begin, end;
    Word* odd;      // (W)
    Word* crossed;  // (W)
};

inline void scatter(const RowFlips& row, std::int64_t z_count, std::int64_t n) {
    for (std::int64_t i = 0; i * kWordBits < z_count; ++i) {
        Word odd = 0, crossed = 0;
        const std::int64_t stop = std::min(z_count, (i + 1) * kWordBits);
        for (std::int64_t z = i * kWordBits; z < stop; ++z) {
            const Word bit = Word{1} << (z % kWordBits);
            const std::int64_t p = std::min<std::int64_t>(row.pos[z], n);
            const std::int64_t q = n - std::min<std::int64_t>(row.neg[z], n);
            if ((p > row.begin) == (q > row.begin)) odd |= bit;
            if (p > q) crossed |= bit;
            if (p > row.begin && p < row.end) row.flips[(p - row.begin) * row.stride + i] ^= bit;
            if (q > row.begin && q < row.end) row.flips[(q - row.begin) * row.stride + i] ^= bit;
        }
        row.odd[i] = odd;
        row.crossed[i] = crossed;
    }
}

// Slabs [begin, end) of x of one grid. maps: (6, N, N); slabs: (end - begin, Y, W).
void project_slabs(const Depth* maps, Word* slabs, GridShape shape, int votes, std::int64_t begin,
                   std::int64_t end) {
    const std::int64_t n = odm_edge(shape);
    const std::int64_t w = shape.words();
    const std::int64_t slab = shape.y * w;
    const auto row = [&](Face face, std::int64_t i) { return maps + (face * n + i) * n; };
    const auto words = [](std::int64_t count) {
        return std::vector<Word>(static_cast<std::size_t>(count));
    };
    auto x_odd = words(slab), x_crossed = words(slab);
    auto y_flips = words(slab), y_odd = words(w), y_crossed = words(w);

    std::fill(slabs, slabs + (end - begin) * slab, Word{0});
    for (std::int64_t y = 0; y < shape.y; ++y) {
        scatter({row(kXPos, y), row(kXNeg, y), slabs + y * w, slab, begin, end,
                 x_odd.data() + y * w, x_crossed.data() + y * w},
                shape.z, n);
    }
    for (std::int64_t x = begin; x < end; ++x) {
        scatter({row(kYPos, x), row(kYNeg, x), y_flips.data(), w, 0, shape.y, y_odd.data(),
                 y_crossed.data()},
                shape.z, n);
        project_slab_votes(
            {slabs + (x - begin) * slab, x_odd.data(), x_crossed.data(), y_flips.data(),
             y_odd.data(), y_crossed.data(), row(kZPos, x), row(kZNeg, x)},
            shape, n, votes);
    }
}

}  // namespace

void project_odms(const Depth* odms, Word* packed, GridShape shape, int votes, int threads) {
    const std::int64_t n = odm_edge(shape);
    const std::int64_t slab = shape.y * shape.words();
    const std::int64_t grain = kWordGrain / std::max<std::int64_t>(1, slab) + 1;
    parallel_for(shape.batch * shape.x, grain, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end;) {
            const std::int64_t b = i / shape.x;
            const std::int64_t stop = std::min(end, (b + 1) * shape.x);
            project_slabs(odms + b * kFaces * n * n, packed + i * slab, shape, votes,
                          i - b * shape.x, stop - b * shape.x);
            i = stop;
        }
    });
}

}  // namespace mvd
