// Running kernels, on a CUDA stream or emulated.
//
// A kernel is a function object of plain data. `for_each` calls it once for each index of a
// rectangle, in no order, each call on its own thread. `for_each_block` calls it once for each
// block of kBlockThreads threads that share memory: its body is a sequence of block.each(...), and
// each of them ends before the next begins, on all threads. What outlives one belongs in the
// shared memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "cuda/operations.hpp"
#include "mvd/error.hpp"
#include "mvd/host_device.hpp"

namespace mvd::cuda {

constexpr int kBlockThreads = 256;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

struct Block {
    std::int64_t index;

    // Calls body(thread) for each thread of the block, 0 to kBlockThreads - 1.
    template <typename Body>
    MVD_HD void each(const Body& body) const {
#ifdef __CUDA_ARCH__
        body(static_cast<int>(threadIdx.x));
        __syncthreads();
#else
        for (int thread = 0; thread < kBlockThreads; ++thread) body(thread);
#endif
    }
};

// What several threads do to one word of device memory, in any order. `add` gives what was there.
MVD_HD inline void atomic_or(Word* word, Word bits) {
#ifdef __CUDA_ARCH__
    atomicOr(reinterpret_cast<unsigned long long*>(word), static_cast<unsigned long long>(bits));
#else
    *word |= bits;
#endif
}

MVD_HD inline std::uint64_t atomic_add(std::uint64_t* count, std::uint64_t more) {
#ifdef __CUDA_ARCH__
    return atomicAdd(reinterpret_cast<unsigned long long*>(count),
                     static_cast<unsigned long long>(more));
#else
    const std::uint64_t before = *count;
    *count += more;
    return before;
#endif
}

#ifdef __CUDACC__

// The queue that a file is compiled for.
using ThisQueue = Stream;

inline void check(cudaError_t error, const char* name) {
    if (error != cudaSuccess) {
        throw DeviceError(std::string(name) + ": CUDA says: " + cudaGetErrorString(error));
    }
}

// Makes a device the calling thread's current one while it lives.
class OnDevice {
  public:
    OnDevice(int device, const char* name) {
        check(cudaGetDevice(&before_), name);
        if (before_ != device) check(cudaSetDevice(device), name);
        changed_ = before_ != device;
    }
    ~OnDevice() {
        if (changed_) (void)cudaSetDevice(before_);
    }
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;

  private:
    int before_ = 0;
    bool changed_ = false;
};

inline cudaStream_t handle_of(Stream stream) {
    return reinterpret_cast<cudaStream_t>(stream.handle);
}

template <typename Kernel>
__global__ void __launch_bounds__(kBlockThreads)
    run_each(Kernel kernel, std::int64_t rows, std::int64_t columns) {
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
    const std::int64_t column = static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
    if (row < rows && column < columns) kernel(row, column);
}

template <typename Kernel>
__global__ void __launch_bounds__(kBlockThreads) run_blocks(Kernel kernel) {
    __shared__ typename Kernel::Shared shared;
    kernel(Block{static_cast<std::int64_t>(blockIdx.x)}, shared);
}

constexpr std::int64_t kMostBlocks = 0x7FFFFFFF;    // along the first axis of a launch
constexpr std::int64_t kMostColumnBlocks = 0xFFFF;  // along the second

inline void check_blocks(std::int64_t blocks, std::int64_t most, const char* name) {
    if (blocks > most) {
        throw DeviceError(std::string(name) + ": expected at most " + std::to_string(most) +
                          " blocks of threads, found " + std::to_string(blocks));
    }
}

// kernel(row, column) for each row and column; neighbouring threads have neighbouring columns.
template <typename Kernel>
void for_each(Stream stream, const char* name, std::int64_t rows, std::int64_t columns,
              const Kernel& kernel) {
    if (rows <= 0 || columns <= 0) return;
    unsigned wide = 1;
    while (wide < kBlockThreads && wide < columns) wide *= 2;
    const dim3 threads(wide, kBlockThreads / wide);
    const std::int64_t row_blocks = ceil_div(rows, threads.y);
    const std::int64_t column_blocks = ceil_div(columns, wide);
    check_blocks(row_blocks, kMostBlocks, name);
    check_blocks(column_blocks, kMostColumnBlocks, name);
    const dim3 blocks(static_cast<unsigned>(row_blocks), static_cast<unsigned>(column_blocks));
    const OnDevice current(stream.device, name);
    run_each<<<blocks, threads, 0, handle_of(stream)>>>(kernel, rows, columns);
    check(cudaGetLastError(), name);
}

// kernel(block, shared) for each block; `shared` is a Kernel::Shared, not initialized.
template <typename Kernel>
void for_each_block(Stream stream, const char* name, std::int64_t blocks, const Kernel& kernel) {
    if (blocks <= 0) return;
    check_blocks(blocks, kMostBlocks, name);
    const OnDevice current(stream.device, name);
    run_blocks<<<static_cast<unsigned>(blocks), kBlockThreads, 0, handle_of(stream)>>>(kernel);
    check(cudaGetLastError(), name);
}

// Sets `count` items to bytes of zero.
template <typename T>
void clear(Stream stream, const char* name, T* items, std::int64_t count) {
    if (count <= 0) return;
    const OnDevice current(stream.device, name);
    const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
    check(cudaMemsetAsync(items, 0, bytes, handle_of(stream)), name);
}

#else

using ThisQueue = Emulation;

template <typename Kernel>
void for_each(Emulation, const char*, std::int64_t rows, std::int64_t columns,
              const Kernel& kernel) {
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t column = 0; column < columns; ++column) kernel(row, column);
    }
}

template <typename Kernel>
void for_each_block(Emulation, const char*, std::int64_t blocks, const Kernel& kernel) {
    typename Kernel::Shared shared;
    for (std::int64_t block = 0; block < blocks; ++block) {
        std::memset(&shared, 0xA5, sizeof shared);  // a kernel must not read what it did not write
        kernel(Block{block}, shared);
    }
}

template <typename T>
void clear(Emulation, const char*, T* items, std::int64_t count) {
    std::memset(items, 0, static_cast<std::size_t>(count) * sizeof(T));
}

#endif

}  // namespace mvd::cuda
