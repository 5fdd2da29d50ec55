// The run-length code of binvox files, straight between file bytes and packed words.
//
// A file is a sequence of runs over the voxels in Patrick Min's order: y goes fastest, then z, then
// x. Our words go along z. Both directions work on one x and one word at a time, a tile of up to 64
// lines of Y voxels, and on its *changes*: bits that say where a voxel differs from the one before
// it in the file, as words along z. Reading sets a bit a run, whatever its length, and goes from
// changes to values along y with one operation a word; writing turns changes over, in blocks of
// 64 x 64 bits, to find them in the order of the file. There is no byte a voxel anywhere, and no
// memory beyond one tile and the result.
#pragma once

#include <cstdint>
#include <vector>

#include "mvd/bitgrid.hpp"

namespace mvd {

// As in the file: `count` voxels of the same value.
struct BinvoxRun {
    std::uint8_t value, count;
};
static_assert(sizeof(BinvoxRun) == 2, "runs are read and written as they are in memory");

// runs: `count` of them; packed: (X, Y, W), all zero on entry, so that memory without a voxel in it
// is never touched. Any value but 0 is occupied (version 2 of the format has values up to 255).
// Throws unless the runs add up to X * Y * Z voxels exactly.
void binvox_decode(const BinvoxRun* runs, std::int64_t count, Word* packed, GridShape shape);

// A run that goes on: what encoding a part of a grid leaves to the next one.
struct BinvoxTail {
    bool value = false;
    std::int64_t length = 0;  // voxels
};

// packed: (X, Y, W). The shortest code there is: a run ends where the value changes or at 255.
std::vector<BinvoxRun> binvox_encode(const Word* packed, GridShape shape);

// The same of a grid in parts along x, so that the code need not be in memory whole: the runs that
// end within this part. `tail`: what the part before left, and then what this one leaves.
std::vector<BinvoxRun> binvox_encode_part(const Word* packed, GridShape shape, BinvoxTail& tail);

// The runs that a tail is, after the last part.
std::vector<BinvoxRun> binvox_encode_tail(BinvoxTail tail);

}  // namespace mvd
