// Pooling works on the factor² lines that make a coarse line: first across them, 64 voxels at a
// time (OR for any, bit-sliced counters for half), then along z.
#include "mvd/resample.hpp"

#include <algorithm>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/parallel.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kWordGrain = 1 << 14;

// The fine lines [x0, x1) × [y0, y1) that a coarse line is made of.
struct Bundle {
    const Word* grid;  // (X, Y, W)
    std::int64_t y_count, words;
    std::int64_t x0, x1, y0, y1;

    template <typename Visit>
    void for_each_line(const Visit& visit) const {
        for (std::int64_t x = x0; x < x1; ++x) {
            for (std::int64_t y = y0; y < y1; ++y) visit(grid + (x * y_count + y) * words);
        }
    }
};

// How many voxels of a bundle are occupied at each z: bit z of plane j has weight 2^j.
class BundleCount {
  public:
    BundleCount(std::int64_t words, std::int64_t factor) : words_(words) {
        while (factor * factor >> planes_) ++planes_;
        bits_.resize(static_cast<std::size_t>(planes_ * words));
    }

    void count(const Bundle& bundle) {
        std::fill(bits_.begin(), bits_.end(), Word{0});
        bundle.for_each_line([&](const Word* line) {
            for (std::int64_t i = 0; i < words_; ++i) {
                Word carry = line[i];
                for (Word* bits = bits_.data() + i; carry; bits += words_) {
                    const Word sum = *bits ^ carry;
                    carry &= *bits;
                    *bits = sum;
                }
            }
        });
    }

    std::int64_t planes() const { return planes_; }
    const Word* plane(std::int64_t j) const { return bits_.data() + j * words_; }

  private:
    std::int64_t words_, planes_ = 0;
    std::vector<Word> bits_;
};

// One way to make coarse lines. `scratch` and `counts` are reused from line to line.
struct Pooling {
    std::int64_t words, factor, coarse_z;
    std::vector<Word> scratch;
    BundleCount counts;

    Pooling(GridShape shape, std::int64_t f)
        : words(shape.words()),
          factor(f),
          coarse_z((shape.z + f - 1) / f),
          scratch(static_cast<std::size_t>(shape.words())),
          counts(shape.words(), f) {}

    void any(const Bundle& bundle, Word* out) {
        std::fill(scratch.begin(), scratch.end(), Word{0});
        bundle.for_each_line([&](const Word* line) {
            for (std::int64_t i = 0; i < words; ++i)
                scratch[static_cast<std::size_t>(i)] |= line[i];
        });
        for_each_run(scratch.data(), words, [&](std::int64_t begin, std::int64_t end) {
            set_range(out, begin / factor, (end - 1) / factor + 1);
        });
    }

    void half(const Bundle& bundle, std::int64_t z, Word* out) {
        counts.count(bundle);
        const std::int64_t whole = factor * factor * factor;
        for (std::int64_t k = 0; k < coarse_z; ++k) {
            const std::int64_t end = std::min(z, (k + 1) * factor);
            std::int64_t count = 0;
            for (std::int64_t j = 0; j < counts.planes(); ++j) {
                count += count_range(counts.plane(j), k * factor, end) << j;
            }
            if (2 * count >= whole) set_range(out, k, k + 1);
        }
    }

    void centre(const Bundle& bundle, std::int64_t z, Word* out) const {
        const std::int64_t x = bundle.x0 + factor / 2, y = bundle.y0 + factor / 2;
        if (x >= bundle.x1 || y >= bundle.y1) return;
        const Word* line = bundle.grid + (x * bundle.y_count + y) * words;
        for (std::int64_t k = 0; k * factor + factor / 2 < z; ++k) {
            if (voxel(line, k * factor + factor / 2)) set_range(out, k, k + 1);
        }
    }
};

}  // namespace

void pool(const Word* packed, Word* pooled, GridShape shape, std::int64_t factor, PoolRule rule,
          int threads) {
    const GridShape coarse = pooled_shape(shape, factor);
    const std::int64_t grid = shape.x * shape.y * shape.words();
    const std::int64_t grain =
        kWordGrain / (shape.words() * std::min(factor * factor, kWordGrain)) + 1;
    parallel_for(coarse.lines(), grain, threads, [&](std::int64_t begin, std::int64_t end) {
        Pooling pooling(shape, factor);
        for (std::int64_t line = begin; line < end; ++line) {
            const std::int64_t y = line % coarse.y * factor;
            const std::int64_t x = line / coarse.y % coarse.x * factor;
            const Bundle bundle{packed + line / (coarse.x * coarse.y) * grid,
                                shape.y,
                                shape.words(),
                                x,
                                std::min(shape.x, x + factor),
                                y,
                                std::min(shape.y, y + factor)};
            Word* out = pooled + line * coarse.words();
            std::fill(out, out + coarse.words(), Word{0});
            switch (rule) {
                case PoolRule::kAny:
                    pooling.any(bundle, out);
                    break;
                case PoolRule::kHalf:
                    pooling.half(bundle, shape.z, out);
                    break;
                case PoolRule::kCentre:
                    pooling.centre(bundle, shape.z, out);
                    break;
            }
        }
    });
}

void upsample_nearest(const Word* packed, Word* upsampled, GridShape shape, std::int64_t factor,
                      int threads) {
    const GridShape fine = upsampled_shape(shape, factor);
    const std::int64_t w = shape.words(), fine_w = fine.words();
    const std::int64_t grain = kWordGrain / (fine_w * std::min(factor * factor, kWordGrain)) + 1;
    parallel_for(shape.lines(), grain, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t line = begin; line < end; ++line) {
            const std::int64_t y = line % shape.y, x = line / shape.y;  // x counts over the batch
            Word* first = upsampled + (x * factor * fine.y + y * factor) * fine_w;
            std::fill(first, first + fine_w, Word{0});
            for_each_run(packed + line * w, w, [&](std::int64_t from, std::int64_t to) {
                set_range(first, from * factor, to * factor);
            });
            for (std::int64_t i = 0; i < factor; ++i) {
                for (std::int64_t j = i == 0 ? 1 : 0; j < factor; ++j) {
                    std::copy_n(first, fine_w, first + (i * fine.y + j) * fine_w);
                }
            }
        }
    });
}

}  // namespace mvd
