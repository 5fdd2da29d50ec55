// Extracting depth maps, twin of csrc/cpu/odm_extract.cpp. Along z the depths are the first and the
// last set bit of a line. Along y and x a pixel looks through a stack of planes: a thread walks
// through a segment of the stack with 64 pixels a word and holds, digit by digit, the number of the
// first and of the last plane that each of them meets; then the segments are put together.
#include "cuda/launch.hpp"
#include "mvd/line.hpp"
#include "mvd/odm.hpp"

namespace mvd::cuda {

namespace {

struct FillDepth {
    Depth* odms;
    std::int64_t row_length;
    Depth depth;

    MVD_HD void operator()(std::int64_t row, std::int64_t i) const {
        odms[row * row_length + i] = depth;
    }
};

// The two z faces of one line. Rows are slabs of x over the batch, columns y.
struct ViewZ {
    const Word* packed;
    Depth* odms;
    GridShape shape;
    std::int64_t n;

    MVD_HD void operator()(std::int64_t slab, std::int64_t y) const {
        const std::int64_t w = shape.words();
        const Word* line = packed + (slab * shape.y + y) * w;
        const std::int64_t first = first_voxel(line, w);
        const std::int64_t last = first < 0 ? -1 : last_voxel(line, w);
        Depth* maps = odms + slab / shape.x * kFaces * n * n + slab % shape.x * n + y;
        maps[kZPos * n * n] = static_cast<Depth>(first < 0 ? n : first);
        maps[kZNeg * n * n] = static_cast<Depth>(first < 0 ? n : n - 1 - last);
    }
};

// A word of 64 pixels is a column of `planes` words, `stride` apart; the columns of a stack come
// before those of the next.
struct Stacks {
    const Word* packed;
    std::int64_t count, planes, stride;

    constexpr std::int64_t columns() const { return count * stride; }

    MVD_HD const Word* column(std::int64_t i) const {
        return packed + i / stride * planes * stride + i % stride;
    }
};

constexpr int kColumns = 32, kSegments = kBlockThreads / kColumns;
constexpr int kDigits = 6;  // of a plane's number in its segment

// The faces along y or x, of kColumns columns.
struct ViewPlanes {
    Stacks stacks;
    Depth* near;           // map of the face that starts at the first plane, of the first grid
    Depth* far;            // the same of the face that starts at the last plane
    std::int64_t rows;     // of a map
    std::int64_t words;    // of a row
    std::int64_t z;        // pixels of a row
    std::int64_t n;        // N
    std::int64_t segment;  // planes of a segment, at most 2^kDigits

    struct Shared {
        // Of each word of each segment: which pixels meet something, and where.
        Word any[kSegments][kColumns];
        Word first[kDigits][kSegments][kColumns], last[kDigits][kSegments][kColumns];
        // Of each pixel, as a plane's number + 1; 0 where nothing is met.
        Depth nearest[kColumns * kWordBits], farthest[kColumns * kWordBits];
    };

    MVD_HD void operator()(const Block& block, Shared& shared) const {
        const std::int64_t begin = block.index * kColumns;
        constexpr int kPixels = kColumns * static_cast<int>(kWordBits);
        block.each([&](int thread) {
            for (int pixel = thread; pixel < kPixels; pixel += kBlockThreads) {
                shared.nearest[pixel] = shared.farthest[pixel] = 0;
            }
        });
        for (std::int64_t plane = 0; plane < stacks.planes; plane += kSegments * segment) {
            block.each([&](int thread) {
                const int column = thread % kColumns, s = thread / kColumns;
                walk(begin + column, plane + s * segment, column, s, shared);
            });
            block.each([&](int thread) {
                for (int pixel = thread; pixel < kPixels; pixel += kBlockThreads) {
                    put_together(pixel, plane, shared);
                }
            });
        }
        block.each([&](int thread) {
            for (int pixel = thread; pixel < kPixels; pixel += kBlockThreads) {
                write(begin, pixel, shared);
            }
        });
    }

  private:
    // What a column meets in the planes of segment s, from `plane` on.
    MVD_HD void walk(std::int64_t column, std::int64_t plane, int c, int s, Shared& shared) const {
        Word any = 0, first[kDigits] = {}, last[kDigits] = {};
        std::int64_t left = column < stacks.columns() ? stacks.planes - plane : 0;
        if (left > segment) left = segment;
        const Word* word = left > 0 ? stacks.column(column) + plane * stacks.stride : nullptr;
        for (std::int64_t i = 0; i < left; i += kAhead) {
            Word here[kAhead];  // read together, before the first is used
            for (int j = 0; j < kAhead; ++j) here[j] = i + j < left ? word[j * stacks.stride] : 0;
            word += kAhead * stacks.stride;
            for (int j = 0; j < kAhead; ++j) {
                const Word fresh = here[j] & ~any;
                any |= here[j];
                for (int k = 0; k < kDigits; ++k) {
                    // The lower digits of i are 0, so that they are those of j: constants.
                    const std::int64_t place = k < kAheadDigits ? j : i;
                    const Word digit = Word{0} - static_cast<Word>(place >> k & 1);
                    first[k] |= fresh & digit;
                    last[k] = (last[k] & ~here[j]) | (here[j] & digit);
                }
            }
        }
        shared.any[s][c] = any;
        for (int k = 0; k < kDigits; ++k) {
            shared.first[k][s][c] = first[k];
            shared.last[k][s][c] = last[k];
        }
    }

    // What a pixel meets in the segments from `plane` on.
    MVD_HD void put_together(int pixel, std::int64_t plane, Shared& shared) const {
        const int c = pixel / static_cast<int>(kWordBits),
                  bit = pixel % static_cast<int>(kWordBits);
        int first = -1, last = -1;
        for (int s = 0; s < kSegments; ++s) {
            if ((shared.any[s][c] >> bit & 1) == 0) continue;
            if (first < 0) first = s;
            last = s;
        }
        if (first < 0) return;
        std::int64_t first_place = 0, last_place = 0;
        for (int k = 0; k < kDigits; ++k) {
            first_place |= static_cast<std::int64_t>(shared.first[k][first][c] >> bit & 1) << k;
            last_place |= static_cast<std::int64_t>(shared.last[k][last][c] >> bit & 1) << k;
        }
        if (shared.nearest[pixel] == 0) {
            shared.nearest[pixel] = static_cast<Depth>(plane + first * segment + first_place + 1);
        }
        shared.farthest[pixel] = static_cast<Depth>(plane + last * segment + last_place + 1);
    }

    MVD_HD void write(std::int64_t begin, int pixel, const Shared& shared) const {
        const std::int64_t column = begin + pixel / kWordBits;
        const std::int64_t place = column % words * kWordBits + pixel % kWordBits;
        if (column >= stacks.columns() || place >= z) return;
        const std::int64_t row = column / words;  // over the batch
        const std::int64_t at = row / rows * kFaces * n * n + row % rows * n + place;
        const Depth first = shared.nearest[pixel], last = shared.farthest[pixel];
        near[at] = static_cast<Depth>(first ? first - 1 : n);
        far[at] = static_cast<Depth>(last ? n - last : n);
    }

    static constexpr int kAheadDigits = 3, kAhead = 1 << kAheadDigits;
};

template <typename Queue>
void view_planes(Queue queue, Stacks stacks, Depth* odms, Face pos, Face neg, std::int64_t rows,
                 GridShape shape) {
    const std::int64_t n = odm_edge(shape);
    const std::int64_t most = std::int64_t{1} << kDigits;
    const std::int64_t segment = std::min(most, ceil_div(stacks.planes, kSegments));
    for_each_block(queue, "extract_odms", ceil_div(stacks.columns(), kColumns),
                   ViewPlanes{stacks, odms + pos * n * n, odms + neg * n * n, rows, shape.words(),
                              shape.z, n, segment});
}

}  // namespace

template <typename Queue>
void extract_odms(Queue queue, const Word* packed, Depth* odms, GridShape shape) {
    const std::int64_t n = odm_edge(shape), w = shape.words();
    if (shape.x != n || shape.y != n || shape.z != n) {
        for_each(queue, "extract_odms", shape.batch * kFaces * n, n,
                 FillDepth{odms, n, static_cast<Depth>(n)});
    }
    for_each(queue, "extract_odms", shape.batch * shape.x, shape.y, ViewZ{packed, odms, shape, n});
    const Stacks along_y{packed, shape.batch * shape.x, shape.y, w};
    const Stacks along_x{packed, shape.batch, shape.x, shape.y * w};
    view_planes(queue, along_y, odms, kYPos, kYNeg, shape.x, shape);
    view_planes(queue, along_x, odms, kXPos, kXNeg, shape.y, shape);
}

template void extract_odms(ThisQueue, const Word*, Depth*, GridShape);

}  // namespace mvd::cuda
