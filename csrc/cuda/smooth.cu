// The adaptive mean, twin of csrc/cpu/smooth.cpp: a block of threads holds a square of a map and
// what surrounds it.
#include "cuda/launch.hpp"
#include "mvd/smooth.hpp"

namespace mvd::cuda {

namespace {

constexpr int kSquare = 32, kMaxRadius = kMaxWindow / 2, kSide = kSquare + 2 * kMaxRadius;

struct SmoothSquare {
    const Depth* odms;
    Depth* smoothed;
    std::int64_t n;
    std::int64_t squares;  // along an edge of a map
    int radius;
    std::int32_t difference;  // the largest one that counts

    struct Shared {
        Depth depths[kSide][kSide];  // N where there is nothing
    };

    MVD_HD void operator()(const Block& block, Shared& shared) const {
        const std::int64_t column = block.index % squares * kSquare;
        const std::int64_t row = block.index / squares % squares * kSquare;
        const std::int64_t map = block.index / (squares * squares) * n * n;
        const int side = kSquare + 2 * radius;
        block.each([&](int thread) {
            for (int i = thread; i < side * side; i += kBlockThreads) {
                const std::int64_t u = row + i / side - radius, v = column + i % side - radius;
                const bool inside = u >= 0 && u < n && v >= 0 && v < n;
                shared.depths[i / side][i % side] =
                    inside ? odms[map + u * n + v] : static_cast<Depth>(n);
            }
        });
        block.each([&](int thread) {
            for (int i = thread; i < kSquare * kSquare; i += kBlockThreads) {
                const std::int64_t u = row + i / kSquare, v = column + i % kSquare;
                if (u >= n || v >= n) continue;
                smoothed[map + u * n + v] = mean(i / kSquare, i % kSquare, shared);
            }
        });
    }

  private:
    // The mean of the window whose first pixel is (u, v) of the shared depths.
    MVD_HD Depth mean(int u, int v, const Shared& shared) const {
        const Depth own = shared.depths[u + radius][v + radius];
        if (own >= n) return own;
        const int edge = 2 * radius + 1;
        const auto background = static_cast<std::int32_t>(n);
        std::int32_t total = 0, count = 0;
        for (int du = 0; du < edge; ++du) {
            for (int dv = 0; dv < edge; ++dv) {
                const std::int32_t depth = shared.depths[u + du][v + dv];
                const std::int32_t apart = depth < own ? own - depth : depth - own;
                const bool counts = depth < background && apart <= difference;
                total += counts ? depth : 0;
                count += counts;
            }
        }
        return rounded_mean(total, count);
    }
};

}  // namespace

template <typename Queue>
void smooth_odms(Queue queue, const Depth* odms, Depth* smoothed, std::int64_t batch,
                 std::int64_t n, double threshold, int window) {
    const std::int64_t squares = ceil_div(n, kSquare);
    const auto difference = static_cast<std::int32_t>(largest_difference(threshold, n));
    for_each_block(queue, "smooth_odms", batch * kFaces * squares * squares,
                   SmoothSquare{odms, smoothed, n, squares, window / 2, difference});
}

template void smooth_odms(ThisQueue, const Depth*, Depth*, std::int64_t, std::int64_t, double, int);

}  // namespace mvd::cuda
