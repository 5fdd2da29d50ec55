#include "mvd/bitgrid.hpp"

#include <algorithm>

#include "mvd/parallel.hpp"

namespace mvd {

namespace {
constexpr std::int64_t kLineGrain = 1024;
}

void pack(const std::uint8_t* dense, Word* packed, GridShape shape, int threads) {
    const std::int64_t w = shape.words();
    parallel_for(shape.lines(), kLineGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t line = begin; line < end; ++line) {
            const std::uint8_t* in = dense + line * shape.z;
            for (std::int64_t i = 0; i < w; ++i) {
                const std::int64_t bits = std::min(kWordBits, shape.z - i * kWordBits);
                Word word = 0;
                for (std::int64_t b = 0; b < bits; ++b) {
                    word |= static_cast<Word>(in[i * kWordBits + b] != 0) << b;
                }
                packed[line * w + i] = word;
            }
        }
    });
}

void unpack(const Word* packed, std::uint8_t* dense, GridShape shape, int threads) {
    const std::int64_t w = shape.words();
    parallel_for(shape.lines(), kLineGrain, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t line = begin; line < end; ++line) {
            for (std::int64_t z = 0; z < shape.z; ++z) {
                dense[line * shape.z + z] =
                    static_cast<std::uint8_t>(packed[line * w + z / kWordBits] >> (z % kWordBits) & 1);
            }
        }
    });
}

}  // namespace mvd
