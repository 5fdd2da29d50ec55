#include "mvd/metrics.hpp"

#include <atomic>

#include "mvd/line.hpp"
#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kWordGrain = 1 << 16;

struct Overlap {
    std::int64_t both, either;  // voxels
};

MVD_CLONES Overlap overlap(const Word* a, const Word* b, std::int64_t words) {
    std::int64_t both = 0, either = 0;
    for (std::int64_t i = 0; i < words; ++i) {
        both += count_bits(a[i] & b[i]);
        either += count_bits(a[i] | b[i]);
    }
    return {both, either};
}

}  // namespace

void iou(const Word* a, const Word* b, double* out, GridShape shape, int threads) {
    const std::int64_t words = shape.x * shape.y * shape.words();
    for (std::int64_t grid = 0; grid < shape.batch; ++grid) {
        std::atomic<std::int64_t> both{0}, either{0};
        parallel_for(words, kWordGrain, threads, [&](std::int64_t begin, std::int64_t end) {
            const std::int64_t from = grid * words + begin;
            const Overlap part = overlap(a + from, b + from, end - begin);
            both += part.both;
            either += part.either;
        });
        out[grid] = either ? static_cast<double>(both) / static_cast<double>(either) : 1.0;
    }
}

}  // namespace mvd
