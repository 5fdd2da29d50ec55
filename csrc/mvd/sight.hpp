// What 64 pixels at once meet in a stack of planes of voxels: the number of the first and of the
// last plane, held digit by digit, one word for 64 pixels, so that a plane costs a few bitwise
// operations whatever the shape.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "mvd/bitgrid.hpp"
#include "mvd/odm.hpp"

namespace mvd {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Vectors of words, in whatever registers the clone of the function has.
typedef Word Words8 __attribute__((vector_size(64)));
typedef Word Words4 __attribute__((vector_size(32)));

template <typename V>
constexpr std::int64_t kWordsOf = sizeof(V) / sizeof(Word);

template <typename V>
[[gnu::always_inline]] inline V load(const Word* from) {
    V words;
    std::memcpy(&words, from, sizeof words);
    return words;
}

template <typename V>
[[gnu::always_inline]] inline void store(Word* to, V words) {
    std::memcpy(to, &words, sizeof words);
}

// Bits of `yes` where `mask` is set, of `no` elsewhere.
template <typename V>
[[gnu::always_inline]] inline V choose(V mask, V yes, V no) {
    return (yes & mask) | (no & ~mask);
}

[[gnu::always_inline]] inline bool is_empty(Word word) { return word == 0; }
[[gnu::always_inline]] inline bool is_empty(Words4 words) {
    return (words[0] | words[1] | words[2] | words[3]) == 0;
}
[[gnu::always_inline]] inline bool is_empty(Words8 words) {
    Words4 halves[2];
    std::memcpy(halves, &words, sizeof words);
    return is_empty(halves[0] | halves[1]);
}

// What the pixels of V meet in a stack of 2^Digits planes: whether anything, and the digits of the
// number of the first and of the last plane. They mean nothing where a pixel meets nothing.
template <typename V, int Digits>
struct Met {
    V any;
    std::array<V, Digits> first, last;
};

// Digits of the number of planes that are met at once: many spare updates of what has been met so
// far, but along x each plane is a stream of its own, and they have to stay in the second cache.
constexpr int kRowDigits = 5, kSlabDigits = 4;
constexpr std::int64_t kRows = 1 << kRowDigits, kSlabs = 1 << kSlabDigits;

struct Planes {
    const Word* first;
    std::int64_t stride;  // words from plane to plane
    std::int64_t count;   // planes there are; those after them are empty
};

// What pixels meet in 2^Digits planes from `begin` on: two halves, put together.
template <typename V, int Digits, bool Whole>
[[gnu::always_inline]] inline Met<V, Digits> meet(Planes planes, std::int64_t begin) {
    if constexpr (Digits == 0) {
        if (!Whole && begin >= planes.count) return {V{}, {}, {}};
        return {load<V>(planes.first + begin * planes.stride), {}, {}};
    } else {
        constexpr int kHalf = Digits - 1;
        const Met<V, kHalf> near = meet<V, kHalf, Whole>(planes, begin);
        const Met<V, kHalf> far = meet<V, kHalf, Whole>(planes, begin + (1 << kHalf));
        Met<V, Digits> met;
        met.any = near.any | far.any;
        for (std::size_t k = 0; k < kHalf; ++k) {
            met.first[k] = choose(near.any, near.first[k], far.first[k]);
            met.last[k] = choose(far.any, far.last[k], near.last[k]);
        }
        met.first[kHalf] = ~near.any;
        met.last[kHalf] = far.any;
        return met;
    }
}

// What pixels have met of a stack so far, in blocks of eight words: `any`, then the digits of the
// first plane's number (0 where nothing is met), then those of the last one's.
struct Sight {
    Word* blocks;
    std::int64_t digits;

    static constexpr std::int64_t kBlock = 8;  // words

    static std::int64_t digits_of(std::int64_t planes) {
        std::int64_t digits = std::max(kRowDigits, kSlabDigits);
        while ((std::int64_t{1} << digits) < planes) ++digits;
        return digits;
    }
    static std::int64_t size(std::int64_t words, std::int64_t digits) {
        return ceil_div(words, kBlock) * kBlock * (1 + 2 * digits);
    }

    // Of word i; the same of each digit follow, kBlock words apart.
    Word* any(std::int64_t i) const {
        return blocks + i / kBlock * kBlock * (1 + 2 * digits) + i % kBlock;
    }
    Word* first(std::int64_t i) const { return any(i) + kBlock; }
    Word* last(std::int64_t i) const { return any(i) + (1 + digits) * kBlock; }
};

// Adds group `group` of 2^Digits planes at word i: the lower digits are in `met`, the others are
// the group's number.
template <typename V, int Digits>
[[gnu::always_inline]] inline void see(Sight sight, std::int64_t i, std::int64_t group,
                                       const Met<V, Digits>& met) {
    constexpr std::int64_t kBlock = Sight::kBlock;
    if (is_empty(met.any)) return;
    Word* last = sight.last(i);
    for (std::size_t k = 0; k < Digits; ++k, last += kBlock) {
        store(last, choose(met.any, met.last[k], load<V>(last)));
    }
    for (std::int64_t k = Digits; k < sight.digits; ++k, last += kBlock) {
        const V digit = V{} - static_cast<Word>(group >> (k - Digits) & 1);
        store(last, choose(met.any, digit, load<V>(last)));
    }
    const V seen = load<V>(sight.any(i));
    const V fresh = met.any & ~seen;
    if (is_empty(fresh)) return;
    store(sight.any(i), seen | fresh);
    Word* first = sight.first(i);
    for (std::size_t k = 0; k < Digits; ++k, first += kBlock) {
        store(first, load<V>(first) | (fresh & met.first[k]));
    }
    for (std::int64_t k = Digits; k < sight.digits; ++k, first += kBlock) {
        if (group >> (k - Digits) & 1) store(first, load<V>(first) | fresh);
    }
}

// Adds `planes`, group `group` of a stack, at the words [i, words) that fill whole V.
template <typename V, int Digits>
[[gnu::always_inline]] inline void see_whole(Sight sight, std::int64_t group, Planes planes,
                                             std::int64_t& i, std::int64_t words) {
    for (; i + kWordsOf<V> <= words; i += kWordsOf<V>) {
        const Planes here{planes.first + i, planes.stride, planes.count};
        if (planes.count >= 1 << Digits) {
            see(sight, i, group, meet<V, Digits, true>(here, 0));
        } else {
            see(sight, i, group, meet<V, Digits, false>(here, 0));
        }
    }
}

template <int Digits>
[[gnu::always_inline]] inline void see_group(Sight sight, std::int64_t group, Planes planes,
                                             std::int64_t words) {
    std::int64_t i = 0;
    see_whole<Words8, Digits>(sight, group, planes, i, words);
    see_whole<Words4, Digits>(sight, group, planes, i, words);
    see_whole<Word, Digits>(sight, group, planes, i, words);
}

constexpr std::int64_t kLanes = 16;
typedef Depth Lanes __attribute__((vector_size(2 * kLanes)));

// All ones in the lanes whose bit is set in part `part` of a word, kLanes bits each.
[[gnu::always_inline]] inline Lanes spread(const Word* word, std::int64_t part) {
    const Lanes own = {1,      1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,
                       1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};
    Depth bits;
    std::memcpy(&bits, reinterpret_cast<const Depth*>(word) + part, sizeof bits);
    return (Lanes)(((Lanes{} + bits) & own) == own);
}

// The 64 pixels of word i, for the face that starts at the first plane and the one at the last.
[[gnu::always_inline]] inline void read_word(Sight sight, std::int64_t i, Depth n, Depth* near,
                                             Depth* far) {
    const Lanes background = Lanes{} + n;
    for (std::int64_t part = 0; part < kWordBits / kLanes; ++part) {
        Lanes first{}, last{};
        for (std::int64_t k = 0; k < sight.digits; ++k) {
            const Lanes digit = Lanes{} + static_cast<Depth>(1 << k);
            first |= spread(sight.first(i) + k * Sight::kBlock, part) & digit;
            last |= spread(sight.last(i) + k * Sight::kBlock, part) & digit;
        }
        const Lanes met = spread(sight.any(i), part);
        const Lanes near_depth = choose(met, first, background);
        const Lanes far_depth = choose(met, background - 1 - last, background);
        std::memcpy(near + part * kLanes, &near_depth, sizeof near_depth);
        std::memcpy(far + part * kLanes, &far_depth, sizeof far_depth);
    }
}

}  // namespace mvd
