// One line of a packed grid, or one word of it: voxel z is bit z % 64 of word z / 64.
// Everything here is inline and free of state: operations are loops over lines that call these.
#pragma once

#include <cstdint>
#include <cstring>

#include "mvd/bitgrid.hpp"
#include "mvd/host_device.hpp"

namespace mvd {

// Position of the lowest and of the highest set bit of a word that has one.
MVD_HD inline std::int64_t lowest_bit(Word word) {
#ifdef __CUDA_ARCH__
    return __ffsll(static_cast<long long>(word)) - 1;
#else
    return __builtin_ctzll(word);
#endif
}

MVD_HD inline std::int64_t highest_bit(Word word) {
#ifdef __CUDA_ARCH__
    return kWordBits - 1 - __clzll(static_cast<long long>(word));
#else
    return kWordBits - 1 - __builtin_clzll(word);
#endif
}

MVD_HD inline std::int64_t count_bits(Word word) {
#ifdef __CUDA_ARCH__
    return __popcll(word);
#else
    return __builtin_popcountll(word);
#endif
}

// The line whose voxels [0, end) are occupied, end >= 0. Loops over its words vectorize.
class LineBelow {
  public:
    explicit LineBelow(std::int64_t end)
        : whole_(end / kWordBits), partial_(low_mask(end % kWordBits)) {}

    Word word(std::int64_t i) const {
        return (i < whole_ ? ~Word{0} : 0) | (i == whole_ ? partial_ : 0);
    }

  private:
    std::int64_t whole_;  // words that are full
    Word partial_;        // the word after them
};

// Word i of the line whose voxels [0, end) are occupied.
MVD_HD inline Word word_below(std::int64_t end, std::int64_t i) {
    const std::int64_t bits = end - i * kWordBits;
    return bits <= 0 ? 0 : low_mask(bits);
}

// z of the first occupied voxel of a line, -1 when it has none.
MVD_HD inline std::int64_t first_voxel(const Word* line, std::int64_t words) {
    for (std::int64_t i = 0; i < words; ++i) {
        if (line[i]) return i * kWordBits + lowest_bit(line[i]);
    }
    return -1;
}

// z of the last occupied voxel of a line, -1 when it has none.
MVD_HD inline std::int64_t last_voxel(const Word* line, std::int64_t words) {
    for (std::int64_t i = words - 1; i >= 0; --i) {
        if (line[i]) return i * kWordBits + highest_bit(line[i]);
    }
    return -1;
}

// Whether voxel z is occupied.
MVD_HD inline bool voxel(const Word* line, std::int64_t z) {
    return (line[z / kWordBits] >> (z % kWordBits) & 1) != 0;
}

// Occupies the voxels [begin, end).
inline void set_range(Word* line, std::int64_t begin, std::int64_t end) {
    const LineBelow before(begin), below(end);
    for (std::int64_t i = begin / kWordBits; i * kWordBits < end; ++i) {
        line[i] |= below.word(i) & ~before.word(i);
    }
}

inline void clear_range(Word* line, std::int64_t begin, std::int64_t end) {
    const LineBelow before(begin), below(end);
    for (std::int64_t i = begin / kWordBits; i * kWordBits < end; ++i) {
        line[i] &= ~(below.word(i) & ~before.word(i));
    }
}

// The 64 voxels from `begin` on of a line (W); those before and after it are empty.
MVD_HD inline Word window(const Word* line, std::int64_t words, std::int64_t begin) {
    const std::int64_t i = begin >> 6, bit = begin & (kWordBits - 1);
    const Word here = i >= 0 && i < words ? line[i] : 0;
    if (bit == 0) return here;
    const Word next = i + 1 >= 0 && i + 1 < words ? line[i + 1] : 0;
    return here >> bit | next << (kWordBits - bit);
}

// Word i of the nearest upsampling of a line (W).
MVD_HD inline Word upsampled_word(const Word* line, std::int64_t words, std::int64_t scale,
                                  std::int64_t i) {
    if (scale == 1) return line[i];
    const std::int64_t first = i * kWordBits / scale;  // the coarse voxel under the word's first
    Word left = window(line, words, first), fine = 0;
    for (std::int64_t begin = first * scale - i * kWordBits; left; begin += scale, left >>= 1) {
        if (begin >= kWordBits) break;
        if (left & 1) fine |= low_mask(begin + scale) & ~low_mask(begin < 0 ? 0 : begin);
    }
    return fine;
}

// Calls visit(z) for each set bit of word i of a line.
template <typename Visit>
inline void for_each_voxel(Word word, std::int64_t i, const Visit& visit) {
    for (; word; word &= word - 1) visit(i * kWordBits + lowest_bit(word));
}

// Calls visit(begin, end) for each run of occupied voxels of a line, in order.
template <typename Visit>
inline void for_each_run(const Word* line, std::int64_t words, const Visit& visit) {
    bool open = false;  // a run that reached the end of the word before
    std::int64_t begin = 0;
    for (std::int64_t i = 0; i < words; ++i) {
        // `edges` marks where the line changes: the begin and the end of each run, in turn.
        Word edges = line[i] ^ (line[i] << 1 | static_cast<Word>(open));
        for (; edges; edges &= edges - 1) {
            const std::int64_t z = i * kWordBits + lowest_bit(edges);
            if (open) visit(begin, z);
            begin = z;
            open = !open;
        }
    }
    if (open) visit(begin, words * kWordBits);
}

// Nearest upsampling of one line: coarse (w) to fine (W), which is empty before.
inline void upsample_line(const Word* coarse, std::int64_t words, std::int64_t scale, Word* fine) {
    for_each_run(coarse, words, [&](std::int64_t begin, std::int64_t end) {
        set_range(fine, begin * scale, end * scale);
    });
}

// The low 8 bits of `octet` as 8 bytes, 0 or 1.
MVD_HD inline Word unpack_octet(Word octet) {
    // Byte k of `apart` holds bit k alone; adding 127 carries any bit to the top.
    const Word apart = (octet & 0xFF) * 0x0101010101010101 & 0x8040201008040201;
    return (apart + 0x7F7F7F7F7F7F7F7F) >> 7 & 0x0101010101010101;
}

// 8 bytes, any non-zero one occupied, as 8 bits.
MVD_HD inline Word pack_octet(Word bytes) {
    // Adding 127 carries any of the low 7 bits to the top.
    const Word ones = (((bytes & 0x7F7F7F7F7F7F7F7F) + 0x7F7F7F7F7F7F7F7F) | bytes) >> 7;
    // Byte k goes to bit 56 + k: no two terms of the product meet.
    return (ones & 0x0101010101010101) * 0x0102040810204080 >> 56;
}

// The 64 bytes, 0 or 1, of a word.
inline void unpack_word(Word word, std::uint8_t* bytes) {
    for (std::int64_t part = 0; part < 8; ++part) {
        const Word ones = unpack_octet(word >> (8 * part));
        std::memcpy(bytes + 8 * part, &ones, sizeof ones);  // little-endian: bitgrid.hpp
    }
}

// in: (W) words; out: (Z) bytes.
inline void unpack_line(const Word* in, std::uint8_t* out, std::int64_t z) {
    const std::int64_t whole = z / kWordBits;
    for (std::int64_t i = 0; i < whole; ++i) unpack_word(in[i], out + i * kWordBits);
    if (const std::int64_t rest = z % kWordBits) {
        std::uint8_t bytes[kWordBits];
        unpack_word(in[whole], bytes);
        std::memcpy(out + whole * kWordBits, bytes, static_cast<std::size_t>(rest));
    }
}

// The bits of a word in reverse order.
MVD_HD inline Word reverse_bits(Word word) {
#ifdef __CUDA_ARCH__
    return __brevll(word);
#else
    word = (word >> 1 & 0x5555555555555555) | (word & 0x5555555555555555) << 1;
    word = (word >> 2 & 0x3333333333333333) | (word & 0x3333333333333333) << 2;
    word = (word >> 4 & 0x0F0F0F0F0F0F0F0F) | (word & 0x0F0F0F0F0F0F0F0F) << 4;
    return __builtin_bswap64(word);
#endif
}

// Word i of a line (W) of z voxels in reverse order.
MVD_HD inline Word reversed_word(const Word* line, std::int64_t z, std::int64_t i) {
    return reverse_bits(window(line, words_per_line(z), z - (i + 1) * kWordBits));
}

// The even bits of a word, moved together.
inline Word even_bits(Word word) {
    word &= 0x5555555555555555;
    word = (word | word >> 1) & 0x3333333333333333;
    word = (word | word >> 2) & 0x0F0F0F0F0F0F0F0F;
    word = (word | word >> 4) & 0x00FF00FF00FF00FF;
    word = (word | word >> 8) & 0x0000FFFF0000FFFF;
    return (word | word >> 16) & 0x00000000FFFFFFFF;
}

// Moves voxels offset, offset + stride, … of a line of z voxels together: out, words_per_line of
// that many, was empty. 0 <= offset < stride.
inline void gather_voxels(const Word* line, std::int64_t z, std::int64_t offset,
                          std::int64_t stride, Word* out) {
    if (stride <= kWordBits && (stride & (stride - 1)) == 0) {
        for (std::int64_t i = 0; i * kWordBits < z; ++i) {
            Word word = line[i] >> offset;
            for (std::int64_t step = 1; step < stride; step *= 2) word = even_bits(word);
            const std::int64_t to = i * (kWordBits / stride);
            out[to / kWordBits] |= word << (to % kWordBits);
        }
        return;
    }
    for (std::int64_t k = 0; offset + k * stride < z; ++k) {
        out[k / kWordBits] |= static_cast<Word>(voxel(line, offset + k * stride))
                              << (k % kWordBits);
    }
}

}  // namespace mvd
