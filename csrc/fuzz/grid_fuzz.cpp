// Grids of any bits through the operations of the core. Any number of threads gives the same
// result, and what holds for every grid holds.
#include <algorithm>

#include "fuzz/input.hpp"
#include "mvd/carve.hpp"
#include "mvd/metrics.hpp"
#include "mvd/morphology.hpp"
#include "mvd/odm.hpp"
#include "mvd/resample.hpp"
#include "mvd/smooth.hpp"
#include "mvd/surface.hpp"

namespace {

using namespace mvd;
using Grid = std::vector<Word>;

constexpr int kThreads = 3;

// The same grid by one thread and by several.
template <typename Operation>
Grid agreed(GridShape shape, const Operation& operation) {
    Grid one(fuzz::packed_size(shape), ~Word{0}), several(one);
    operation(one.data(), 1);
    operation(several.data(), kThreads);
    fuzz::require(one == several && fuzz::is_clean(one, shape));
    return one;
}

bool contains(const Grid& outer, const Grid& inner) {
    for (std::size_t i = 0; i < outer.size(); ++i) {
        if ((inner[i] & ~outer[i]) != 0) return false;
    }
    return true;
}

void check_surface(const Grid& grid, GridShape shape, bool smooth) {
    const VoxelSurface surface(grid.data(), shape, kThreads);
    std::vector<double> vertices(static_cast<std::size_t>(3 * surface.vertices()));
    std::vector<VertexIndex> faces(static_cast<std::size_t>(3 * surface.faces()));
    SurfaceOptions options;
    options.smooth = smooth;
    options.apart = 1.0 / 64;
    const GridPlace place{{0, 0, 0}, {1, 1, 1}};
    surface.write(place, options, vertices.data(), faces.data(), kThreads);
    for (const VertexIndex corner : faces) {
        fuzz::require(corner >= 0 && corner < surface.vertices());
    }
    const auto most = static_cast<double>(odm_edge(shape));
    for (const double coordinate : vertices) fuzz::require(coordinate >= 0 && coordinate <= most);
}

void check_views(const Grid& grid, GridShape shape, fuzz::Input& input) {
    const std::int64_t edge = odm_edge(shape);
    std::vector<Depth> odms(static_cast<std::size_t>(shape.batch * kFaces * edge * edge));
    std::vector<Depth> other(odms), smoothed(odms);
    extract_odms(grid.data(), odms.data(), shape, 1);
    extract_odms(grid.data(), other.data(), shape, kThreads);
    fuzz::require(odms == other);
    const Grid hull = agreed(
        shape, [&](Word* out, int threads) { project_odms(odms.data(), out, shape, 1, threads); });
    fuzz::require(contains(hull, grid));

    for (Depth& depth : other) depth = input.take<Depth>() % static_cast<Depth>(edge + 1);
    const auto window = static_cast<int>(2 * input.number(0, kMaxWindow / 2) + 1);
    const double threshold = static_cast<double>(input.number(1, 200)) / 8;
    smooth_odms(other.data(), smoothed.data(), shape.batch, edge, threshold, window, kThreads);
    for (const Depth depth : smoothed) fuzz::require(depth <= edge);
    const auto votes = static_cast<int>(input.number(1, kNoStructure));
    const Grid carved = agreed(shape, [&](Word* out, int threads) {
        carve(grid.data(), smoothed.data(), out, shape, 1, votes, threads);
    });
    fuzz::require(contains(grid, carved));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    const GridShape shape{input.number(1, 2), input.number(1, 24), input.number(1, 24),
                          input.number(1, 140)};
    const Grid grid = fuzz::take_grid(input, shape);
    check_views(grid, shape, input);

    const std::int64_t steps = input.number(1, 3), factor = input.number(1, 4);
    const Grid dilated = agreed(
        shape, [&](Word* out, int threads) { dilate(grid.data(), out, shape, steps, threads); });
    const Grid filled = agreed(
        shape, [&](Word* out, int threads) { fill_holes(grid.data(), out, shape, threads); });
    const Grid largest = agreed(
        shape, [&](Word* out, int threads) { keep_largest(grid.data(), out, shape, threads); });
    const Grid large = agreed(shape, [&](Word* out, int threads) {
        remove_small_parts(grid.data(), out, shape, factor, threads);
    });
    fuzz::require(contains(grid, large));
    fuzz::require(contains(dilated, grid) && contains(filled, grid) && contains(grid, largest));

    const GridShape fine = upsampled_shape(shape, factor);
    const Grid upsampled = agreed(fine, [&](Word* out, int threads) {
        upsample_nearest(grid.data(), out, shape, factor, threads);
    });
    for (const PoolRule rule : {PoolRule::kAny, PoolRule::kHalf, PoolRule::kCentre}) {
        const Grid pooled = agreed(shape, [&](Word* out, int threads) {
            pool(upsampled.data(), out, fine, factor, rule, threads);
        });
        fuzz::require(pooled == grid);
    }
    const Grid noise = fuzz::take_grid(input, fine);
    const Grid whole = agreed(fine, [&](Word* out, int threads) {
        std::copy(noise.begin(), noise.end(), out);
        remove_small_parts_within(out, grid.data(), shape, factor, 1 + steps, threads);
    });
    const Grid sure = agreed(fine, [&](Word* out, int threads) {
        remove_small_parts(noise.data(), out, fine, 1 + steps, threads);
    });
    fuzz::require(contains(noise, whole) && contains(whole, sure));
    std::vector<double> scores(static_cast<std::size_t>(shape.batch));
    iou(grid.data(), dilated.data(), scores.data(), shape, kThreads);
    for (const double score : scores) fuzz::require(score >= 0 && score <= 1);

    const GridShape single{1, shape.x, shape.y, shape.z};
    const Grid first(grid.begin(),
                     grid.begin() + static_cast<std::ptrdiff_t>(fuzz::packed_size(single)));
    check_surface(first, single, (size & 1U) != 0);
    return 0;
}
