// Filling a fine grid from coverage: how much of each coarse voxel is occupied says how many of its
// fine voxels are; which ones, the trilinear interpolation of the coverage and carving at several
// levels of boldness say, and their neighbours where a grid is there to look at: voxels move inside
// their coarse ones to where others are (pixel swapping: Atkinson, 2005). In every coarse voxel the
// highest keys win, ties by C order.
#pragma once

#include <cstdint>

#include "mvd/bitgrid.hpp"
#include "mvd/host_device.hpp"
#include "mvd/odm.hpp"

namespace mvd {

using Coverage = std::uint16_t;  // kFullCoverage is 1
using Score = std::int32_t;      // log-odds in the caller's unit, within 16 bits

constexpr std::int64_t kFullCoverage = 65535;
constexpr std::int64_t kMaxSoftScale = 16;  // (2 scale)³ kFullCoverage fits 32 bits
constexpr std::int64_t kShareSteps = 1024;  // what a share of occupied space is cut into

// What the keys are made of. trilinear, neighbours: (kShareSteps + 1) scores of an interpolated
// coverage, or of neighbours occupied, of step / kShareSteps; levels: (count + 1) scores of a voxel
// that so many levels keep.
struct SoftScores {
    const Score* trilinear;
    const Score* levels;
    const Score* neighbours;
};

// coverage: (B, X, Y, Z), empty outside; levels: (B, count, 6, N, N) depth maps with N = scale *
// max(X, Y, Z). A level keeps a voxel that none of its faces sees past, and no map may be less deep
// than that of the level before. rounds: how often neighbours are looked at. fine: (B, scale X,
// scale Y, W), overwritten; from the first round on as much memory again is taken. scale: 1 to
// kMaxSoftScale. keep: how many scores may be kept from round to round, four bytes each; what is
// not kept is made again, to the same result.
void soft_rank(const Coverage* coverage, const Depth* levels, std::int64_t count, SoftScores scores,
               int rounds, std::int64_t keep, Word* fine, GridShape low_shape, std::int64_t scale,
               int threads);

// How many of `voxels` fine voxels a coarse one of that coverage holds, rounded half up.
MVD_HD inline std::int64_t covered(Coverage coverage, std::int64_t voxels) {
    return (2 * coverage * voxels + kFullCoverage) / (2 * kFullCoverage);
}

// Linear interpolation at fine voxel i (0 to scale - 1) of a coarse voxel: between its neighbour
// before and itself, or itself and the one after; `second` of 2 scale parts weigh the latter.
struct Between {
    std::int64_t first;  // -1: the neighbour before; 0: the voxel itself
    std::uint32_t second;
};

MVD_HD inline Between between(std::int64_t i, std::int64_t scale) {
    const std::int64_t from_centre = 2 * i + 1 - scale;  // in 2 scale parts of a coarse voxel
    if (from_centre < 0) return {-1, static_cast<std::uint32_t>(from_centre + 2 * scale)};
    return {0, static_cast<std::uint32_t>(from_centre)};
}

// Between two values, the second weighing `second` of 2 scale parts.
MVD_HD inline std::uint32_t mix(std::uint32_t a, std::uint32_t b, std::uint32_t second,
                                std::int64_t scale) {
    return a * (static_cast<std::uint32_t>(2 * scale) - second) + b * second;
}

// Neighbours lie within a cube of 2 kReach + 1 voxels about a voxel. Along each axis they weigh as
// a Gaussian of 1.5 fine voxels, in 104ths.
constexpr std::int64_t kReach = 4;
constexpr std::int64_t kReachWindow = 2 * kReach + 1;
constexpr std::uint32_t kWholeReach = 104 * 104 * 104;

// What a neighbour at place `i` of the window weighs.
MVD_HD inline std::uint32_t reach_weight(std::int64_t i) {
    constexpr std::uint32_t weights[kReachWindow] = {1, 4, 11, 22, 28, 22, 11, 4, 1};
    return weights[i];
}

// What the occupied voxels of a window along z weigh: its low kReachWindow bits.
MVD_HD inline std::uint32_t window_weight(Word bits) {
    std::uint32_t sum = 0;
    for (std::int64_t i = 0; i < kReachWindow; ++i) {
        sum += reach_weight(i) * static_cast<std::uint32_t>(bits >> i & 1);
    }
    return sum;
}

// The score of a voxel without neighbours. share: the interpolated coverage, in parts of
// (2 scale)³ kFullCoverage; kept: how many levels keep the voxel.
MVD_HD inline Score lone_score(SoftScores scores, std::uint32_t share, std::int32_t kept,
                               std::int64_t scale) {
    const std::int64_t whole = 8 * scale * scale * scale * kFullCoverage;
    return scores.trilinear[share * kShareSteps / whole] + scores.levels[kept];
}

// What neighbours that weigh so much of kWholeReach add to it.
MVD_HD inline Score neighbour_score(SoftScores scores, std::uint32_t weight) {
    return scores.neighbours[std::uint64_t{weight} * kShareSteps / kWholeReach];
}

// What fine voxels are ranked by: the score, then the share that was added to it last.
using SoftKey = std::uint64_t;

MVD_HD inline SoftKey soft_key(Score score, std::uint32_t share) {
    return static_cast<SoftKey>(score + (std::int64_t{1} << 31)) << 32 | share;
}

}  // namespace mvd
