// Connected parts by runs: the occupied runs along z are the nodes, two of them in neighbouring
// lines are joined where they overlap, and a union-find whose roots are the earliest runs says
// which belong together (through voxel faces: 6-connectivity).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "mvd/error.hpp"
#include "mvd/line.hpp"

namespace mvd {

using RunIndex = std::uint32_t;

struct Run {
    std::uint32_t begin, end;  // voxels of its line
};

// The runs of one grid, line after line, and which of them belong together.
class Parts {
  public:
    Parts(const Word* grid, GridShape shape) : shape_(shape) {
        starts_.reserve(static_cast<std::size_t>(shape.x * shape.y + 1));
        const std::int64_t w = shape.words();
        for (std::int64_t line = 0; line < shape.x * shape.y; ++line) {
            starts_.push_back(count());
            for_each_run(grid + line * w, w, [&](std::int64_t begin, std::int64_t end) {
                runs_.push_back(
                    {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
            });
            if (runs_.size() >= std::numeric_limits<RunIndex>::max()) {
                throw Error("connected parts: the grid has more runs than 32 bits count");
            }
        }
        starts_.push_back(count());
        parent_.resize(runs_.size());
        for (RunIndex i = 0; i < count(); ++i) parent_[i] = i;
    }

    void join_neighbours() {
        for (std::int64_t line = 0; line < shape_.x * shape_.y; ++line) {
            if (line % shape_.y > 0) join_lines(line, line - 1);
            if (line >= shape_.y) join_lines(line, line - shape_.y);
        }
    }

    // The root of the part with the most voxels, the first of equals. There is a run.
    RunIndex largest() {
        const std::vector<std::int64_t> voxels = sizes();
        return static_cast<RunIndex>(std::max_element(voxels.begin(), voxels.end()) -
                                     voxels.begin());
    }

    // Whether the part of each run has at least so many voxels.
    std::vector<bool> at_least(std::int64_t voxels) {
        const std::vector<std::int64_t> all = sizes();
        std::vector<bool> runs(runs_.size());
        for (RunIndex i = 0; i < count(); ++i) runs[i] = all[root(i)] >= voxels;
        return runs;
    }

    // How many parts there are: runs that are roots.
    std::int64_t parts() const {
        std::int64_t roots = 0;
        for (RunIndex i = 0; i < count(); ++i) roots += parent_[i] == i;
        return roots;
    }

    // grid: (X, Y, W), empty.
    void write(RunIndex part, Word* grid) {
        for_all([&](std::int64_t line, RunIndex i, Run run) {
            if (root(i) == part) set_range(grid + line * shape_.words(), run.begin, run.end);
        });
    }

    // Whether a run is connected to the outside: its part reaches the border of the grid.
    std::vector<bool> reach_border() {
        std::vector<bool> parts(runs_.size());
        for_all([&](std::int64_t line, RunIndex i, Run run) {
            const std::int64_t x = line / shape_.y, y = line % shape_.y;
            const bool rim = x == 0 || x == shape_.x - 1 || y == 0 || y == shape_.y - 1;
            if (rim || run.begin == 0 || run.end == shape_.z) parts[root(i)] = true;
        });
        for (RunIndex i = 0; i < count(); ++i) parts[i] = parts[root(i)];
        return parts;
    }

    // Calls visit(line, begin, end) for the runs for which wanted[run] is as said, in order.
    template <typename Visit>
    void for_each(const std::vector<bool>& runs, bool wanted, const Visit& visit) const {
        for_all([&](std::int64_t line, RunIndex i, Run run) {
            if (runs[i] == wanted) visit(line, run.begin, run.end);
        });
    }

    // Calls visit(line, index, run) for all runs, in order.
    template <typename Visit>
    void for_all(const Visit& visit) const {
        for (std::int64_t line = 0; line < shape_.x * shape_.y; ++line) {
            for (RunIndex i = start(line); i < start(line + 1); ++i) visit(line, i, runs_[i]);
        }
    }

    // Calls visit(root) for each run of a line that has a voxel in [begin, end).
    template <typename Visit>
    void for_parts_in(std::int64_t line, std::int64_t begin, std::int64_t end, const Visit& visit) {
        const auto first = runs_.begin() + start(line), last = runs_.begin() + start(line + 1);
        auto run = std::partition_point(first, last, [&](const Run& r) { return r.end <= begin; });
        for (; run != last && run->begin < end; ++run) {
            visit(root(static_cast<RunIndex>(run - runs_.begin())));
        }
    }

    // The root of the part that a run belongs to.
    RunIndex root(RunIndex i) {
        while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
        return i;
    }

    RunIndex count() const { return static_cast<RunIndex>(runs_.size()); }

  private:
    // Voxels of each part, at its root.
    std::vector<std::int64_t> sizes() {
        std::vector<std::int64_t> voxels(runs_.size());
        for (RunIndex i = 0; i < count(); ++i) voxels[root(i)] += runs_[i].end - runs_[i].begin;
        return voxels;
    }

    void join(RunIndex a, RunIndex b) {
        a = root(a);
        b = root(b);
        parent_[std::max(a, b)] = std::min(a, b);
    }

    RunIndex start(std::int64_t line) const { return starts_[static_cast<std::size_t>(line)]; }

    void join_lines(std::int64_t here, std::int64_t there) {
        RunIndex a = start(here), b = start(there);
        while (a < start(here + 1) && b < start(there + 1)) {
            if (runs_[a].begin < runs_[b].end && runs_[b].begin < runs_[a].end) join(a, b);
            if (runs_[a].end < runs_[b].end) {
                ++a;
            } else {
                ++b;
            }
        }
    }

    GridShape shape_;
    std::vector<RunIndex> starts_;  // (X * Y + 1) first run of each line
    std::vector<Run> runs_;
    std::vector<RunIndex> parent_;  // an earlier run of the same part, itself for the first
};

}  // namespace mvd
