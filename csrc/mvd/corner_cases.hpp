// The 256 ways to occupy the eight voxels around a grid corner, and what the surface does there.
//
// Faces between an occupied and an empty voxel meet at the corner along its six half-axes, at each
// of which none, two or four of them end. Two are joined. Four belong to two voxels that touch
// along that half-axis alone: each voxel's own two faces are joined, so that the voxels come apart.
// Joined faces form closed fans around the corner, one to four, and each fan gets a vertex of its
// own: around every vertex there is one disc of faces, as a manifold needs.
//
// One thing is left. In 36 cases the two voxels are connected by the others around the corner, so
// both pairs of faces belong to one fan. Where that is so at both ends of the edge they touch
// along, that edge would have four faces and still one vertex at each end. There, and only there,
// the faces are joined the other way at both ends (`parted`): the fan falls into two at each, and
// the voxels are joined instead of coming apart. These cases have no other half-axis of four faces,
// so no choice depends on another.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mvd {

constexpr int kCornerFaces = 12;
constexpr int kMostFans = 4;

// Bit of the voxel one step back (0) or ahead (1) of the corner along each axis.
constexpr unsigned corner_bit(unsigned dx, unsigned dy, unsigned dz) {
    return 4 * dx + 2 * dy + dz;
}

// Number of the face across `axis` that lies back (0) or ahead (1) along the other two axes.
constexpr int corner_face(int axis, int du, int dv) { return 4 * axis + 2 * du + dv; }

// The number that a face has at the other end of its edge along an axis.
constexpr int face_at_other_end(int face, int along) {
    const int first_other = face / 4 == 0 ? 1 : 0;
    return face ^ (along == first_other ? 2 : 1);
}

// The faces around a corner that share a vertex.
struct Fan {
    // A face of the fan at each half-axis, 2 * axis + side; -1: none.
    std::array<std::int8_t, 6> face_along{-1, -1, -1, -1, -1, -1};
    std::array<std::int8_t, 3> area{};  // outward, in quarters of a face: the fan's part of each
    std::array<std::int8_t, 3> pull{};  // sum of the half-axes, towards the fan's own side
};

// How the faces around a corner are gathered into fans.
struct Fans {
    int count = 0;
    std::array<std::int8_t, kCornerFaces> of_face{};  // -1: no face there
    std::array<Fan, kMostFans> fan{};
};

struct CornerCase {
    Fans usual, parted;     // `parted` only where meets_itself is set
    int meets_itself = -1;  // half-axis 2 * axis + side along which a fan meets itself
    int doubtful = 0;       // how many half-axes have four faces
};

namespace corner {

// The voxel `occupied` bit of a case at a half-axis: `turn` 0 to 3 goes around it.
constexpr unsigned ring_bit(int half_axis, int turn) {
    constexpr unsigned kU[4] = {0, 1, 1, 0}, kV[4] = {0, 0, 1, 1};
    const unsigned side = static_cast<unsigned>(half_axis & 1), u = kU[turn & 3], v = kV[turn & 3];
    switch (half_axis >> 1) {
        case 0:
            return corner_bit(side, u, v);
        case 1:
            return corner_bit(u, side, v);
        default:
            return corner_bit(u, v, side);
    }
}

// The face between two voxels that differ in one bit.
constexpr int face_between(unsigned a, unsigned b) {
    const int x = static_cast<int>(a >> 2), y = static_cast<int>(a >> 1 & 1);
    const int z = static_cast<int>(a & 1);
    switch (a ^ b) {
        case 4:
            return corner_face(0, y, z);
        case 2:
            return corner_face(1, x, z);
        default:
            return corner_face(2, x, y);
    }
}

constexpr bool occupied(unsigned config, unsigned bit) { return (config >> bit & 1) != 0; }

// Whether the occupied voxel of a face lies behind it, so that the face looks ahead.
constexpr bool faces_ahead(unsigned config, int face) {
    const auto du = static_cast<unsigned>(face >> 1 & 1), dv = static_cast<unsigned>(face & 1);
    switch (face / 4) {
        case 0:
            return occupied(config, corner_bit(0, du, dv));
        case 1:
            return occupied(config, corner_bit(du, 0, dv));
        default:
            return occupied(config, corner_bit(du, dv, 0));
    }
}

// Fills in what follows from which faces a fan has.
constexpr void describe(Fans& fans, unsigned config) {
    for (int half = 0; half < 6; ++half) {
        const auto axis = static_cast<std::size_t>(half >> 1);
        for (int turn = 0; turn < 4; ++turn) {
            const int face = face_between(ring_bit(half, turn), ring_bit(half, turn + 1));
            const int number = fans.of_face[static_cast<std::size_t>(face)];
            if (number < 0) continue;
            Fan& fan = fans.fan[static_cast<std::size_t>(number)];
            if (fan.face_along[static_cast<std::size_t>(half)] >= 0) continue;
            fan.face_along[static_cast<std::size_t>(half)] = static_cast<std::int8_t>(face);
            fan.pull[axis] = static_cast<std::int8_t>(fan.pull[axis] + ((half & 1) ? 1 : -1));
        }
    }
    for (int face = 0; face < kCornerFaces; ++face) {
        const int number = fans.of_face[static_cast<std::size_t>(face)];
        if (number < 0) continue;
        Fan& fan = fans.fan[static_cast<std::size_t>(number)];
        auto& area = fan.area[static_cast<std::size_t>(face / 4)];
        area = static_cast<std::int8_t>(area + (faces_ahead(config, face) ? 1 : -1));
    }
}

// Labels the closed rings of faces; at `turned`, faces are joined around the empty voxels.
constexpr Fans gather(unsigned config, int turned) {
    std::array<std::array<int, 2>, kCornerFaces> partner{};
    std::array<int, kCornerFaces> partners{};
    const auto join = [&](int f, int g) {
        partner[static_cast<std::size_t>(f)]
               [static_cast<std::size_t>(partners[static_cast<std::size_t>(f)]++)] = g;
        partner[static_cast<std::size_t>(g)]
               [static_cast<std::size_t>(partners[static_cast<std::size_t>(g)]++)] = f;
    };
    for (int half = 0; half < 6; ++half) {
        int faces[4] = {}, found = 0;
        for (int turn = 0; turn < 4; ++turn) {
            const unsigned here = ring_bit(half, turn), next = ring_bit(half, turn + 1);
            if (occupied(config, here) == occupied(config, next)) continue;
            faces[found++] = face_between(here, next);
        }
        if (found == 2) join(faces[0], faces[1]);
        if (found == 4) {
            // faces[i] lies between voxels i and i + 1, so faces[i - 1] and faces[i] are voxel i's.
            const bool first = occupied(config, ring_bit(half, 0)) != (half == turned);
            const int i = first ? 0 : 1;
            join(faces[(i + 3) % 4], faces[i]);
            join(faces[i + 1], faces[i + 2]);
        }
    }
    Fans fans;
    for (auto& fan : fans.of_face) fan = -1;
    for (int seed = 0; seed < kCornerFaces; ++seed) {
        if (!partners[static_cast<std::size_t>(seed)]) continue;
        if (fans.of_face[static_cast<std::size_t>(seed)] >= 0) continue;
        int before = -1;
        for (int face = seed;;) {
            const auto f = static_cast<std::size_t>(face);
            if (fans.of_face[f] >= 0) break;
            fans.of_face[f] = static_cast<std::int8_t>(fans.count);
            const int next = partner[f][0] == before ? partner[f][1] : partner[f][0];
            before = face;
            face = next;
        }
        ++fans.count;
    }
    describe(fans, config);
    return fans;
}

constexpr CornerCase corner_case(unsigned config) {
    CornerCase result;
    result.usual = gather(config, -1);
    for (int half = 0; half < 6; ++half) {
        bool four = true, one_fan = true;
        int fan = -1;
        for (int turn = 0; turn < 4; ++turn) {
            const unsigned here = ring_bit(half, turn), next = ring_bit(half, turn + 1);
            if (occupied(config, here) == occupied(config, next)) {
                four = false;
                break;
            }
            const auto face = static_cast<std::size_t>(face_between(here, next));
            const int found = result.usual.of_face[face];
            one_fan = one_fan && (turn == 0 || found == fan);
            fan = found;
        }
        if (!four) continue;
        ++result.doubtful;
        if (!one_fan) continue;
        result.meets_itself = half;
        result.parted = gather(config, half);
    }
    return result;
}

constexpr std::array<CornerCase, 256> corner_cases() {
    std::array<CornerCase, 256> cases{};
    for (unsigned config = 0; config < 256; ++config) cases[config] = corner_case(config);
    return cases;
}

}  // namespace corner

inline constexpr std::array<CornerCase, 256> kCornerCases = corner::corner_cases();

namespace corner {

// What the head of this file claims.
constexpr bool choices_are_independent() {
    for (const CornerCase& c : kCornerCases) {
        if (c.usual.count > kMostFans) return false;
        if (c.meets_itself < 0) continue;
        if (c.doubtful != 1 || c.usual.count != 1 || c.parted.count != 2) return false;
    }
    return true;
}

static_assert(choices_are_independent());

}  // namespace corner

}  // namespace mvd
