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

// Makes runs out of changes.
class RunWriter {
  public:
    explicit RunWriter(BinvoxTail tail) : end_(tail.length), value_(tail.value) {}

    // The value of the last voxel added.
    bool value() const { return value_; }

    // Makes room for the runs that `length` more voxels can add.
    void reserve(std::int64_t length) {
        const std::int64_t most = length + (end_ - begin_ + length) / kLongestRun + 1;
        const auto needed = static_cast<std::size_t>(count_ + most);
        if (needed > runs_.size()) runs_.resize(std::max(needed, 2 * runs_.size()));
    }

    void add_line(const Word* changes, std::int64_t length) {
        for (std::int64_t word = 0; word < words_per_line(length); ++word) {
            for (Word left = changes[word]; left; left &= left - 1) {
                change_at(end_ + word * kWordBits + lowest_set_bit(left));
            }
        }
        end_ += length;
    }

    void add_unchanged(std::int64_t length) { end_ += length; }

    // The run that goes on.
    BinvoxTail tail() const { return {value_, end_ - begin_}; }

    // Ends it.
    void finish() {
        reserve(0);
        write_run(end_ - begin_);
        begin_ = end_;
    }

    std::vector<BinvoxRun> take() {
        runs_.resize(static_cast<std::size_t>(count_));
        return std::move(runs_);
    }

  private:
    void change_at(std::int64_t at) {
        write_run(at - begin_);
        begin_ = at;
        value_ = !value_;
    }

    void write_run(std::int64_t length) {
        for (; length > kLongestRun; length -= kLongestRun) push(kLongestRun);
        if (length) push(length);
    }

    void push(std::int64_t length) {
        runs_[static_cast<std::size_t>(count_++)] = {static_cast<std::uint8_t>(value_),
                                                     static_cast<std::uint8_t>(length)};
    }

    std::vector<BinvoxRun> runs_;  // with room after the first count_
    std::int64_t count_ = 0;
    std::int64_t begin_ = 0;  // first voxel of the run that goes on
    std::int64_t end_;        // voxels added
    bool value_;
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

// Hands out the runs of a file, tile by tile.
class RunReader {
  public:
    RunReader(const BinvoxRun* runs, std::int64_t count, GridShape shape)
        : next_(runs), end_(runs + count), shape_(shape) {}

    // The value of the last voxel handed out.
    bool value() const { return value_; }

    // Marks the changes of the next tile in words that are all zero. Whether any.
    bool mark(Word* changes, Tile tile) {
        Word any = 0;
        parity_ = 0;
        for (; z_ < tile.depth; ++next_) {
            if (next_ == end_) throw_sum(done_ + z_ * tile.y + y_);
            const bool value = next_->value != 0;
            const Word change = static_cast<Word>(value != value_) << z_;
            changes[y_] ^= change;
            parity_ ^= change;
            any |= change;
            value_ = value;
            for (y_ += next_->count; y_ >= tile.y; y_ -= tile.y) ++z_;
        }
        z_ -= tile.depth;
        done_ += tile.voxels();
        return any != 0;
    }

    // Whether the line at each z of the tile has an odd number of changes.
    Word parity() const { return parity_; }

    void check_finished() const {
        std::int64_t surplus = z_ * shape_.y + y_;
        for (const BinvoxRun* run = next_; run != end_; ++run) surplus += run->count;
        if (surplus) throw_sum(shape_.voxels() + surplus);
    }

  private:
    [[noreturn]] void throw_sum(std::int64_t found) const {
        throw Error("runs: expected counts that add up to " + std::to_string(shape_.voxels()) +
                    " voxels, found " + std::to_string(found));
    }

    const BinvoxRun* next_;
    const BinvoxRun* end_;
    GridShape shape_;
    std::int64_t done_ = 0;       // voxels of the tiles handed out
    std::int64_t y_ = 0, z_ = 0;  // where the next run begins, in the tile after them
    Word parity_ = 0;
    bool value_ = false;
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

// The way back. changes: (Y) words along z, zero afterwards; parity: of the line at each z; words
// of the column without a voxel are not written.
void apply_changes(Word* changes, Word parity, Tile tile, bool before, Word* column) {
    // The values before y = 0 are those at the end of the line before.
    Word values = prefix_xor(parity) << 1 ^ (before ? ~Word{0} : Word{0});
    values &= low_mask(tile.depth);
    for (std::int64_t y = 0; y < tile.y; ++y) {
        values ^= changes[y];
        changes[y] = 0;
        if (values) column[y * tile.stride] = values;
    }
}

void fill_column(Word* column, Tile tile) {
    for (std::int64_t y = 0; y < tile.y; ++y) column[y * tile.stride] = low_mask(tile.depth);
}

}  // namespace

void binvox_decode(const BinvoxRun* runs, std::int64_t count, Word* packed, GridShape shape) {
    RunReader reader(runs, count, shape);
    std::vector<Word> changes(static_cast<std::size_t>(shape.y));
    for (std::int64_t x = 0; x < shape.x; ++x) {
        for (std::int64_t word = 0; word < shape.words(); ++word) {
            const Tile tile(shape, word);
            Word* column = packed + x * shape.y * shape.words() + word;
            const bool before = reader.value();
            if (reader.mark(changes.data(), tile)) {
                apply_changes(changes.data(), reader.parity(), tile, before, column);
            } else if (before) {
                fill_column(column, tile);
            }
        }
    }
    reader.check_finished();
}

std::vector<BinvoxRun> binvox_encode_part(const Word* packed, GridShape shape, BinvoxTail& tail) {
    RunWriter writer(tail);
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
            writer.reserve(tile.voxels());
            for (std::int64_t z = 0; z < tile.depth; ++z) {
                writer.add_line(lines.data() + z * line_words, shape.y);
            }
        }
    }
    tail = writer.tail();
    return writer.take();
}

std::vector<BinvoxRun> binvox_encode_tail(BinvoxTail tail) {
    RunWriter writer(tail);
    writer.finish();
    return writer.take();
}

std::vector<BinvoxRun> binvox_encode(const Word* packed, GridShape shape) {
    BinvoxTail tail;
    std::vector<BinvoxRun> runs = binvox_encode_part(packed, shape, tail);
    const std::vector<BinvoxRun> last = binvox_encode_tail(tail);
    runs.insert(runs.end(), last.begin(), last.end());
    return runs;
}

}  // namespace mvd
