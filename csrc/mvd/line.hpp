// One line of a packed grid, or one word of it: voxel z is bit z % 64 of word z / 64.
// Everything here is inline and free of state: operations are loops over lines that call these.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "mvd/bitgrid.hpp"

namespace mvd {

// Position of the lowest and of the highest set bit of a word that has one.
inline std::int64_t lowest_bit(Word word) { return __builtin_ctzll(word); }
inline std::int64_t highest_bit(Word word) { return kWordBits - 1 - __builtin_clzll(word); }

inline std::int64_t count_bits(Word word) { return __builtin_popcountll(word); }

// Word i of the line whose voxels [0, end) are occupied.
inline Word word_below(std::int64_t end, std::int64_t i) {
    const std::int64_t bits = end - i * kWordBits;
    return bits <= 0 ? 0 : low_mask(bits);
}

// z of the first occupied voxel of a line, -1 when it has none.
inline std::int64_t first_voxel(const Word* line, std::int64_t words) {
    for (std::int64_t i = 0; i < words; ++i) {
        if (line[i]) return i * kWordBits + lowest_bit(line[i]);
    }
    return -1;
}

// z of the last occupied voxel of a line, -1 when it has none.
inline std::int64_t last_voxel(const Word* line, std::int64_t words) {
    for (std::int64_t i = words - 1; i >= 0; --i) {
        if (line[i]) return i * kWordBits + highest_bit(line[i]);
    }
    return -1;
}

// Whether voxel z is occupied.
inline bool voxel(const Word* line, std::int64_t z) {
    return (line[z / kWordBits] >> (z % kWordBits) & 1) != 0;
}

// How many of the voxels [begin, end) are occupied.
inline std::int64_t count_range(const Word* line, std::int64_t begin, std::int64_t end) {
    std::int64_t count = 0;
    for (std::int64_t i = begin / kWordBits; i * kWordBits < end; ++i) {
        count += count_bits(line[i] & word_below(end, i) & ~word_below(begin, i));
    }
    return count;
}

// Occupies the voxels [begin, end).
inline void set_range(Word* line, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin / kWordBits; i * kWordBits < end; ++i) {
        line[i] |= word_below(end, i) & ~word_below(begin, i);
    }
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

// 64 bytes, any non-zero one occupied, as a word.
inline Word pack_word(const std::uint8_t* bytes) {
    Word word = 0;
#if defined(__SSE2__)  // every x86-64
    for (int part = 0; part < 4; ++part) {
        const auto* from = reinterpret_cast<const __m128i*>(bytes) + part;
        const __m128i empty = _mm_cmpeq_epi8(_mm_loadu_si128(from), _mm_setzero_si128());
        const auto mask = static_cast<unsigned>(_mm_movemask_epi8(empty));
        word |= static_cast<Word>(~mask & 0xFFFFu) << (16 * part);
    }
#else
    for (int part = 0; part < 8; ++part) {
        for (int bit = 0; bit < 8; ++bit) {
            word |= static_cast<Word>(bytes[8 * part + bit] != 0) << (8 * part + bit);
        }
    }
#endif
    return word;
}

// The 64 bytes, 0 or 1, of a word.
inline void unpack_word(Word word, std::uint8_t* bytes) {
    for (std::int64_t part = 0; part < 8; ++part) {
        // Byte k of `octet` holds bit k of the part alone: at least 1 becomes 1, by the carry of
        // adding 127 into the top bit.
        const Word octet = (word >> (8 * part) & 0xFF) * 0x0101010101010101 & 0x8040201008040201;
        const Word spread = (octet + 0x7F7F7F7F7F7F7F7F) >> 7 & 0x0101010101010101;
        for (int k = 0; k < 8; ++k)
            bytes[8 * part + k] = static_cast<std::uint8_t>(spread >> 8 * k);
    }
}

// The bits of a word in reverse order.
inline Word reverse_bits(Word word) {
    word = (word >> 1 & 0x5555555555555555) | (word & 0x5555555555555555) << 1;
    word = (word >> 2 & 0x3333333333333333) | (word & 0x3333333333333333) << 2;
    word = (word >> 4 & 0x0F0F0F0F0F0F0F0F) | (word & 0x0F0F0F0F0F0F0F0F) << 4;
    return __builtin_bswap64(word);
}

// `out` is `line` of z voxels in reverse order; both (W), not the same memory.
inline void reverse_line(const Word* line, Word* out, std::int64_t z) {
    const std::int64_t words = words_per_line(z);
    const std::int64_t shift = words * kWordBits - z;  // voxels the last word lacks
    for (std::int64_t i = 0; i < words; ++i) {
        const Word here = reverse_bits(line[words - 1 - i]) >> shift;
        const Word next = i + 1 < words && shift ? reverse_bits(line[words - 2 - i]) : 0;
        out[i] = shift ? here | next << (kWordBits - shift) : here;
    }
}

}  // namespace mvd
