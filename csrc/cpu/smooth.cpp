// The window of a pixel is walked neighbour by neighbour for 64 bytes of pixels at once, with sums
// of differences to the pixel itself held in registers. What must not count, background and what
// lies beyond the border, is given a depth that differs too much from any other.
#include "mvd/smooth.hpp"

#include <cstring>
#include <vector>

#include "mvd/parallel.hpp"
#include "mvd/simd.hpp"

namespace mvd {

namespace {

constexpr std::int64_t kStripRows = 32;  // rows of a map that are padded and smoothed together

struct Window {
    std::int64_t n;           // N, pixels along an edge and the depth of background
    std::int64_t radius;      // pixels on each side of the centre
    std::int64_t difference;  // the largest one that counts

    std::int64_t pixels() const { return (2 * radius + 1) * (2 * radius + 1); }
};

// Depths of a strip with `radius` more on every side, and room to read whole lanes at the end.
template <typename Lane>
class Strip {
  public:
    static constexpr std::int64_t kLanes = 64 / sizeof(Lane);

    explicit Strip(Window window)
        : window_(window),
          pitch_(window.n + 2 * window.radius + kLanes),
          depths_(static_cast<std::size_t>((kStripRows + 2 * window.radius) * pitch_)) {}

    // Copies rows [begin, end) of `map` (N, N) and their surroundings.
    void load(const Depth* map, std::int64_t begin, std::int64_t end) {
        const auto ignored = static_cast<Lane>(window_.n + window_.difference);
        std::fill(depths_.begin(), depths_.end(), ignored);
        const std::int64_t first = std::max<std::int64_t>(0, begin - window_.radius);
        const std::int64_t last = std::min(window_.n, end + window_.radius);
        for (std::int64_t row = first; row < last; ++row) {
            const Depth* from = map + row * window_.n;
            Lane* to = depths_.data() + (row - begin + window_.radius) * pitch_ + window_.radius;
            for (std::int64_t i = 0; i < window_.n; ++i) {
                to[i] = from[i] < window_.n ? static_cast<Lane>(from[i]) : ignored;
            }
        }
    }

    // Depths from `radius` rows above and `radius` pixels left of the first pixel of a row on.
    const Lane* window_of(std::int64_t row) const { return depths_.data() + row * pitch_; }
    std::int64_t pitch() const { return pitch_; }

  private:
    Window window_;
    std::int64_t pitch_;
    std::vector<Lane> depths_;
};

// One row of N pixels. corner: the first pixel's window in a strip, `pitch` lanes a row.
template <typename Lane, typename Signed>
[[gnu::always_inline]] inline void smooth_row(const Lane* corner, std::int64_t pitch,
                                              const Depth* in, Depth* out, Window window) {
    constexpr std::int64_t kLanes = Strip<Lane>::kLanes;
    typedef Lane Lanes __attribute__((vector_size(64)));
    const auto reach = static_cast<Lane>(window.difference);
    const auto span = static_cast<Lane>(2 * window.difference);
    const std::int64_t edge = 2 * window.radius + 1;

    for (std::int64_t x = 0; x < window.n; x += kLanes) {
        const std::int64_t width = std::min(kLanes, window.n - x);
        bool any = false;
        for (std::int64_t i = 0; i < width; ++i) any |= in[x + i] < window.n;
        if (!any) {
            std::copy_n(in + x, width, out + x);
            continue;
        }
        Lanes centre, sum{}, count{};
        const Lane* first = corner + x;
        std::memcpy(&centre, first + window.radius * pitch + window.radius, sizeof centre);
        const Lanes low = centre - reach;
        for (std::int64_t dy = 0; dy < edge; ++dy) {
            for (std::int64_t dx = 0; dx < edge; ++dx) {
                Lanes depth;
                std::memcpy(&depth, first + dy * pitch + dx, sizeof depth);
                const Lanes counts = (Lanes)(depth - low <= span);  // all bits, or none
                sum += (depth - centre) & counts;
                count -= counts;
            }
        }
        Lane sums[kLanes], counts[kLanes];
        std::memcpy(sums, &sum, sizeof sum);
        std::memcpy(counts, &count, sizeof count);
        for (std::int64_t i = 0; i < width; ++i) {
            const std::int32_t depth = in[x + i];
            const auto many = static_cast<std::int32_t>(counts[i]);
            const auto total = depth * many + static_cast<Signed>(sums[i]);
            out[x + i] = depth < window.n ? rounded_mean(total, many) : in[x + i];
        }
    }
}

// Rows [begin, end) of one map (N, N).
template <typename Lane, typename Signed>
[[gnu::always_inline]] inline void smooth_rows(const Depth* map, Depth* out, std::int64_t begin,
                                               std::int64_t end, Strip<Lane>& strip,
                                               Window window) {
    strip.load(map, begin, end);
    for (std::int64_t row = begin; row < end; ++row) {
        smooth_row<Lane, Signed>(strip.window_of(row - begin), strip.pitch(), map + row * window.n,
                                 out + row * window.n, window);
    }
}

MVD_CLONES void smooth_strip(const Depth* map, Depth* out, std::int64_t begin, std::int64_t end,
                             Strip<std::uint16_t>& strip, Window window) {
    smooth_rows<std::uint16_t, std::int16_t>(map, out, begin, end, strip, window);
}

MVD_CLONES void smooth_strip(const Depth* map, Depth* out, std::int64_t begin, std::int64_t end,
                             Strip<std::uint32_t>& strip, Window window) {
    smooth_rows<std::uint32_t, std::int32_t>(map, out, begin, end, strip, window);
}

template <typename Lane>
void smooth_maps(const Depth* odms, Depth* smoothed, std::int64_t maps, Window window,
                 int threads) {
    const std::int64_t strips = (window.n + kStripRows - 1) / kStripRows;
    parallel_for(maps * strips, 1, threads, [&](std::int64_t begin, std::int64_t end) {
        Strip<Lane> strip(window);
        for (std::int64_t i = begin; i < end; ++i) {
            const std::int64_t map = i / strips * window.n * window.n;
            const std::int64_t row = i % strips * kStripRows;
            smooth_strip(odms + map, smoothed + map, row, std::min(window.n, row + kStripRows),
                         strip, window);
        }
    });
}

}  // namespace

void smooth_odms(const Depth* odms, Depth* smoothed, std::int64_t batch, std::int64_t n,
                 double threshold, int window_edge, int threads) {
    const Window window{n, window_edge / 2, largest_difference(threshold, n)};
    // Sums of differences, and depths that are ignored, must fit a lane.
    const bool narrow = (window.pixels() - 1) * window.difference <= INT16_MAX &&
                        n + 2 * window.difference <= UINT16_MAX;
    const std::int64_t maps = batch * kFaces;
    if (narrow) {
        smooth_maps<std::uint16_t>(odms, smoothed, maps, window, threads);
    } else {
        smooth_maps<std::uint32_t>(odms, smoothed, maps, window, threads);
    }
}

}  // namespace mvd
