#include <algorithm>
#include <vector>

#include "mvd/morphology.hpp"
#include "mvd/parallel.hpp"
#include "mvd/parts.hpp"
#include "mvd/resample.hpp"

namespace mvd {

void keep_largest(const Word* packed, Word* kept, GridShape shape, int threads) {
    const std::int64_t grid = shape.x * shape.y * shape.words();
    parallel_for(shape.batch, 1, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) {
            std::fill(kept + b * grid, kept + (b + 1) * grid, Word{0});
            Parts parts(packed + b * grid, shape);
            if (parts.count() == 0) continue;
            parts.join_neighbours();
            parts.write(parts.largest(), kept + b * grid);
        }
    });
}

void remove_small_parts(const Word* packed, Word* kept, GridShape shape, std::int64_t voxels,
                        int threads) {
    const std::int64_t grid = shape.x * shape.y * shape.words();
    parallel_for(shape.batch, 1, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) {
            Word* out = kept + b * grid;
            std::fill(out, out + grid, Word{0});
            Parts parts(packed + b * grid, shape);
            parts.join_neighbours();
            const auto write = [&](std::int64_t line, std::int64_t from, std::int64_t to) {
                set_range(out + line * shape.words(), from, to);
            };
            parts.for_each(parts.at_least(voxels), true, write);
        }
    });
}

void remove_small_parts_within(Word* packed, const Word* coarse, GridShape shape,
                               std::int64_t scale, std::int64_t voxels, int threads) {
    const GridShape fine = upsampled_shape(shape, scale);
    const std::int64_t coarse_grid = shape.x * shape.y * shape.words();
    const std::int64_t grid = fine.x * fine.y * fine.words();
    parallel_for(shape.batch, 1, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) {
            Parts parts(packed + b * grid, fine), whole(coarse + b * coarse_grid, shape);
            parts.join_neighbours();
            whole.join_neighbours();
            const auto part_of = [&](std::int64_t line, std::int64_t z) {
                const std::int64_t x = line / fine.y / scale, y = line % fine.y / scale;
                return whole.part_at(x * shape.y + y, z / scale);
            };
            std::vector<bool> keeps(whole.count() + 1);
            const std::vector<bool> large = parts.at_least(voxels);
            parts.for_each(large, true, [&](std::int64_t line, std::int64_t from, std::int64_t) {
                keeps[part_of(line, from)] = true;
            });
            keeps[whole.count()] = false;  // outside
            parts.for_each(large, false,
                           [&](std::int64_t line, std::int64_t from, std::int64_t to) {
                               if (!keeps[part_of(line, from)]) return;
                               clear_range(packed + b * grid + line * fine.words(), from, to);
                           });
        }
    });
}

void count_parts(const Word* packed, std::int64_t* counts, GridShape shape, int threads) {
    const std::int64_t grid = shape.x * shape.y * shape.words();
    parallel_for(shape.batch, 1, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) {
            Parts parts(packed + b * grid, shape);
            parts.join_neighbours();
            counts[b] = parts.parts();
        }
    });
}

}  // namespace mvd
