// Scores of one grid against another.
#pragma once

#include "mvd/bitgrid.hpp"

namespace mvd {

// Voxels in both over voxels in either, for each grid of the batch; 1 when both are empty.
// a, b: (B, X, Y, W); out: (B).
void iou(const Word* a, const Word* b, double* out, GridShape shape, int threads);

}  // namespace mvd
