// Adaptive mean of depth maps: each silhouette pixel becomes the mean of the silhouette pixels of
// its window whose depth differs from its own by less than a threshold, so that noise goes and
// edges stay. Background pixels (depth N) are neither counted nor changed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "mvd/host_device.hpp"
#include "mvd/odm.hpp"

namespace mvd {

constexpr int kMaxWindow = 15;

// odms and smoothed: (B, 6, N, N), not the same array. window: edge of the square window, odd and
// at most kMaxWindow; it is cut at the border. threshold: above 0, in voxels; a difference must be
// strictly less. Means are rounded half to even.
void smooth_odms(const Depth* odms, Depth* smoothed, std::int64_t batch, std::int64_t n,
                 double threshold, int window, int threads);

// The largest whole difference below `threshold`, at most n - 1.
inline std::int64_t largest_difference(double threshold, std::int64_t n) {
    return threshold > static_cast<double>(n) ? n - 1
                                              : static_cast<std::int64_t>(std::ceil(threshold)) - 1;
}

// total / count rounded half to even, for a count of up to 15² depths. Both are whole numbers below
// 2^24, so exact as floats, and so is a quotient that ends in a half; any other is at least
// 1 / (2 * 15²) away from a half, more than the 2^-9 that the division can be off.
MVD_HD inline Depth rounded_mean(std::int32_t total, std::int32_t count) {
    // Adding 1.5 * 2^23 leaves no bits for a fraction: the sum is rounded half to even.
    constexpr float kNoFraction = 12582912.0F;
    const float mean = static_cast<float>(total) / static_cast<float>(count);
    return static_cast<Depth>(static_cast<std::int32_t>((mean + kNoFraction) - kNoFraction));
}

}  // namespace mvd
