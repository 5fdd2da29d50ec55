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
            // Calls visit(root) for the parts of the coarse grid that a run of the fine one is in.
            const auto for_parts_of = [&](std::int64_t line, Run run, const auto& visit) {
                const std::int64_t x = line / fine.y / scale, y = line % fine.y / scale;
                const std::int64_t last = (static_cast<std::int64_t>(run.end) - 1) / scale;
                whole.for_parts_in(x * shape.y + y, run.begin / scale, last + 1, visit);
            };
            const std::vector<bool> large = parts.at_least(voxels);
            std::vector<bool> keeps(whole.count());  // at the roots of the coarse grid
            parts.for_all([&](std::int64_t line, RunIndex i, Run run) {
                if (large[i]) for_parts_of(line, run, [&](RunIndex part) { keeps[part] = true; });
            });
            std::vector<bool> alone(parts.count()), near(parts.count());  // at the roots
            parts.for_all([&](std::int64_t line, RunIndex i, Run run) {
                if (large[i]) return;
                for_parts_of(line, run, [&](RunIndex part) {
                    (keeps[part] ? near : alone)[parts.root(i)] = true;
                });
            });
            parts.for_all([&](std::int64_t line, RunIndex i, Run run) {
                const RunIndex root = parts.root(i);
                if (large[i] || (alone[root] && !near[root])) return;
                clear_range(packed + b * grid + line * fine.words(), run.begin, run.end);
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
