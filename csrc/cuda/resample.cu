#include "cuda/launch.hpp"
#include "mvd/line.hpp"
#include "mvd/resample.hpp"

namespace mvd::cuda {

namespace {

// Eight coarse voxels along z, a byte of the coarse line.
template <PoolRule kRule>
struct PoolOctet {
    const Word* packed;
    std::uint8_t* pooled;  // (coarse lines, octets)
    GridShape shape, coarse;
    std::int64_t factor, octets;

    MVD_HD void operator()(std::int64_t line, std::int64_t octet) const {
        const std::int64_t y = line % coarse.y * factor;
        const std::int64_t x = line / coarse.y % coarse.x * factor;
        const Word* grid = packed + line / (coarse.x * coarse.y) * shape.x * shape.y * words();
        int bits = 0;
        if constexpr (kRule == PoolRule::kCentre) {
            bits = centre(grid, x + factor / 2, y + factor / 2, octet);
        } else if (factor <= 8) {
            bits = small(grid, x, y, octet);
        } else {
            for (int j = 0; j < 8; ++j) {
                bits |= static_cast<int>(large(grid, x, y, (octet * 8 + j) * factor)) << j;
            }
        }
        pooled[line * octets + octet] = static_cast<std::uint8_t>(bits);
    }

  private:
    MVD_HD std::int64_t words() const { return shape.words(); }

    // Calls visit(line) for the fine lines under the coarse one at fine (x0, y0).
    template <typename Visit>
    MVD_HD void for_each_line(const Word* grid, std::int64_t x0, std::int64_t y0,
                              const Visit& visit) const {
        const std::int64_t x1 = std::min(shape.x, x0 + factor), y1 = std::min(shape.y, y0 + factor);
        for (std::int64_t x = x0; x < x1; ++x) {
            for (std::int64_t y = y0; y < y1; ++y) visit(grid + (x * shape.y + y) * words());
        }
    }

    MVD_HD bool enough(std::int64_t count) const {
        return kRule == PoolRule::kAny ? count > 0 : 2 * count >= factor * factor * factor;
    }

    MVD_HD int centre(const Word* grid, std::int64_t x, std::int64_t y, std::int64_t octet) const {
        int bits = 0;
        if (x >= shape.x || y >= shape.y) return bits;
        const Word* line = grid + (x * shape.y + y) * words();
        for (int j = 0; j < 8; ++j) {
            const std::int64_t z = (octet * 8 + j) * factor + factor / 2;
            if (z < shape.z && voxel(line, z)) bits |= 1 << j;
        }
        return bits;
    }

    // A factor of up to 8: the eight coarse voxels are at most 64 fine ones.
    MVD_HD int small(const Word* grid, std::int64_t x, std::int64_t y, std::int64_t octet) const {
        const Word mask = low_mask(factor);
        const int step = static_cast<int>(factor);
        std::int32_t counts[8] = {};
        Word any = 0;
        for_each_line(grid, x, y, [&](const Word* line) {
            const Word fine = window(line, words(), octet * 8 * factor);
            if constexpr (kRule == PoolRule::kAny) {
                any |= fine;
            } else {
                for (int j = 0; j < 8; ++j) {
                    counts[j] += static_cast<std::int32_t>(count_bits(fine >> (j * step) & mask));
                }
            }
        });
        int bits = 0;
        for (int j = 0; j < 8; ++j) {
            if constexpr (kRule == PoolRule::kAny) counts[j] = (any >> (j * step) & mask) != 0;
            bits |= static_cast<int>(enough(counts[j])) << j;
        }
        return bits;
    }

    // One coarse voxel, from fine (x, y, z) on.
    MVD_HD bool large(const Word* grid, std::int64_t x, std::int64_t y, std::int64_t z) const {
        const std::int64_t end = std::min(shape.z, z + factor);
        std::int64_t count = 0;
        for_each_line(grid, x, y, [&](const Word* line) {
            for (std::int64_t begin = z; begin < end; begin += kWordBits) {
                count += count_bits(window(line, words(), begin) & low_mask(end - begin));
            }
        });
        return enough(count);
    }
};

// A word of fine voxels, and the same of all lines above the coarse one.
struct UpsampleWord {
    const Word* packed;
    Word* upsampled;
    GridShape shape, fine;
    std::int64_t factor;

    MVD_HD void operator()(std::int64_t line, std::int64_t i) const {
        const std::int64_t w = shape.words(), fine_w = fine.words();
        const std::int64_t y = line % shape.y, x = line / shape.y;  // x counts over the batch
        const Word word = upsampled_word(packed + line * w, w, factor, i);
        Word* first = upsampled + (x * factor * fine.y + y * factor) * fine_w + i;
        for (std::int64_t dx = 0; dx < factor; ++dx) {
            for (std::int64_t dy = 0; dy < factor; ++dy) first[(dx * fine.y + dy) * fine_w] = word;
        }
    }
};

}  // namespace

template <typename Queue>
void pool(Queue queue, const Word* packed, Word* pooled, GridShape shape, std::int64_t factor,
          PoolRule rule) {
    const GridShape coarse = pooled_shape(shape, factor);
    // Blocks that reach twice as far as the grid pool alike, and their cube cannot overflow.
    factor = std::min(factor, 2 * odm_edge(shape));
    const std::int64_t octets = 8 * coarse.words();
    const auto run = [&](const auto& kernel) {
        for_each(queue, "pool", coarse.lines(), octets, kernel);
    };
    auto* bytes = reinterpret_cast<std::uint8_t*>(pooled);
    switch (rule) {
        case PoolRule::kAny:
            return run(PoolOctet<PoolRule::kAny>{packed, bytes, shape, coarse, factor, octets});
        case PoolRule::kHalf:
            return run(PoolOctet<PoolRule::kHalf>{packed, bytes, shape, coarse, factor, octets});
        case PoolRule::kCentre:
            return run(PoolOctet<PoolRule::kCentre>{packed, bytes, shape, coarse, factor, octets});
    }
}

template <typename Queue>
void upsample_nearest(Queue queue, const Word* packed, Word* upsampled, GridShape shape,
                      std::int64_t factor) {
    const GridShape fine = upsampled_shape(shape, factor);
    for_each(queue, "upsample_nearest", shape.lines(), fine.words(),
             UpsampleWord{packed, upsampled, shape, fine, factor});
}

template void pool(ThisQueue, const Word*, Word*, GridShape, std::int64_t, PoolRule);
template void upsample_nearest(ThisQueue, const Word*, Word*, GridShape, std::int64_t);

}  // namespace mvd::cuda
