#include "cuda/launch.hpp"
#include "mvd/bitgrid.hpp"
#include "mvd/line.hpp"

namespace mvd::cuda {

namespace {

struct alignas(16) Bytes16 {
    std::uint64_t low, high;
};

// `Vector` is what a thread reads or writes at once.
template <typename Vector>
MVD_HD bool is_aligned(const void* at) {
    return reinterpret_cast<std::uintptr_t>(at) % alignof(Vector) == 0;
}

// Half a word: 32 voxels.
struct PackHalf {
    const std::uint8_t* dense;  // (lines, z)
    std::uint32_t* packed;      // (lines, halves)
    std::int64_t z, halves;

    MVD_HD void operator()(std::int64_t line, std::int64_t half) const {
        const std::int64_t begin = half * 32;
        const std::uint8_t* from = dense + line * z + begin;
        std::uint32_t bits = 0;
        if (begin + 32 <= z && is_aligned<Bytes16>(from)) {
            const auto* bytes = reinterpret_cast<const Bytes16*>(from);
            const Bytes16 first = bytes[0], second = bytes[1];
            const Word octets[4] = {pack_octet(first.low), pack_octet(first.high),
                                    pack_octet(second.low), pack_octet(second.high)};
            for (int i = 0; i < 4; ++i) bits |= static_cast<std::uint32_t>(octets[i] << (8 * i));
        } else {
            for (std::int64_t i = 0; i < 32 && begin + i < z; ++i) {
                bits |= static_cast<std::uint32_t>(from[i] != 0) << i;
            }
        }
        packed[line * halves + half] = bits;
    }
};

// A quarter of a word: 16 voxels.
struct UnpackQuarter {
    const std::uint16_t* packed;  // (lines, 4 W)
    std::uint8_t* dense;          // (lines, z)
    std::int64_t z, quarters;

    MVD_HD void operator()(std::int64_t line, std::int64_t quarter) const {
        const std::int64_t begin = quarter * 16;
        const Word bits = packed[line * quarters + quarter];
        std::uint8_t* to = dense + line * z + begin;
        if (begin + 16 <= z && is_aligned<Bytes16>(to)) {
            *reinterpret_cast<Bytes16*>(to) = {unpack_octet(bits), unpack_octet(bits >> 8)};
        } else {
            for (std::int64_t i = 0; i < 16 && begin + i < z; ++i) {
                to[i] = static_cast<std::uint8_t>(bits >> i & 1);
            }
        }
    }
};

struct MirrorWord {
    const Word* packed;
    Word* mirrored;
    GridShape shape;
    int axis;

    MVD_HD void operator()(std::int64_t line, std::int64_t i) const {
        const std::int64_t w = shape.words();
        const std::int64_t y = line % shape.y, x = line / shape.y % shape.x;
        std::int64_t from = line;
        if (axis == 0) from += (shape.x - 1 - 2 * x) * shape.y;
        if (axis == 1) from += shape.y - 1 - 2 * y;
        mirrored[line * w + i] =
            axis == 2 ? reversed_word(packed + line * w, shape.z, i) : packed[from * w + i];
    }
};

}  // namespace

template <typename Queue>
void pack(Queue queue, const std::uint8_t* dense, Word* packed, GridShape shape) {
    const std::int64_t halves = 2 * shape.words();
    for_each(queue, "pack", shape.lines(), halves,
             PackHalf{dense, reinterpret_cast<std::uint32_t*>(packed), shape.z, halves});
}

template <typename Queue>
void unpack(Queue queue, const Word* packed, std::uint8_t* dense, GridShape shape) {
    const std::int64_t quarters = 4 * shape.words();
    for_each(
        queue, "unpack", shape.lines(), ceil_div(shape.z, 16),
        UnpackQuarter{reinterpret_cast<const std::uint16_t*>(packed), dense, shape.z, quarters});
}

template <typename Queue>
void mirror(Queue queue, const Word* packed, Word* mirrored, GridShape shape, int axis) {
    for_each(queue, "mirror", shape.lines(), shape.words(),
             MirrorWord{packed, mirrored, shape, axis});
}

template void pack(ThisQueue, const std::uint8_t*, Word*, GridShape);
template void unpack(ThisQueue, const Word*, std::uint8_t*, GridShape);
template void mirror(ThisQueue, const Word*, Word*, GridShape, int);

}  // namespace mvd::cuda
