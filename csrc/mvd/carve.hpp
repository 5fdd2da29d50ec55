// Carving a fine grid out of a coarse one with six fine depth maps.
//
// Start: the coarse grid, each voxel a block of scale³. Structure: a voxel goes when at least
// `votes` faces see background on its line. Detail: a voxel goes when it lies in front of the depth
// of any one face whose pixel is not background. So a pixel that is background by mistake costs
// one vote and no more.
#pragma once

#include <algorithm>
#include <cstdint>

#include "mvd/line.hpp"
#include "mvd/odm.hpp"

namespace mvd {

constexpr int kNoStructure = kFaces + 1;  // votes that six faces cannot reach

// low: (B, x, y, w); odms: (B, 6, N, N) with N = scale * max(x, y, z), depths from N on are
// background; fine: (B, scale x, scale y, W), overwritten. votes: 1 to kNoStructure.
void carve(const Word* low, const Depth* odms, Word* fine, GridShape low_shape, std::int64_t scale,
           int votes, int threads);

// What the two faces of an axis say about one line along it: detail keeps [first, end), and
// `background` of them see nothing on it.
struct LineOpinion {
    std::int32_t first, end;
    int background;

    MVD_HD bool keeps() const { return first < end; }
};

MVD_HD inline LineOpinion line_opinion(Depth pos, Depth neg, std::int64_t n) {
    const auto edge = static_cast<std::int32_t>(n);
    const bool pos_sees = pos < edge, neg_sees = neg < edge;
    return {pos_sees ? pos : 0, neg_sees ? edge - neg : edge, 2 - pos_sees - neg_sees};
}

// Of the lines that a word, or a vector of words, stands for and the faces of one axis: where
// exactly one sees background, and where both do.
template <typename V>
struct BackgroundVotes {
    V one, two;
};

// Where the faces of two axes together hold at least `kVotes` (1 or more) votes.
template <int kVotes, typename V>
MVD_HD inline V outvoted(BackgroundVotes<V> a, BackgroundVotes<V> b) {
    if constexpr (kVotes == 1) return a.one | a.two | b.one | b.two;
    if constexpr (kVotes == 2) return a.two | b.two | (a.one & b.one);
    if constexpr (kVotes == 3) return (a.two & (b.one | b.two)) | (b.two & a.one);
    if constexpr (kVotes == 4) return a.two & b.two;
    return V{};
}

template <typename V>
MVD_HD inline V outvoted(int votes, BackgroundVotes<V> a, BackgroundVotes<V> b) {
    switch (votes) {
        case 1:
            return outvoted<1>(a, b);
        case 2:
            return outvoted<2>(a, b);
        case 3:
            return outvoted<3>(a, b);
        case 4:
            return outvoted<4>(a, b);
        default:
            return V{};
    }
}

// How many votes the faces along x and y need between them on a line along z; 0 when nothing of it
// is left anyway.
MVD_HD inline int votes_needed(LineOpinion along_z, int votes) {
    return along_z.keeps() && votes > along_z.background ? votes - along_z.background : 0;
}

}  // namespace mvd
