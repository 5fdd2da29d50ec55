#include "mvd/bitgrid.hpp"

#include <algorithm>

#include "mvd/line.hpp"
#include "mvd/parallel.hpp"

namespace mvd {

namespace {

// Lines that are worth a thread of their own: this many words of work.
std::int64_t line_grain(GridShape shape) {
    return (1 << 14) / std::max<std::int64_t>(1, shape.words());
}

// Lines are consecutive in both arrays.
void unpack_lines(const Word* packed, std::uint8_t* dense, std::int64_t lines, std::int64_t z) {
    const std::int64_t w = words_per_line(z);
    for (std::int64_t line = 0; line < lines; ++line) {
        unpack_line(packed + line * w, dense + line * z, z);
    }
}

}  // namespace

void pack(const std::uint8_t* dense, Word* packed, GridShape shape, int threads) {
    const std::int64_t w = shape.words();
    parallel_for(shape.lines(), line_grain(shape), threads,
                 [&](std::int64_t begin, std::int64_t end) {
                     pack_lines(dense + begin * shape.z, packed + begin * w, end - begin, shape.z);
                 });
}

void unpack(const Word* packed, std::uint8_t* dense, GridShape shape, int threads) {
    const std::int64_t w = shape.words();
    parallel_for(
        shape.lines(), line_grain(shape), threads, [&](std::int64_t begin, std::int64_t end) {
            unpack_lines(packed + begin * w, dense + begin * shape.z, end - begin, shape.z);
        });
}

void mirror(const Word* packed, Word* mirrored, GridShape shape, int axis, int threads) {
    const std::int64_t w = shape.words();
    parallel_for(
        shape.lines(), line_grain(shape), threads, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t line = begin; line < end; ++line) {
                const std::int64_t y = line % shape.y;
                const std::int64_t x = line / shape.y % shape.x;
                const std::int64_t from = axis == 0   ? line + (shape.x - 1 - 2 * x) * shape.y
                                          : axis == 1 ? line + shape.y - 1 - 2 * y
                                                      : line;
                if (axis == 2) {
                    for (std::int64_t i = 0; i < w; ++i) {
                        mirrored[line * w + i] = reversed_word(packed + line * w, shape.z, i);
                    }
                } else {
                    std::copy_n(packed + from * w, w, mirrored + line * w);
                }
            }
        });
}

}  // namespace mvd
