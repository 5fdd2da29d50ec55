// Meshes of any numbers: not finite, huge, of no area, with vertices that do not exist. Any number
// of threads gives the same grid.
#include "fuzz/input.hpp"
#include "mvd/voxelize.hpp"

namespace {

// A coordinate near the grid, or any bits at all.
double take_coordinate(mvd::fuzz::Input& input) {
    const auto kind = input.take<std::uint8_t>();
    if (kind < 16) return input.take<double>();
    if (kind < 128) return static_cast<double>(input.take<std::int8_t>()) / 2;
    return static_cast<double>(input.take<std::int16_t>()) / 256;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace mvd;
    fuzz::Input input(data, size);
    const GridShape shape{1, input.number(0, 40), input.number(0, 40), input.number(0, 140)};
    std::vector<double> vertices(static_cast<std::size_t>(3 * input.number(0, 30)));
    for (double& coordinate : vertices) coordinate = take_coordinate(input);
    const auto vertex_count = static_cast<std::int64_t>(vertices.size() / 3);
    std::vector<std::int64_t> faces(static_cast<std::size_t>(3 * input.number(0, 60)));
    for (std::int64_t& corner : faces) {
        const auto kind = input.take<std::uint8_t>();
        corner = kind == 0 ? input.take<std::int64_t>() : kind % (vertex_count + 1);
    }
    const auto face_count = static_cast<std::int64_t>(faces.size() / 3);
    const auto fresh = [&] { return std::vector<Word>(fuzz::packed_size(shape), ~Word{0}); };
    std::vector<Word> one = fresh(), several = fresh();

    const auto counts = voxelize_surface(vertices.data(), vertex_count, faces.data(), face_count,
                                         one.data(), shape, 1);
    fuzz::require(counts.bad >= 0 && counts.bad + counts.degenerate <= face_count);
    voxelize_surface(vertices.data(), vertex_count, faces.data(), face_count, several.data(), shape,
                     3);
    fuzz::require(one == several && fuzz::is_clean(one, shape));

    const std::int64_t disputed = voxelize_centres(vertices.data(), vertex_count, faces.data(),
                                                   face_count, one.data(), shape, 1);
    fuzz::require(disputed >= 0 && disputed <= shape.voxels());
    fuzz::require(disputed == voxelize_centres(vertices.data(), vertex_count, faces.data(),
                                               face_count, several.data(), shape, 3));
    fuzz::require(one == several && fuzz::is_clean(one, shape));
    return 0;
}
