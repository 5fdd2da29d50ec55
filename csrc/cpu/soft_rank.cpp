#include "mvd/soft_rank.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "mvd/line.hpp"
#include "mvd/parallel.hpp"
#include "mvd/resample.hpp"
#include "mvd/soft_block.hpp"

namespace mvd {

namespace {

using Key = SoftKey;

// Keeps the `wanted` highest keys of a block, ties by C order. chosen: (scale³); order: scratch.
void choose(const std::vector<Key>& keys, std::int64_t wanted, std::vector<Key>& order,
            std::vector<char>& chosen) {
    order = keys;
    const auto last = order.begin() + (wanted - 1);
    std::nth_element(order.begin(), last, order.end(), std::greater<>());
    const Key threshold = *last;
    std::int64_t ties =
        wanted - std::count_if(order.begin(), last, [&](Key key) { return key > threshold; });
    for (std::size_t i = 0; i < keys.size(); ++i) {
        chosen[i] = keys[i] > threshold || (keys[i] == threshold && ties-- > 0);
    }
}

// What is filled, and of what.
struct Job {
    const Coverage* coverage;  // (B, X, Y, Z)
    const Depth* levels;       // (B, count, 6, N, N)
    std::int64_t count;
    SoftScores scores;
    GridShape low;
    std::int64_t scale, voxels;  // of a coarse voxel: fine ones along its edge, and in all

    std::int64_t wanted(std::int64_t coarse) const { return covered(coverage[coarse], voxels); }
    GridShape one() const { return {1, low.x, low.y, low.z}; }
    std::int64_t slab() const {  // words of a coarse layer
        return scale * low.y * scale * words_per_line(low.z * scale);
    }
};

// What one round finds and leaves.
struct Round {
    const Word* before;  // (B, scale X, scale Y, W), what the round before left, or null: the first
    Word* fine;          // the same of the round before that; what this one leaves
    const std::uint8_t* moved;  // (B, X, Y, Z), where those two differ
    std::uint8_t* moves;        // the same of this round
};

// The scores that no round changes, of the coarse voxels that are neither full nor empty.
class LoneScores {
  public:
    LoneScores(const Job& job, std::int64_t most) : voxels_(job.voxels) {
        std::int64_t partial = 0;
        for (std::int64_t i = 0; i < job.low.voxels(); ++i) {
            if (i % (job.low.y * job.low.z) == 0) before_.push_back(partial);
            const std::int64_t wanted = job.wanted(i);
            partial += 0 < wanted && wanted < voxels_;
        }
        kept_ = std::min(partial, most / voxels_);
        scores_.reset(new Score[static_cast<std::size_t>(kept_ * voxels_)]);
    }

    // How many such voxels lie before a coarse layer, of all grids.
    std::int64_t before(std::int64_t layer) const {
        return before_[static_cast<std::size_t>(layer)];
    }

    // (voxels) scores of such a voxel, or null: they are not kept.
    Score* of(std::int64_t partial) const {
        return partial < kept_ ? scores_.get() + partial * voxels_ : nullptr;
    }

  private:
    std::int64_t voxels_, kept_;
    std::vector<std::int64_t> before_;  // (B X)
    std::unique_ptr<Score[]> scores_;   // (kept, voxels), not initialized
};

// Fills layers of one grid.
class Filler {
  public:
    Filler(const Job& job, const LoneScores& lone, Round round, std::int64_t grid)
        : job_(job),
          lone_(lone),
          round_(round),
          first_(grid * job.one().voxels()),
          lines_(grid * job.low.x * job.scale * job.low.y * job.scale),
          trilinear_(job.coverage + first_, job.one(), job.scale),
          levels_(job.levels + grid * job.count * kFaces * edge(job) * edge(job), job.count,
                  edge(job), job.scale),
          neighbours_(round.before ? round.before + lines_ * words() : nullptr,
                      upsampled_shape(job.one(), job.scale), job.scale),
          shares_(static_cast<std::size_t>(job.voxels)),
          kept_(shares_.size()),
          made_(shares_.size()),
          keys_(shares_.size()),
          order_(shares_.size()),
          chosen_(shares_.size()) {}

    // Coarse layer x of the grid.
    void layer(std::int64_t x) {
        std::int64_t partial = lone_.before(first_ / (job_.low.y * job_.low.z) + x);
        for (std::int64_t y = 0; y < job_.low.y; ++y) {
            for (std::int64_t z = 0; z < job_.low.z; ++z) {
                const std::int64_t coarse = index({x, y, z}), wanted = job_.wanted(coarse);
                if (wanted == 0) continue;
                const bool whole = wanted == job_.voxels;
                Score* lone = whole ? nullptr : lone_.of(partial++);
                // Where nothing moved, `fine` holds what this round would leave.
                round_.moves[coarse] = 0;
                if (round_.before && !moved_near({x, y, z})) continue;
                if (whole) {
                    std::fill(chosen_.begin(), chosen_.end(), char{1});
                } else {
                    make_keys({x, y, z}, lone);
                    choose(keys_, wanted, order_, chosen_);
                }
                round_.moves[coarse] = write({x, y, z});
            }
        }
    }

  private:
    static std::int64_t edge(const Job& job) { return job.scale * odm_edge(job.low); }
    std::int64_t words() const { return words_per_line(job_.low.z * job_.scale); }
    std::int64_t index(Block at) const {
        return first_ + (at.x * job_.low.y + at.y) * job_.low.z + at.z;
    }

    // Whether anything moved that the neighbours of a block's voxels may lie in.
    bool moved_near(Block at) const {
        const std::int64_t reach = (kReach + job_.scale - 1) / job_.scale;
        const auto from = [&](std::int64_t i) { return std::max<std::int64_t>(i - reach, 0); };
        const auto to = [&](std::int64_t i, std::int64_t n) { return std::min(i + reach + 1, n); };
        for (std::int64_t x = from(at.x); x < to(at.x, job_.low.x); ++x) {
            for (std::int64_t y = from(at.y); y < to(at.y, job_.low.y); ++y) {
                const std::uint8_t* line = round_.moved + index({x, y, 0});
                const std::uint8_t *begin = line + from(at.z), *end = line + to(at.z, job_.low.z);
                if (std::find(begin, end, 1) != end) return true;
            }
        }
        return false;
    }

    // lone: the block's scores, made in the first round; null: in every one.
    void make_keys(Block at, Score* lone) {
        Score* scores = lone ? lone : made_.data();
        if (!round_.before || !lone) {
            trilinear_.block(at, shares_.data());
            levels_.block(at, kept_.data());
            for (std::size_t i = 0; i < keys_.size(); ++i) {
                scores[i] = lone_score(job_.scores, shares_[i], kept_[i], job_.scale);
            }
        }
        if (!round_.before) {
            for (std::size_t i = 0; i < keys_.size(); ++i) {
                keys_[i] = soft_key(scores[i], shares_[i]);
            }
            return;
        }
        neighbours_.block(at, shares_.data());
        for (std::size_t i = 0; i < keys_.size(); ++i) {
            const Score more = neighbour_score(job_.scores, shares_[i]);
            keys_[i] = soft_key(scores[i] + more, shares_[i]);
        }
    }

    // Whether that differs from what the round before left.
    bool write(Block at) const {
        const std::int64_t s = job_.scale, z = at.z * s, bit = z % kWordBits;
        const Word mask = low_mask(s);
        const char* chosen = chosen_.data();
        Word differs = round_.before ? 0 : 1;
        for (std::int64_t i = 0; i < s; ++i) {
            for (std::int64_t j = 0; j < s; ++j) {
                Word bits = 0;
                for (std::int64_t k = 0; k < s; ++k) bits |= static_cast<Word>(*chosen++) << k;
                const std::int64_t line =
                    (lines_ + (at.x * s + i) * job_.low.y * s + at.y * s + j) * words();
                if (round_.before) {
                    differs |= (window(round_.before + line, words(), z) & mask) ^ bits;
                }
                Word* word = round_.fine + line + z / kWordBits;
                word[0] = (word[0] & ~(mask << bit)) | bits << bit;
                if (bit + s > kWordBits) {
                    const std::int64_t rest = kWordBits - bit;
                    word[1] = (word[1] & ~(mask >> rest)) | bits >> rest;
                }
            }
        }
        return differs != 0;
    }

    const Job& job_;
    const LoneScores& lone_;
    Round round_;
    std::int64_t first_, lines_;  // coarse voxels and fine lines of the grids before
    Trilinear trilinear_;
    Levels levels_;
    Neighbours neighbours_;
    std::vector<std::uint32_t> shares_;
    std::vector<std::int32_t> kept_;
    std::vector<Score> made_;
    std::vector<Key> keys_, order_;
    std::vector<char> chosen_;
};

void fill(const Job& job, const LoneScores& lone, Round round, int threads) {
    const std::int64_t layers = job.low.x;
    parallel_for(job.low.batch * layers, 1, threads, [&](std::int64_t begin, std::int64_t end) {
        while (begin < end) {
            const std::int64_t grid = begin / layers, stop = std::min(end, (grid + 1) * layers);
            Filler filler(job, lone, round, grid);
            for (; begin < stop; ++begin) filler.layer(begin - grid * layers);
        }
    });
}

}  // namespace

void soft_rank(const Coverage* coverage, const Depth* levels, std::int64_t count, SoftScores scores,
               int rounds, std::int64_t keep, Word* fine, GridShape low_shape, std::int64_t scale,
               int threads) {
    const Job job{coverage, levels, count, scores, low_shape, scale, scale * scale * scale};
    const LoneScores lone(job, rounds > 0 ? keep : 0);
    const std::int64_t words = low_shape.batch * low_shape.x * job.slab();
    std::vector<Word> other(static_cast<std::size_t>(rounds > 0 ? words : 0));
    std::fill(fine, fine + words, Word{0});
    std::vector<std::uint8_t> moved(static_cast<std::size_t>(low_shape.voxels())), moves = moved;
    const Word* before = nullptr;
    for (int left = rounds; left >= 0; --left) {
        Word* out = left % 2 ? other.data() : fine;  // the last one is `fine`
        fill(job, lone, {before, out, moved.data(), moves.data()}, threads);
        before = out;
        std::swap(moved, moves);
        // Where nothing moved both hold the same.
        if (std::find(moved.begin(), moved.end(), 1) == moved.end()) break;
    }
}

}  // namespace mvd
