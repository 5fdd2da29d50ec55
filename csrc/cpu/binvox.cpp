#include "mvd/binvox.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "mvd/error.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kLongestRun = 255;

// Swaps the upper `Span` bits of each row with the lower ones of the row `Span` below, inside
// every 2 * Span square: one of the six steps that turn a 64 x 64 block over its diagonal
// (Warren, Hacker's Delight, 7-3).
template <int Span>
inline void swap_squares(Word* rows) {
    constexpr Word kLower = ~Word{0} / ((Word{1} << Span) + 1);
    for (int top = 0; top < kWordBits; top += 2 * Span) {
        for (int i = top; i < top + Span; ++i) {
            const Word moved = ((rows[i] >> Span) ^ rows[i + Span]) & kLower;
            rows[i] ^= moved << Span;
            rows[i + Span] ^= moved;
        }
    }
}

// rows: 64 words; afterwards bit c of row r is what bit r of row c was.
inline void transpose_block(Word* rows) {
    swap_squares<32>(rows);
    swap_squares<16>(rows);
    swap_squares<8>(rows);
    swap_squares<4>(rows);
    swap_squares<2>(rows);
    swap_squares<1>(rows);
}

inline int lowest_set_bit(Word word) { return __builtin_ctzll(word); }

// Bit i is the exclusive or of bits 0 to i: from changes to values.
inline Word prefix_xor(Word word) {
    for (int shift = 1; shift < kWordBits; shift *= 2) word ^= word << shift;
    return word;
}

// The 64 bits that start at bit `at`; reads one word more than they lie in.
inline Word bits_at(const Word* bits, std::int64_t at) {
    const std::int64_t shift = at % kWordBits;
    const Word* word = bits + at / kWordBits;
    return word[0] >> shift | word[1] << 1 << (kWordBits - 1 - shift);
}

// Hands out the runs of a file, tile by tile.
class RunReader {
  public:
    RunReader(const BinvoxRun* runs, std::int64_t count, std::int64_t voxels)
        : next_(runs), end_(runs + count), voxels_(voxels) {}

    // The value of the last voxel handed out.
    bool value() const { return value_; }

    // Marks the changes among the next `length` voxels in bits that are all zero. Whether any.
    bool mark(Word* changes, std::int64_t length) {
        Word any = 0;
        std::int64_t at = ahead_;
        for (; at < length; ++next_) {
            if (next_ == end_) throw_sum(done_ + at);
            const bool value = next_->value != 0;
            const Word change = value != value_;
            changes[at / kWordBits] ^= change << (at % kWordBits);
            any |= change;
            value_ = value;
            at += next_->count;
        }
        ahead_ = at - length;
        done_ += length;
        return any != 0;
    }

    void check_finished() const {
        std::int64_t surplus = ahead_;
        for (const BinvoxRun* run = next_; run != end_; ++run) surplus += run->count;
        if (surplus) throw_sum(voxels_ + surplus);
    }

  private:
    [[noreturn]] void throw_sum(std::int64_t found) const {
        throw Error("runs: expected counts that add up to " + std::to_string(voxels_) +
                    " voxels, found " + std::to_string(found));
    }

    const BinvoxRun* next_;
    const BinvoxRun* end_;
    std::int64_t voxels_;
    std::int64_t done_ = 0;   // voxels handed out
    std::int64_t ahead_ = 0;  // voxels of the last run that are not
    bool value_ = false;
};

// Makes runs out of changes.
class RunWriter {
  public:
    // The value of the last voxel added.
    bool value() const { return value_; }

    void add_line(const Word* changes, std::int64_t length) {
        for (std::int64_t word = 0; word < words_per_line(length); ++word) {
            for (Word left = changes[word]; left; left &= left - 1) {
                change_at(end_ + word * kWordBits + lowest_set_bit(left));
            }
        }
        end_ += length;
    }

    void add_unchanged(std::int64_t length) { end_ += length; }

    std::vector<BinvoxRun> finish() {
        write_run(end_ - begin_);
        return std::move(runs_);
    }

  private:
    void change_at(std::int64_t at) {
        write_run(at - begin_);
        begin_ = at;
        value_ = !value_;
    }

    void write_run(std::int64_t count) {
        for (; count > kLongestRun; count -= kLongestRun) push(kLongestRun);
        if (count) push(count);
    }

    void push(std::int64_t count) {
        runs_.push_back({static_cast<std::uint8_t>(value_), static_cast<std::uint8_t>(count)});
    }

    std::vector<BinvoxRun> runs_;
    std::int64_t begin_ = 0;  // first voxel of the run that goes on
    std::int64_t end_ = 0;    // voxels added
    bool value_ = false;
};

// The words of one x and one index along z: `depth` voxels of z for each of Y, and in file order
// `depth` lines of Y voxels.
struct Tile {
    std::int64_t y, stride, depth;

    Tile(GridShape shape, std::int64_t word)
        : y(shape.y),
          stride(shape.words()),
          depth(std::min(kWordBits, shape.z - word * kWordBits)) {}

    std::int64_t voxels() const { return depth * y; }
    std::int64_t width(std::int64_t block) const { return std::min(kWordBits, y - block); }
};

// column: the tile's first word; lines: (64, ceil(Y / 64)) changes along y, one line a voxel of z,
// written if there is any; `before`: the voxel that precedes the tile in the file.
bool find_changes(const Word* column, Tile tile, bool before, std::vector<Word>& lines) {
    const std::int64_t line_words = words_per_line(tile.y);
    // A line begins where the one before it, a bit lower, ends.
    Word previous = column[(tile.y - 1) * tile.stride] << 1 | static_cast<Word>(before);
    previous &= low_mask(tile.depth);
    bool found = false;
    for (std::int64_t block = 0; block < tile.y; block += kWordBits) {
        Word rows[kWordBits] = {};
        Word any = 0;
        for (std::int64_t i = 0; i < tile.width(block); ++i) {
            const Word word = column[(block + i) * tile.stride];
            any |= rows[i] = word ^ previous;
            previous = word;
        }
        if (!any) continue;
        if (!found) std::fill(lines.begin(), lines.end(), Word{0});
        found = true;
        transpose_block(rows);
        for (std::int64_t z = 0; z < tile.depth; ++z) {
            lines[static_cast<std::size_t>(z * line_words + block / kWordBits)] = rows[z];
        }
    }
    return found;
}

// The way back. changes: those of the tile in file order, one bit a voxel; turned: (Y rounded up to
// 64) scratch; words of the column without a voxel are not written.
void apply_changes(const Word* changes, Tile tile, bool before, std::vector<Word>& turned,
                   Word* column) {
    Word parity = 0;  // whether the line of each z holds an odd number of changes
    for (std::int64_t block = 0; block < tile.y; block += kWordBits) {
        Word* rows = turned.data() + block;
        Word any = 0;
        for (std::int64_t z = 0; z < tile.depth; ++z) {
            any |= rows[z] = bits_at(changes, z * tile.y + block);
        }
        std::fill(rows + tile.depth, rows + kWordBits, Word{0});
        if (any) transpose_block(rows);
        for (std::int64_t i = 0; i < tile.width(block); ++i) parity ^= rows[i];
    }
    // The values before y = 0: those at the end of the lines before.
    Word values = prefix_xor(parity) << 1 ^ (before ? ~Word{0} : Word{0});
    values &= low_mask(tile.depth);
    for (std::int64_t y = 0; y < tile.y; ++y) {
        values ^= turned[static_cast<std::size_t>(y)];
        if (values) column[y * tile.stride] = values;
    }
}

void fill_column(Word* column, Tile tile) {
    for (std::int64_t y = 0; y < tile.y; ++y) column[y * tile.stride] = low_mask(tile.depth);
}

}  // namespace

void binvox_decode(const BinvoxRun* runs, std::int64_t count, Word* packed, GridShape shape) {
    RunReader reader(runs, count, shape.voxels());
    const std::int64_t deepest = std::min(kWordBits, shape.z);
    std::vector<Word> changes(static_cast<std::size_t>(words_per_line(deepest * shape.y) + 1));
    std::vector<Word> turned(static_cast<std::size_t>(words_per_line(shape.y) * kWordBits));
    for (std::int64_t x = 0; x < shape.x; ++x) {
        for (std::int64_t word = 0; word < shape.words(); ++word) {
            const Tile tile(shape, word);
            Word* column = packed + x * shape.y * shape.words() + word;
            const bool before = reader.value();
            if (reader.mark(changes.data(), tile.voxels())) {
                apply_changes(changes.data(), tile, before, turned, column);
                std::fill(changes.begin(), changes.end(), Word{0});
            } else if (before) {
                fill_column(column, tile);
            }
        }
    }
    reader.check_finished();
}

std::vector<BinvoxRun> binvox_encode(const Word* packed, GridShape shape) {
    RunWriter writer;
    const std::int64_t line_words = words_per_line(shape.y);
    std::vector<Word> lines(static_cast<std::size_t>(std::min(kWordBits, shape.z) * line_words));
    for (std::int64_t x = 0; x < shape.x; ++x) {
        for (std::int64_t word = 0; word < shape.words(); ++word) {
            const Tile tile(shape, word);
            const Word* column = packed + x * shape.y * shape.words() + word;
            if (!find_changes(column, tile, writer.value(), lines)) {
                writer.add_unchanged(tile.voxels());
                continue;
            }
            for (std::int64_t z = 0; z < tile.depth; ++z) {
                writer.add_line(lines.data() + z * line_words, shape.y);
            }
        }
    }
    return writer.finish();
}

}  // namespace mvd
