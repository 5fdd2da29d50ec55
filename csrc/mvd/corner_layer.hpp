// The grid corners of one x that are on the surface, and the numbers of their vertices. A corner
// (x, y, z) lies between the voxels at x - 1 and x, y - 1 and y, z - 1 and z.
//
// What can be told of 64 corners at once, by whole words, is: which are on the surface, and which
// few of those need a look at their case (corner_cases.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "mvd/bitgrid.hpp"
#include "mvd/corner_cases.hpp"
#include "mvd/line.hpp"
#include "mvd/surface.hpp"

namespace mvd {

// The voxels of a grid, with empty ones all around.
class Voxels {
  public:
    Voxels(const Word* packed, GridShape shape)
        : packed_(packed), shape_(shape), empty_(static_cast<std::size_t>(shape.words())) {}

    // The words of a line, those of an empty one outside.
    const Word* line(std::int64_t x, std::int64_t y) const {
        const bool inside = x >= 0 && x < shape_.x && y >= 0 && y < shape_.y;
        return inside ? packed_ + (x * shape_.y + y) * shape_.words() : empty_.data();
    }

    // The case of a corner, bit by bit.
    unsigned config(std::int64_t x, std::int64_t y, std::int64_t z) const {
        unsigned result = 0;
        for (unsigned bit = 0; bit < 8; ++bit) {
            const std::int64_t at = z - 1 + (bit & 1);
            const Word* words = line(x - 1 + (bit >> 2), y - 1 + (bit >> 1 & 1));
            const bool occupied = at >= 0 && at < shape_.z && voxel(words, at);
            result |= static_cast<unsigned>(occupied) << bit;
        }
        return result;
    }

    const GridShape& shape() const { return shape_; }

    // The box of corners around the occupied voxels; low above high when there are none.
    struct Box {
        std::array<std::int64_t, 3> low, high;

        // The half-axes, bit 2 * axis + side each, along which a corner of the box leaves it.
        std::uint8_t sides(const std::array<std::int64_t, 3>& corner) const {
            unsigned bits = 0;
            for (std::size_t axis = 0; axis < 3; ++axis) {
                const unsigned below = corner[axis] == low[axis],
                               above = corner[axis] == high[axis];
                bits |= (below | above << 1) << 2 * axis;
            }
            return static_cast<std::uint8_t>(bits);
        }
    };

    Box occupied_box() const {
        Box box = {{shape_.x, shape_.y, shape_.z}, {0, 0, 0}};
        const auto widen = [&](std::size_t axis, std::int64_t first, std::int64_t last) {
            box.low[axis] = std::min(box.low[axis], first);
            box.high[axis] = std::max(box.high[axis], last + 1);
        };
        for (std::int64_t x = 0; x < shape_.x; ++x) {
            for (std::int64_t y = 0; y < shape_.y; ++y) {
                const std::int64_t first = first_voxel(line(x, y), shape_.words());
                if (first < 0) continue;
                widen(0, x, x);
                widen(1, y, y);
                widen(2, first, last_voxel(line(x, y), shape_.words()));
            }
        }
        return box;
    }

  private:
    const Word* packed_;
    GridShape shape_;
    std::vector<Word> empty_;
};

// The eight voxels around each of 64 corners: word `corner_bit` of each corner's bit.
class CornerWords {
  public:
    // Word w of the corners between four lines: (x - 1, y - 1), (x - 1, y), (x, y - 1), (x, y).
    CornerWords(const Word* const (&lines)[4], std::int64_t words, std::int64_t w) {
        for (unsigned i = 0; i < 4; ++i) {
            const Word here = w < words ? lines[i][w] : 0;
            const Word before = w > 0 ? lines[i][w - 1] >> (kWordBits - 1) : 0;
            voxels_[2 * i] = here << 1 | before;
            voxels_[2 * i + 1] = here;
        }
    }

    // Corners on the surface: not all of their voxels are alike.
    Word used() const {
        Word any = 0, all = ~Word{0};
        for (const Word word : voxels_) {
            any |= word;
            all &= word;
        }
        return any & ~all;
    }

    // Corners that may have more than one fan: four faces along a half-axis, or all voxels alike
    // but for two opposite ones.
    Word doubtful() const {
        const auto& v = voxels_;
        const auto four = [&](unsigned a, unsigned b, unsigned c, unsigned d) {  // a opposite to d
            return ~(v[a] ^ v[d]) & ~(v[b] ^ v[c]) & (v[a] ^ v[b]);
        };
        Word found = four(0, 1, 2, 3) | four(4, 5, 6, 7) | four(0, 1, 4, 5) | four(2, 3, 6, 7) |
                     four(0, 2, 4, 6) | four(1, 3, 5, 7);
        for (unsigned a = 0; a < 4; ++a) {
            Word two = ~(v[a] ^ v[7 - a]);
            for (unsigned other = 0; other < 8; ++other) {
                if (other != a && other != 7 - a) two &= v[a] ^ v[other];
            }
            found |= two;
        }
        return found;
    }

    // The case of one corner.
    unsigned config(int corner) const {
        unsigned result = 0;
        for (unsigned bit = 0; bit < 8; ++bit) {
            result |= static_cast<unsigned>(voxels_[bit] >> corner & 1) << bit;
        }
        return result;
    }

  private:
    std::array<Word, 8> voxels_;
};

// A corner of a voxel's face: steps from the voxel's own corner, and which of that corner's faces
// the face is.
struct QuadCorner {
    int dx, dy, dz, face;
};

// The four corners of a voxel's face, counterclockwise seen from outside.
using Quad = std::array<QuadCorner, 4>;

constexpr Quad make_quad(int axis, bool ahead) {
    // Around the axis, from the axis after it to the one before it: counterclockwise seen from
    // ahead.
    constexpr int kU[4] = {0, 1, 1, 0}, kV[4] = {0, 0, 1, 1};
    Quad quad{};
    for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t turn = ahead ? i : 3 - i;
        int step[3] = {};
        step[axis] = ahead;
        step[(axis + 1) % 3] = kU[turn];
        step[(axis + 2) % 3] = kV[turn];
        // A corner one step ahead has the face one step back.
        const int du = 1 - step[axis == 0 ? 1 : 0], dv = 1 - step[axis == 2 ? 1 : 2];
        quad[i] = {step[0], step[1], step[2], corner_face(axis, du, dv)};
    }
    return quad;
}

inline constexpr std::array<Quad, 6> kQuads = {make_quad(0, false), make_quad(0, true),
                                               make_quad(1, false), make_quad(1, true),
                                               make_quad(2, false), make_quad(2, true)};

// The fans of a corner of a given case.
inline const Fans& fans_at(const Voxels& voxels, unsigned config, std::int64_t x, std::int64_t y,
                           std::int64_t z) {
    const CornerCase& here = kCornerCases[config];
    if (here.meets_itself < 0) return here.usual;
    const std::int64_t step = (here.meets_itself & 1) ? 1 : -1;
    const int axis = here.meets_itself >> 1;
    const unsigned other = voxels.config(x + (axis == 0 ? step : 0), y + (axis == 1 ? step : 0),
                                         z + (axis == 2 ? step : 0));
    return kCornerCases[other].meets_itself == (here.meets_itself ^ 1) ? here.parted : here.usual;
}

// Calls visit(y, w, words, used) for each word of corners at one x of which some, those set in
// `used`, are on the surface.
template <typename Visit>
void for_each_corner_word(const Voxels& voxels, std::int64_t x, const Visit& visit) {
    const GridShape& shape = voxels.shape();
    for (std::int64_t y = 0; y <= shape.y; ++y) {
        const Word* const lines[4] = {voxels.line(x - 1, y - 1), voxels.line(x - 1, y),
                                      voxels.line(x, y - 1), voxels.line(x, y)};
        for (std::int64_t w = 0; w < words_per_line(shape.z + 1); ++w) {
            const CornerWords around(lines, shape.words(), w);
            if (const Word used = around.used()) visit(y, w, around, used);
        }
    }
}

// Calls visit(y, z, config, several) for the corners at one x on the surface, in order: `config()`
// gives the case of the corner, `several` is false where it is sure to have a single fan.
template <typename Visit>
void for_each_corner(const Voxels& voxels, std::int64_t x, const Visit& visit) {
    const auto word = [&](std::int64_t y, std::int64_t w, const CornerWords& around, Word used) {
        const Word doubtful = around.doubtful();
        for (; used; used &= used - 1) {
            const std::int64_t bit = lowest_bit(used);
            visit(
                y, w * kWordBits + bit, [&] { return around.config(static_cast<int>(bit)); },
                (doubtful >> bit & 1) != 0);
        }
    };
    for_each_corner_word(voxels, x, word);
}

// Calls visit(y, z, fans) for the same corners; `fans` is null where there is a single one.
template <typename Visit>
void for_each_corner_fans(const Voxels& voxels, std::int64_t x, const Visit& visit) {
    for_each_corner(voxels, x,
                    [&](std::int64_t y, std::int64_t z, const auto& config, bool several) {
                        visit(y, z, several ? &fans_at(voxels, config(), x, y, z) : nullptr);
                    });
}

// How many vertices there are at one x.
inline std::int64_t count_vertices(const Voxels& voxels, std::int64_t x) {
    std::int64_t count = 0;
    const auto word = [&](std::int64_t y, std::int64_t w, const CornerWords& around, Word used) {
        count += count_bits(used);
        for_each_voxel(used & around.doubtful(), w, [&](std::int64_t z) {
            const unsigned config = around.config(static_cast<int>(z % kWordBits));
            count += fans_at(voxels, config, x, y, z).count - 1;
        });
    };
    for_each_corner_word(voxels, x, word);
    return count;
}

// Calls visit(y, z, fans, number of one of them, config) for each vertex at one x, in order.
template <typename Visit>
void for_each_fan(const Voxels& voxels, std::int64_t x, const Visit& visit) {
    for_each_corner(voxels, x, [&](std::int64_t y, std::int64_t z, const auto& config, bool) {
        const unsigned here = config();
        const Fans& fans = fans_at(voxels, here, x, y, z);
        for (int fan = 0; fan < fans.count; ++fan) visit(y, z, fans, fan, here);
    });
}

// Numbers the vertices at one x, and finds the vertex of a face at a corner.
class CornerLayer {
  public:
    explicit CornerLayer(const Voxels& voxels)
        : voxels_(&voxels),
          pitch_(voxels.shape().z + 1),
          numbers_(static_cast<std::size_t>((voxels.shape().y + 1) * pitch_)) {}

    // Gives the vertices at x the numbers from `first` on.
    void number(std::int64_t x, VertexIndex first) {
        number(x, first, [](std::int64_t, std::int64_t, const Fans*) {});
    }

    // The same, and calls visit(y, z, fans) for each corner as for_each_corner_fans does.
    template <typename Visit>
    void number(std::int64_t x, VertexIndex first, const Visit& visit) {
        x_ = x;
        for_each_corner_fans(*voxels_, x, [&](std::int64_t y, std::int64_t z, const Fans* fans) {
            visit(y, z, fans);
            // Where a face makes a difference, the complement: a negative number.
            numbers_[at(y, z)] = fans ? ~first : first;
            first += fans ? fans->count : 1;
        });
    }

    // The vertex at a corner on the surface of one of its faces.
    VertexIndex vertex(std::int64_t y, std::int64_t z, int face) const {
        const VertexIndex number = numbers_[at(y, z)];
        return number >= 0 ? number : ~number + fan(y, z, face);
    }

  private:
    std::size_t at(std::int64_t y, std::int64_t z) const {
        return static_cast<std::size_t>(y * pitch_ + z);
    }

    VertexIndex fan(std::int64_t y, std::int64_t z, int face) const {
        const Fans& fans = fans_at(*voxels_, voxels_->config(x_, y, z), x_, y, z);
        return fans.of_face[static_cast<std::size_t>(face)];
    }

    const Voxels* voxels_;
    std::int64_t pitch_;
    std::int64_t x_ = 0;
    std::vector<VertexIndex> numbers_;  // (Y + 1, Z + 1): set where a corner is on the surface
};

}  // namespace mvd
