// What carving and projecting share: tiles of a grid, kTile by kTile lines and kTileWords words
// long. Each face of x and y has one opinion of a pixel's whole line, and along the line the bit
// that holds it flips at most twice. So a thread takes the 32 pixels of one half of a word through
// the planes of the tile: it scatters their flips and makes bits of them by a running XOR. After
// that the bits of every voxel of the tile are at hand, 32 of them a half.
#pragma once

#include "cuda/launch.hpp"
#include "mvd/odm.hpp"

namespace mvd::cuda {

using HalfWord = std::uint32_t;

constexpr int kTile = 32, kTileWords = 2, kHalves = 2 * kTileWords;
constexpr int kHalfBits = 32;
static_assert(2 * kTile * kHalves == kBlockThreads, "a thread for each half of x and of y");

// The grid of a tile in its batch, its first line and the first word of its lines.
struct Tile {
    std::int64_t grid, x, y, word;
};

// The tiles of layers [begin, end) of x.
struct Tiles {
    GridShape shape;
    std::int64_t begin, end;

    constexpr std::int64_t along_x() const { return ceil_div(end - begin, kTile); }
    constexpr std::int64_t along_y() const { return ceil_div(shape.y, kTile); }
    constexpr std::int64_t along_z() const { return ceil_div(shape.words(), kTileWords); }
    constexpr std::int64_t count() const { return shape.batch * along_x() * along_y() * along_z(); }

    MVD_HD Tile at(std::int64_t index) const {
        const std::int64_t word = index % along_z() * kTileWords;
        index /= along_z();
        const std::int64_t y = index % along_y() * kTile;
        index /= along_y();
        return {index / along_x(), begin + index % along_x() * kTile, y, word};
    }

    // Calls visit(x, y, w, word of the output) for the words of a tile that `thread` makes; x, y
    // and w count from the tile's first.
    template <typename Visit>
    MVD_HD void for_each_word(Tile tile, int thread, const Visit& visit) const {
        for (int i = thread; i < kTile * kTile * kTileWords; i += kBlockThreads) {
            const int w = i % kTileWords, y = i / kTileWords % kTile, x = i / kTileWords / kTile;
            if (tile.x + x >= end || tile.y + y >= shape.y || tile.word + w >= shape.words()) {
                continue;
            }
            const std::int64_t slab = tile.grid * (end - begin) + tile.x + x - begin;
            visit(x, y, w, (slab * shape.y + tile.y + y) * shape.words() + tile.word + w);
        }
    }
};

// The bit of one pixel along its line: `before`, flipped from plane a on and again from plane b
// on. `one` and `two` hold on the whole line.
struct Flips {
    bool before;
    std::int32_t a, b;
    bool one, two;

    MVD_HD bool at(std::int32_t plane) const { return before ^ (plane >= a) ^ (plane >= b); }
};

// The lines along one axis that pass through a tile, as halves of words.
struct Lines {
    static constexpr int kPitch = kTile * kHalves + 4;  // spreads both ways of reading over banks

    HalfWord bits[kTile][kPitch];  // [plane][row of pixels, half]
    HalfWord one[kTile * kHalves], two[kTile * kHalves];

    MVD_HD Word bits_of(int plane, int row, int word) const {
        return join(bits[plane] + row * kHalves + 2 * word);
    }
    MVD_HD Word one_of(int row, int word) const { return join(one + row * kHalves + 2 * word); }
    MVD_HD Word two_of(int row, int word) const { return join(two + row * kHalves + 2 * word); }

  private:
    MVD_HD static Word join(const HalfWord* halves) {
        return halves[0] | static_cast<Word>(halves[1]) << kHalfBits;
    }
};

struct alignas(16) Depths {
    static constexpr int kCount = 8;
    Depth at[kCount];
};

// The depths of a row from `from` on, of which there are `left`; background after them.
MVD_HD inline Depths load_depths(const Depth* from, std::int64_t left, std::int64_t n) {
    if (left >= Depths::kCount && reinterpret_cast<std::uintptr_t>(from) % sizeof(Depths) == 0) {
        return *reinterpret_cast<const Depths*>(from);
    }
    Depths depths;
    for (int i = 0; i < Depths::kCount; ++i) {
        depths.at[i] = i < left ? from[i] : static_cast<Depth>(n);
    }
    return depths;
}

// Both faces of an axis, as a tile sees them.
struct Pair {
    const Depth* pos;  // (N, N)
    const Depth* neg;
    std::int64_t n;
    std::int64_t row, rows;  // first row of pixels, and how many rows there are
    std::int64_t pixel;      // the first of a row
    std::int64_t plane;      // the first

    // Half `column` of the tile's rows through the tile's planes. Opinion: (pos, neg, n) to Flips.
    template <typename Opinion>
    MVD_HD void sweep(int column, Lines& lines, const Opinion& opinion) const {
        const std::int64_t r = row + column / kHalves, p = pixel + column % kHalves * kHalfBits;
        if (r >= rows || p >= n) return;  // no voxel there
        for (int plane_of = 0; plane_of < kTile; ++plane_of) lines.bits[plane_of][column] = 0;
        HalfWord state = 0, one = 0, two = 0;
        const auto first = static_cast<std::int32_t>(plane);
        for (int i = 0; i < kHalfBits; i += Depths::kCount) {
            const std::int64_t at = r * n + p + i, left = n - p - i;
            if (left <= 0) break;
            const Depths near = load_depths(pos + at, left, n),
                         far = load_depths(neg + at, left, n);
            for (int k = 0; k < Depths::kCount; ++k) {
                const Flips flips = opinion(near.at[k], far.at[k], n);
                const HalfWord bit = HalfWord{1} << (i + k);
                if (flips.at(first)) state |= bit;
                if (flips.one) one |= bit;
                if (flips.two) two |= bit;
                flip(lines, column, flips.a - first, bit);
                flip(lines, column, flips.b - first, bit);
            }
        }
        for (int plane_of = 0; plane_of < kTile; ++plane_of) {
            state ^= lines.bits[plane_of][column];
            lines.bits[plane_of][column] = state;
        }
        lines.one[column] = one;
        lines.two[column] = two;
    }

  private:
    MVD_HD static void flip(Lines& lines, int column, std::int32_t at, HalfWord bit) {
        if (at > 0 && at < kTile) lines.bits[at][column] ^= bit;
    }
};

// What the faces along x and y say of a tile.
struct Views {
    const Depth* maps;  // (6, N, N) of the tile's grid
    std::int64_t n;
    GridShape shape;
    Tile tile;

    // Thread `thread` of a block that is to do all columns of both.
    template <typename Opinion>
    MVD_HD void sweep(int thread, Lines& x, Lines& y, const Opinion& opinion) const {
        constexpr int kColumns = kTile * kHalves;
        const std::int64_t pixel = tile.word * kWordBits;
        if (thread < kColumns) {
            const Pair along_x{map(kXPos), map(kXNeg), n, tile.y, shape.y, pixel, tile.x};
            along_x.sweep(thread, x, opinion);
        } else {
            const Pair along_y{map(kYPos), map(kYNeg), n, tile.x, shape.x, pixel, tile.y};
            along_y.sweep(thread - kColumns, y, opinion);
        }
    }

    MVD_HD const Depth* map(Face face) const { return maps + face * n * n; }
};

}  // namespace mvd::cuda
