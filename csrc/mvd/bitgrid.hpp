// Bit-packed occupancy grids.
//
// A grid of shape (X, Y, Z) is stored as X * Y lines along z, each of W = ceil(Z / 64) words of
// 64 bits: voxel (x, y, z) is bit z % 64 of word (x * Y + y) * W + z / 64. Bits past Z are zero,
// always: every operation keeps that, so that words can be compared and counted as they are.
// The words are those of np.packbits(bitorder="little") along z, zero-padded to 64 bits.
#pragma once

#include <cstdint>

namespace mvd {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read and written as bytes");

using Word = std::uint64_t;
constexpr std::int64_t kWordBits = 64;

constexpr std::int64_t words_per_line(std::int64_t z) { return (z + kWordBits - 1) / kWordBits; }

// The word whose low `bits` bits (0 to 64) are set.
constexpr Word low_mask(std::int64_t bits) {
    return bits >= kWordBits ? ~Word{0} : (Word{1} << bits) - 1;
}

// Shape of a batch of grids; batch is 1 for a single one.
struct GridShape {
    std::int64_t batch, x, y, z;

    constexpr std::int64_t words() const { return words_per_line(z); }   // words of one line
    constexpr std::int64_t lines() const { return batch * x * y; }       // lines of all grids
    constexpr std::int64_t voxels() const { return batch * x * y * z; }  // voxels of all grids
};

// dense: (B, X, Y, Z) bytes, any non-zero byte is occupied; packed: (B, X, Y, W).
void pack(const std::uint8_t* dense, Word* packed, GridShape shape, int threads);

// The same for lines that follow each other, on the calling thread. dense: (lines, z) bytes;
// packed: (lines, W).
void pack_lines(const std::uint8_t* dense, Word* packed, std::int64_t lines, std::int64_t z);

// packed: (B, X, Y, W); dense: (B, X, Y, Z) bytes, 0 or 1.
void unpack(const Word* packed, std::uint8_t* dense, GridShape shape, int threads);

// Reverses a grid along an axis (0 x, 1 y, 2 z). packed, mirrored: (B, X, Y, W).
void mirror(const Word* packed, Word* mirrored, GridShape shape, int axis, int threads);

}  // namespace mvd
