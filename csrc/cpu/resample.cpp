// Pooling makes, of the factor² lines that a coarse line stands for, one line whose voxels
// k * factor say what coarse voxel k is, and gathers those. For `half` that takes counts of up to
// factor³: 64 of them at a time, a plane of bits for each power of two.
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

// A count for each voxel of a line, stored by bits: voxel z of plane j has weight 2^j.
class LineCounts {
  public:
    LineCounts(std::int64_t words, std::int64_t most) : words_(words) {
        while (most >> planes_) ++planes_;
        bits_.resize(static_cast<std::size_t>(planes_ * words));
    }

    void clear() { std::fill(bits_.begin(), bits_.end(), Word{0}); }

    // Adds 1 where `line` (W) is occupied.
    void add(const Word* line) {
        for (std::int64_t i = 0; i < words_; ++i) {
            Word carry = line[i];
            for (Word* bits = bits_.data() + i; carry; bits += words_) {
                const Word sum = *bits ^ carry;
                carry &= *bits;
                *bits = sum;
            }
        }
    }

    // Adds to the count of each voxel z that of voxel z + shift of `other`, perhaps itself.
    void add_shifted(const LineCounts& other, std::int64_t shift) {
        for (std::int64_t i = 0; i < words_; ++i) {
            Word carry = 0;
            for (std::int64_t j = 0; j < planes_; ++j) {
                Word& bits = bits_[static_cast<std::size_t>(j * words_ + i)];
                const Word more = other.shifted(j, i, shift);
                const Word odd = bits ^ more;
                const Word both = bits & more;
                bits = odd ^ carry;
                carry = both | (odd & carry);
            }
        }
    }

    // Occupies the voxels of `line` (W) whose count is at least `least`.
    void at_least(std::int64_t least, Word* line) const {
        for (std::int64_t i = 0; i < words_; ++i) {
            Word more = 0, equal = ~Word{0};
            for (std::int64_t j = planes_ - 1; j >= 0; --j) {
                const Word bits = bits_[static_cast<std::size_t>(j * words_ + i)];
                const bool one = (least >> j & 1) != 0;
                if (!one) more |= equal & bits;
                equal &= one ? bits : ~bits;
            }
            line[i] = more | equal;
        }
    }

  private:
    // Word i of plane j, moved down by `shift` voxels.
    Word shifted(std::int64_t j, std::int64_t i, std::int64_t shift) const {
        const std::int64_t from = i + shift / kWordBits, bit = shift % kWordBits;
        const auto word = [&](std::int64_t k) {
            return k < words_ ? bits_[static_cast<std::size_t>(j * words_ + k)] : 0;
        };
        return bit ? word(from) >> bit | word(from + 1) << (kWordBits - bit) : word(from);
    }

    std::int64_t words_, planes_ = 0;
    std::vector<Word> bits_;  // (planes, W)
};

// Makes coarse lines, one after the other; keeps its scratch memory from line to line.
class Pooling {
  public:
    Pooling(GridShape shape, std::int64_t factor)
        : z_(shape.z),
          words_(shape.words()),
          factor_(factor),
          line_(static_cast<std::size_t>(words_)),
          power_(words_, factor * factor * factor),
          window_(words_, factor * factor * factor) {}

    // out: the coarse line, empty.
    void any(const Bundle& bundle, Word* out) {
        std::fill(line_.begin(), line_.end(), Word{0});
        bundle.for_each_line([&](const Word* line) {
            for (std::int64_t i = 0; i < words_; ++i) line_[static_cast<std::size_t>(i)] |= line[i];
        });
        for_each_run(line_.data(), words_, [&](std::int64_t begin, std::int64_t end) {
            set_range(out, begin / factor_, (end - 1) / factor_ + 1);
        });
    }

    void half(const Bundle& bundle, Word* out) {
        power_.clear();
        bundle.for_each_line([&](const Word* line) { power_.add(line); });
        // Sums over windows of `factor` voxels, by its binary digits: `power_` sums over windows
        // of 1, 2, 4, … and `window_` lines them up.
        window_.clear();
        std::int64_t length = 0;
        for (std::int64_t digit = 1; digit <= factor_; digit *= 2) {
            if (factor_ & digit) {
                window_.add_shifted(power_, length);
                length += digit;
            }
            if (2 * digit <= factor_) power_.add_shifted(power_, digit);
        }
        window_.at_least((factor_ * factor_ * factor_ + 1) / 2, line_.data());
        gather_voxels(line_.data(), z_, 0, factor_, out);
    }

    void centre(const Bundle& bundle, Word* out) const {
        const std::int64_t x = bundle.x0 + factor_ / 2, y = bundle.y0 + factor_ / 2;
        if (x >= bundle.x1 || y >= bundle.y1) return;
        const Word* line = bundle.grid + (x * bundle.y_count + y) * words_;
        gather_voxels(line, z_, factor_ / 2, factor_, out);
    }

  private:
    std::int64_t z_, words_, factor_;
    std::vector<Word> line_;
    LineCounts power_, window_;
};

}  // namespace

void pool(const Word* packed, Word* pooled, GridShape shape, std::int64_t factor, PoolRule rule,
          int threads) {
    const GridShape coarse = pooled_shape(shape, factor);
    // Blocks that reach twice as far as the grid pool alike, and their cube cannot overflow.
    factor = std::min(factor, 2 * std::max({shape.x, shape.y, shape.z}));
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
                    pooling.half(bundle, out);
                    break;
                case PoolRule::kCentre:
                    pooling.centre(bundle, out);
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
            upsample_line(packed + line * w, w, factor, first);
            for (std::int64_t i = 0; i < factor; ++i) {
                for (std::int64_t j = i == 0 ? 1 : 0; j < factor; ++j) {
                    std::copy_n(first, fine_w, first + (i * fine.y + j) * fine_w);
                }
            }
        }
    });
}

}  // namespace mvd
