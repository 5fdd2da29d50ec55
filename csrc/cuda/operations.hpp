// The operations of csrc/mvd on memory of a CUDA device, queued on a stream of the caller's.
//
// Arguments are those of the CPU twins, with pointers to device memory in place of threads. Nothing
// here waits for the device or allocates: what an operation needs besides its result is a workspace
// of the caller's, as many bytes as `…_workspace` says. All memory must stay alive until the queue
// is done with it. An operation throws DeviceError when a kernel cannot be launched.
//
// Every operation is compiled for two queues: a CUDA stream, and `Emulation`, which runs the same
// kernels on the calling thread, one index after the other. Tests compare the kernels' results with
// those of the CPU twins where there is no GPU.
#pragma once

#include <cstdint>

#include "mvd/carve.hpp"
#include "mvd/odm.hpp"
#include "mvd/resample.hpp"
#include "mvd/smooth.hpp"
#include "mvd/soft_rank.hpp"
#include "mvd/voxelize.hpp"

namespace mvd::cuda {

struct Stream {
    int device;
    std::uintptr_t handle;  // a cudaStream_t of that device; 0 is its default stream
};

struct Emulation {};

// Packed grids.
template <typename Queue>
void pack(Queue queue, const std::uint8_t* dense, Word* packed, GridShape shape);
template <typename Queue>
void unpack(Queue queue, const Word* packed, std::uint8_t* dense, GridShape shape);
template <typename Queue>
void mirror(Queue queue, const Word* packed, Word* mirrored, GridShape shape, int axis);

template <typename Queue>
void pool(Queue queue, const Word* packed, Word* pooled, GridShape shape, std::int64_t factor,
          PoolRule rule);
template <typename Queue>
void upsample_nearest(Queue queue, const Word* packed, Word* upsampled, GridShape shape,
                      std::int64_t factor);

// workspace: as many words as `packed`.
template <typename Queue>
void dilate(Queue queue, const Word* packed, Word* dilated, GridShape shape, std::int64_t steps,
            Word* workspace);

// out: (B); workspace: (B, 2) counts.
template <typename Queue>
void iou(Queue queue, const Word* a, const Word* b, double* out, GridShape shape,
         std::uint64_t* workspace);

// Depth maps.
template <typename Queue>
void extract_odms(Queue queue, const Word* packed, Depth* odms, GridShape shape);
template <typename Queue>
void project_odms(Queue queue, const Depth* odms, Word* packed, GridShape shape, int votes);
template <typename Queue>
void smooth_odms(Queue queue, const Depth* odms, Depth* smoothed, std::int64_t batch,
                 std::int64_t n, double threshold, int window);

// Fine layers [begin, end) of x alone, so that a grid can be carved in slabs.
// fine: (B, end - begin, scale y, W).
template <typename Queue>
void carve(Queue queue, const Word* low, const Depth* odms, Word* fine, GridShape low_shape,
           std::int64_t scale, int votes, std::int64_t begin, std::int64_t end);

// One round. scores: on the device too; before: (B, scale X, scale Y, W), not fine itself, what the
// round before left, or null in the first.
template <typename Queue>
void soft_rank(Queue queue, const Coverage* coverage, const Depth* levels, std::int64_t count,
               SoftScores scores, const Word* before, Word* fine, GridShape low_shape,
               std::int64_t scale);

// counts: (2), bad and degenerate faces; workspace: 1 + face_count numbers.
template <typename Queue>
void voxelize_surface(Queue queue, const double* vertices, std::int64_t vertex_count,
                      const std::int64_t* faces, std::int64_t face_count, Word* packed,
                      GridShape shape, std::uint64_t* counts, std::uint64_t* workspace);

}  // namespace mvd::cuda
