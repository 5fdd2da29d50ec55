#include "cuda/launch.hpp"
#include "mvd/line.hpp"
#include "mvd/metrics.hpp"

namespace mvd::cuda {

namespace {

constexpr std::int64_t kWordsPerThread = 16;
constexpr std::int64_t kWordsPerBlock = kBlockThreads * kWordsPerThread;

// Voxels in both grids and in either, of one part of one grid.
struct CountOverlap {
    const Word* a;
    const Word* b;
    std::uint64_t* counts;  // (B, 2), added to
    std::int64_t words, parts;

    struct Shared {
        std::uint32_t both[kBlockThreads], either[kBlockThreads];
    };

    MVD_HD void operator()(const Block& block, Shared& shared) const {
        const std::int64_t grid = block.index / parts;
        const std::int64_t begin = block.index % parts * kWordsPerBlock;
        block.each([&](int thread) {
            std::int64_t both = 0, either = 0;
            for (std::int64_t i = 0; i < kWordsPerThread; ++i) {
                const std::int64_t word = begin + i * kBlockThreads + thread;
                const bool inside = word < words;
                const Word one = inside ? a[grid * words + word] : 0;
                const Word other = inside ? b[grid * words + word] : 0;
                both += count_bits(one & other);
                either += count_bits(one | other);
            }
            shared.both[thread] = static_cast<std::uint32_t>(both);
            shared.either[thread] = static_cast<std::uint32_t>(either);
        });
        for (int half = kBlockThreads / 2; half > 0; half /= 2) {
            block.each([&](int thread) {
                if (thread >= half) return;
                shared.both[thread] += shared.both[thread + half];
                shared.either[thread] += shared.either[thread + half];
            });
        }
        block.each([&](int thread) {
            if (thread == 0) atomic_add(counts + 2 * grid, shared.both[0]);
            if (thread == 1) atomic_add(counts + 2 * grid + 1, shared.either[0]);
        });
    }
};

struct DivideCounts {
    const std::uint64_t* counts;  // (B, 2)
    double* out;

    MVD_HD void operator()(std::int64_t grid, std::int64_t) const {
        const std::uint64_t both = counts[2 * grid], either = counts[2 * grid + 1];
        out[grid] = either ? static_cast<double>(both) / static_cast<double>(either) : 1.0;
    }
};

}  // namespace

template <typename Queue>
void iou(Queue queue, const Word* a, const Word* b, double* out, GridShape shape,
         std::uint64_t* workspace) {
    const std::int64_t words = shape.x * shape.y * shape.words();
    const std::int64_t parts = ceil_div(words, kWordsPerBlock);
    clear(queue, "iou", workspace, 2 * shape.batch);
    for_each_block(queue, "iou", shape.batch * parts, CountOverlap{a, b, workspace, words, parts});
    for_each(queue, "iou", shape.batch, 1, DivideCounts{workspace, out});
}

template void iou(ThisQueue, const Word*, const Word*, double*, GridShape, std::uint64_t*);

}  // namespace mvd::cuda
