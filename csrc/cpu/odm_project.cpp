// Projecting depth maps. Along one axis a voxel is seen past by 0, 1 or 2 faces, and along a line
// that number changes at two places: where the positive face stops seeing past (its depth p) and
// where the negative face starts (q = N - its depth). So whether it is odd is a bit that starts at
// 1 and flips at p and at q, and where it is not odd it is 2 if p > q ("crossed") and 0 if not.
// Flips are scattered as single bits; a running XOR over lines turns them into 64 voxels a word.
#include <algorithm>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/odm.hpp"
#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kWordGrain = 1 << 14;

// Of 64 voxels and one axis: which are seen past by exactly one face, and by both.
struct Seen {
    Word one, two;
};

inline Seen seen(Word odd, Word crossed) { return {odd, ~odd & crossed}; }

// Which of 64 voxels at least `kVotes` of the six faces see past.
template <int kVotes>
inline Word at_least(Seen a, Seen b, Seen c) {
    // With pairs = twos + carry of the ones, the number of faces is 2 * pairs + odd.
    const Word odd = a.one ^ b.one ^ c.one;
    const Word carry = (a.one & b.one) | (c.one & (a.one ^ b.one));
    const Word twos_low = a.two ^ b.two ^ c.two;
    const Word twos_high = (a.two & b.two) | (c.two & (a.two ^ b.two));
    const Word low = twos_low ^ carry;
    const Word high = twos_high | (twos_low & carry);
    switch (kVotes) {
        case 1:
            return odd | low | high;
        case 2:
            return low | high;
        case 3:
            return high | (low & odd);
        case 4:
            return high;
        case 5:
            return high & (low | odd);
        default:
            return high & low;
    }
}

// Where a line along z is left: `seen past` of the z faces comes from their two depths.
struct ZView {
    std::int64_t p, q;  // z_pos sees past [0, p), z_neg past [q, N)
};

inline Seen seen_z(ZView view, std::int64_t i) {
    const Word pos = word_below(view.p, i);
    const Word neg = ~word_below(view.q, i);
    return {pos ^ neg, pos & neg};
}

// Flips of one line (W) folded into the running state, and the line that is left.
struct LineState {
    Word* line;   // in: flips along x; out: the voxels left
    Word* x_odd;  // running, along x
    const Word* x_crossed;
    Word* y_flips;  // of this line; cleared for the next slab
    Word* y_odd;    // running, along y
    const Word* y_crossed;
};

template <int kVotes>
inline void project_line(LineState s, ZView view, std::int64_t words) {
    for (std::int64_t i = 0; i < words; ++i) {
        s.x_odd[i] ^= s.line[i];
        s.y_odd[i] ^= s.y_flips[i];
        s.y_flips[i] = 0;
        s.line[i] = ~at_least<kVotes>(seen(s.x_odd[i], s.x_crossed[i]),
                                      seen(s.y_odd[i], s.y_crossed[i]), seen_z(view, i));
    }
}

MVD_CLONES void project_line_votes(LineState s, ZView view, std::int64_t words, int votes) {
    switch (votes) {
        case 1:
            return project_line<1>(s, view, words);
        case 2:
            return project_line<2>(s, view, words);
        case 3:
            return project_line<3>(s, view, words);
        case 4:
            return project_line<4>(s, view, words);
        case 5:
            return project_line<5>(s, view, words);
        default:
            return project_line<6>(s, view, words);
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
    const auto map = [&](Face face) { return maps + face * n * n; };
    const auto words = [](std::int64_t count) {
        return std::vector<Word>(static_cast<std::size_t>(count));
    };

    auto x_odd = words(slab), x_crossed = words(slab);
    auto y_flips = words(slab), y_odd = words(w), y_crossed = words(w);
    std::fill(slabs, slabs + (end - begin) * slab, Word{0});
    for (std::int64_t y = 0; y < shape.y; ++y) {
        scatter({map(kXPos) + y * n, map(kXNeg) + y * n, slabs + y * w, slab, begin, end,
                 x_odd.data() + y * w, x_crossed.data() + y * w},
                shape.z, n);
    }
    for (std::int64_t x = begin; x < end; ++x) {
        scatter({map(kYPos) + x * n, map(kYNeg) + x * n, y_flips.data(), w, 0, shape.y,
                 y_odd.data(), y_crossed.data()},
                shape.z, n);
        for (std::int64_t y = 0; y < shape.y; ++y) {
            Word* line = slabs + (x - begin) * slab + y * w;
            const ZView view{std::min<std::int64_t>(map(kZPos)[x * n + y], n),
                             n - std::min<std::int64_t>(map(kZNeg)[x * n + y], n)};
            project_line_votes({line, x_odd.data() + y * w, x_crossed.data() + y * w,
                                y_flips.data() + y * w, y_odd.data(), y_crossed.data()},
                               view, w, votes);
            line[w - 1] &= low_mask(shape.z - (w - 1) * kWordBits);
        }
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
