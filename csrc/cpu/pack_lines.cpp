// Packing 64 bytes into a word: a comparison with zero, whose results the widest registers of the
// machine hand over as bits.
#include <cstring>

#include "mvd/bitgrid.hpp"
#include "mvd/line.hpp"
#include "mvd/simd.hpp"

#if MVD_X86
#include <immintrin.h>
#endif

namespace mvd {

namespace {

// in: (64 * count) bytes, any non-zero one occupied; out: (count) words.
using PackWords = void (*)(const std::uint8_t* in, Word* out, std::int64_t count);

#if MVD_X86

void pack_words_sse2(const std::uint8_t* in, Word* out, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
        Word empty = 0;
        for (int part = 0; part < 4; ++part, in += 16) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
            const int bits = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128()));
            empty |= static_cast<Word>(static_cast<std::uint32_t>(bits)) << (16 * part);
        }
        out[i] = ~empty;
    }
}

__attribute__((target("avx2"))) void pack_words_avx2(const std::uint8_t* in, Word* out,
                                                     std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
        Word empty = 0;
        for (int part = 0; part < 2; ++part, in += 32) {
            const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
            const int bits = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256()));
            empty |= static_cast<Word>(static_cast<std::uint32_t>(bits)) << (32 * part);
        }
        out[i] = ~empty;
    }
}

__attribute__((target("avx512bw"))) void pack_words_avx512(const std::uint8_t* in, Word* out,
                                                           std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i, in += kWordBits) {
        const __m512i bytes = _mm512_loadu_si512(in);
        out[i] = _mm512_test_epi8_mask(bytes, bytes);
    }
}

PackWords choose_pack_words() {
    if (__builtin_cpu_supports("avx512bw")) return pack_words_avx512;
    if (__builtin_cpu_supports("avx2")) return pack_words_avx2;
    return pack_words_sse2;
}

#else

void pack_words_plainly(const std::uint8_t* in, Word* out, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i, in += kWordBits) {
        Word word = 0;
        for (int part = 0; part < 8; ++part) {
            Word bytes;
            std::memcpy(&bytes, in + 8 * part, sizeof bytes);
            word |= pack_octet(bytes) << (8 * part);
        }
        out[i] = word;
    }
}

PackWords choose_pack_words() { return pack_words_plainly; }

#endif

}  // namespace

void pack_lines(const std::uint8_t* dense, Word* packed, std::int64_t lines, std::int64_t z) {
    static const PackWords pack_words = choose_pack_words();
    const std::int64_t whole = z / kWordBits, rest = z % kWordBits;
    if (rest == 0) {
        pack_words(dense, packed, lines * whole);
        return;
    }
    for (std::int64_t line = 0; line < lines; ++line, dense += z, packed += whole + 1) {
        std::uint8_t bytes[kWordBits] = {};
        std::memcpy(bytes, dense + whole * kWordBits, static_cast<std::size_t>(rest));
        pack_words(dense, packed, whole);
        pack_words(bytes, packed + whole, 1);
    }
}

}  // namespace mvd
