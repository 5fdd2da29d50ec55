// Carving word by word. Along an axis, detail keeps one interval of each line, so walking the grid
// along x and y the bit "kept" of a pixel flips at most twice: flips are scattered as single bits,
// one pixel at a time, and running XORs turn them into 64 voxels a word. No voxel is ever compared
// with a depth. Flips along x wait in the fine grid itself until their line is written.
#include "mvd/carve.hpp"

#include <cstring>
#include <vector>

#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kWordGrain = 1 << 14;  // words of fine grid worth a thread of its own

std::vector<Word> words_of(std::int64_t count) {
    return std::vector<Word>(static_cast<std::size_t>(count));
}

// Lines of one axis, seen as rows of 64 pixels a word: what the running XOR keeps at the current
// plane, and where faces see background.
struct View {
    std::vector<Word> kept, one, two;

    explicit View(std::int64_t words)
        : kept(words_of(words)), one(words_of(words)), two(words_of(words)) {}
};

// One row of pixels (Z) of the two faces of an axis.
struct Row {
    const Depth* pos;
    const Depth* neg;
    std::int64_t z, n;
};

// Planes [begin, end) of an axis: flips of plane p are `stride` words apart from those of p - 1.
struct Planes {
    Word* flips;
    std::int64_t stride, begin, end;

    void flip(std::int64_t plane, std::int64_t word, Word bit) const {
        if (plane > begin && plane < end) flips[(plane - begin) * stride + word] ^= bit;
    }
};

// Sets the state of a row at plane `begin`, words from `at` on in `view`, and scatters the flips of
// the planes after it.
void scatter(Row row, Planes planes, View& view, std::int64_t at) {
    for (std::int64_t i = 0; i * kWordBits < row.z; ++i) {
        Word kept = 0;
        BackgroundVotes<Word> votes{0, 0};
        const std::int64_t stop = std::min(row.z, (i + 1) * kWordBits);
        for (std::int64_t z = i * kWordBits; z < stop; ++z) {
            const Word bit = Word{1} << (z % kWordBits);
            const LineOpinion line = line_opinion(row.pos[z], row.neg[z], row.n);
            if (line.background == 1) votes.one |= bit;
            if (line.background == 2) votes.two |= bit;
            if (!line.keeps()) continue;
            if (line.first <= planes.begin && line.end > planes.begin) kept |= bit;
            planes.flip(line.first, i, bit);
            planes.flip(line.end, i, bit);
        }
        const auto word = static_cast<std::size_t>(at + i);
        view.kept[word] = kept;
        view.one[word] = votes.one;
        view.two[word] = votes.two;
    }
}

// One line along z: everything that bears on it, W words each.
struct Line {
    Word* fine;  // in: flips along x; out: the voxels left
    Word* x_kept;
    const Word* x_one;
    const Word* x_two;
    Word* y_flips;  // cleared for the next slab
    Word* y_kept;
    const Word* y_one;
    const Word* y_two;

    void next(std::int64_t words) {
        fine += words;
        x_kept += words;
        x_one += words;
        x_two += words;
        y_flips += words;
    }
};

// Four words at once, in whatever registers the clone of the function has.
typedef Word Words __attribute__((vector_size(32)));
typedef std::int64_t Counts __attribute__((vector_size(32)));
constexpr std::int64_t kLanes = sizeof(Words) / sizeof(Word);

template <typename V>
inline V load(const Word* from) {
    V words;
    std::memcpy(&words, from, sizeof words);
    return words;
}

template <typename V>
inline void store(Word* to, V words) {
    std::memcpy(to, &words, sizeof words);
}

// The words from i on of a line whose voxels [0, end) are occupied.
template <typename V>
inline V words_below(std::int64_t end, std::int64_t i) {
    if constexpr (sizeof(V) == sizeof(Word)) {
        return word_below(end, i);
    } else {
        const Counts bits = end - i * kWordBits - Counts{0, 1, 2, 3} * kWordBits;
        const Words partial = ~Words{} >> (Words)(-bits & (kWordBits - 1));
        return (Words)(bits > 0) & ((Words)(bits >= kWordBits) | partial);
    }
}

// What carving does to the word or words from i on of a line. start: the coarse line, upsampled;
// null when nothing is left. kVotes: how many the faces along x and y need between them.
// Everything down to carve_slab is inlined by force: a call would leave its clone.
template <int kVotes, typename V>
[[gnu::always_inline]] inline void carve_words(Line line, const Word* start, LineOpinion along_z,
                                               std::int64_t i) {
    const V x_kept = load<V>(line.x_kept + i) ^ load<V>(line.fine + i);
    const V y_kept = load<V>(line.y_kept + i) ^ load<V>(line.y_flips + i);
    store(line.x_kept + i, x_kept);
    store(line.y_kept + i, y_kept);
    store(line.y_flips + i, V{});
    if constexpr (kVotes == 0) {
        store(line.fine + i, V{});
    } else {
        const V along = words_below<V>(along_z.end, i) & ~words_below<V>(along_z.first, i);
        const BackgroundVotes<V> x{load<V>(line.x_one + i), load<V>(line.x_two + i)};
        const BackgroundVotes<V> y{load<V>(line.y_one + i), load<V>(line.y_two + i)};
        store(line.fine + i,
              load<V>(start + i) & along & x_kept & y_kept & ~outvoted<kVotes>(x, y));
    }
}

template <int kVotes>
[[gnu::always_inline]] inline void carve_line(Line line, const Word* start, LineOpinion along_z,
                                              std::int64_t words) {
    std::int64_t i = 0;
    for (; i + kLanes <= words; i += kLanes) carve_words<kVotes, Words>(line, start, along_z, i);
    for (; i < words; ++i) carve_words<kVotes, Word>(line, start, along_z, i);
}

[[gnu::always_inline]] inline void carve_line(Line line, const Word* start, LineOpinion along_z,
                                              std::int64_t words, int votes) {
    switch (start ? votes_needed(along_z, votes) : 0) {
        case 0:
            return carve_line<0>(line, start, along_z, words);
        case 1:
            return carve_line<1>(line, start, along_z, words);
        case 2:
            return carve_line<2>(line, start, along_z, words);
        case 3:
            return carve_line<3>(line, start, along_z, words);
        case 4:
            return carve_line<4>(line, start, along_z, words);
        default:
            return carve_line<5>(line, start, along_z, words);
    }
}

// The lines of one coarse x, each upsampled along z.
class CoarseRow {
  public:
    CoarseRow(GridShape low, std::int64_t scale)
        : low_(low),
          scale_(scale),
          words_(words_per_line(low.z * scale)),
          lines_(words_of(low.y * words_)),
          occupied_(static_cast<std::size_t>(low.y)) {}

    // row: (y, w).
    void load(const Word* row) {
        std::fill(lines_.begin(), lines_.end(), Word{0});
        for (std::int64_t y = 0; y < low_.y; ++y) {
            const Word* line = row + y * low_.words();
            occupied_[static_cast<std::size_t>(y)] = first_voxel(line, low_.words()) >= 0;
            upsample_line(line, low_.words(), scale_, lines_.data() + y * words_);
        }
    }

    std::int64_t lines() const { return low_.y; }

    // The fine line (W) under coarse line y, null when it is empty.
    const Word* line(std::int64_t y) const {
        return occupied_[static_cast<std::size_t>(y)] ? lines_.data() + y * words_ : nullptr;
    }

  private:
    GridShape low_;
    std::int64_t scale_, words_;
    std::vector<Word> lines_;  // (y, W)
    std::vector<char> occupied_;
};

struct Frame {
    std::int64_t words, n, scale;
    int votes;
};

// The lines of one slab of x, from its first on. z_pos, z_neg: (Y), its rows of the maps along z.
MVD_CLONES void carve_slab(Line line, const Depth* z_pos, const Depth* z_neg,
                           const CoarseRow& coarse, Frame frame) {
    for (std::int64_t y = 0; y < coarse.lines(); ++y) {
        const Word* start = coarse.line(y);
        for (std::int64_t i = 0; i < frame.scale; ++i) {
            const LineOpinion along_z = line_opinion(*z_pos++, *z_neg++, frame.n);
            carve_line(line, start, along_z, frame.words, frame.votes);
            line.next(frame.words);
        }
    }
}

// Slabs [begin, end) of x of one grid. low: (x, y, w); maps: (6, N, N); slabs: (end - begin, Y, W).
void carve_slabs(const Word* low, const Depth* maps, Word* slabs, GridShape low_shape,
                 std::int64_t scale, int votes, std::int64_t begin, std::int64_t end) {
    const GridShape shape{1, low_shape.x * scale, low_shape.y * scale, low_shape.z * scale};
    const std::int64_t n = odm_edge(shape), w = shape.words(), slab = shape.y * w;
    const auto row = [&](Face face, std::int64_t i) { return maps + (face * n + i) * n; };

    std::fill(slabs, slabs + (end - begin) * slab, Word{0});
    View x_view(slab), y_view(w);
    for (std::int64_t y = 0; y < shape.y; ++y) {
        scatter({row(kXPos, y), row(kXNeg, y), shape.z, n}, {slabs + y * w, slab, begin, end},
                x_view, y * w);
    }
    CoarseRow coarse(low_shape, scale);
    auto y_flips = words_of(slab);
    for (std::int64_t x = begin; x < end; ++x) {
        if (x == begin || x % scale == 0) {
            coarse.load(low + x / scale * low_shape.y * low_shape.words());
        }
        scatter({row(kYPos, x), row(kYNeg, x), shape.z, n}, {y_flips.data(), w, 0, shape.y}, y_view,
                0);
        carve_slab(
            {slabs + (x - begin) * slab, x_view.kept.data(), x_view.one.data(), x_view.two.data(),
             y_flips.data(), y_view.kept.data(), y_view.one.data(), y_view.two.data()},
            row(kZPos, x), row(kZNeg, x), coarse, {w, n, scale, votes});
    }
}

}  // namespace

void carve(const Word* low, const Depth* odms, Word* fine, GridShape low_shape, std::int64_t scale,
           int votes, int threads) {
    const std::int64_t slabs = low_shape.x * scale;
    const std::int64_t slab = low_shape.y * scale * words_per_line(low_shape.z * scale);
    const std::int64_t low_words = low_shape.x * low_shape.y * low_shape.words();
    const std::int64_t n = odm_edge(low_shape) * scale;
    const std::int64_t grain = kWordGrain / std::max<std::int64_t>(1, slab) + 1;
    parallel_for(
        low_shape.batch * slabs, grain, threads, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end;) {
                const std::int64_t b = i / slabs;
                const std::int64_t stop = std::min(end, (b + 1) * slabs);
                carve_slabs(low + b * low_words, odms + b * kFaces * n * n, fine + i * slab,
                            low_shape, scale, votes, i - b * slabs, stop - b * slabs);
                i = stop;
            }
        });
}

}  // namespace mvd
