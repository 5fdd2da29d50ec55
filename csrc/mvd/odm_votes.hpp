// How many of six faces see past each of 64 voxels.
#pragma once

#include "mvd/bitgrid.hpp"
#include "mvd/host_device.hpp"

namespace mvd {

// Of 64 voxels and one axis: which are seen past by exactly one face, and by both.
struct Seen {
    Word one, two;
};

// odd: seen past by exactly one face; crossed: by both where it is not odd.
MVD_HD inline Seen seen(Word odd, Word crossed) { return {odd, ~odd & crossed}; }

// The number of faces, 0 to 6, by its binary digits.
struct FaceCount {
    Word ones, twos, fours;

    MVD_HD Word at_least(int votes) const {
        switch (votes) {
            case 1:
                return ones | twos | fours;
            case 2:
                return twos | fours;
            case 3:
                return fours | (twos & ones);
            case 4:
                return fours;
            case 5:
                return fours & (twos | ones);
            default:
                return fours & twos;
        }
    }
};

MVD_HD inline FaceCount count_faces(Seen a, Seen b, Seen c) {
    const Word carry = (a.one & b.one) | (c.one & (a.one ^ b.one));
    const Word twos = a.two ^ b.two ^ c.two;
    const Word fours = (a.two & b.two) | (c.two & (a.two ^ b.two));
    return {a.one ^ b.one ^ c.one, twos ^ carry, fours | (twos & carry)};
}

}  // namespace mvd
