// The bytes of a fuzzer as numbers, and grids of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "mvd/bitgrid.hpp"

namespace mvd::fuzz {

// Ends the process where a claim does not hold: what a fuzzer takes for a finding.
inline void require(bool holds) {
    if (!holds) std::abort();
}

// Takes values from the front of some bytes; zeros when there are none left.
class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    template <typename T>
    T take() {
        T value{};
        const std::size_t count = sizeof(T) < size_ ? sizeof(T) : size_;
        if (count > 0) std::memcpy(&value, data_, count);
        skip(count);
        return value;
    }

    // A number from `least` to `most`.
    std::int64_t number(std::int64_t least, std::int64_t most) {
        return least + static_cast<std::int64_t>(take<std::uint16_t>()) % (most - least + 1);
    }

    const std::uint8_t* data() const { return data_; }
    std::size_t size() const { return size_; }

    void skip(std::size_t count) {
        data_ += count;
        size_ -= count;
    }

  private:
    const std::uint8_t* data_;
    std::size_t size_;
};

inline std::size_t packed_size(GridShape shape) {
    return static_cast<std::size_t>(shape.lines() * shape.words());
}

// A grid with no bit past Z, as every operation is promised.
inline std::vector<Word> take_grid(Input& input, GridShape shape) {
    std::vector<Word> packed(packed_size(shape));
    const auto words = static_cast<std::size_t>(shape.words());
    Word last = 0;
    for (std::size_t i = 0; i < packed.size(); ++i) {
        // Long stretches that repeat are what shapes look like; new words end them.
        if (input.size() > 0 && (input.data()[0] & 3U) == 0)
            last = input.take<Word>();
        else if (input.size() > 0)
            input.skip(1);
        packed[i] = last;
        if (i % words == words - 1)
            packed[i] &= low_mask(shape.z - (shape.words() - 1) * kWordBits);
    }
    return packed;
}

// Whether bits past Z are zero.
inline bool is_clean(const std::vector<Word>& packed, GridShape shape) {
    if (packed.empty()) return true;
    const auto words = static_cast<std::size_t>(shape.words());
    const Word mask = low_mask(shape.z - (shape.words() - 1) * kWordBits);
    for (std::size_t i = words; i <= packed.size(); i += words) {
        if ((packed[i - 1] & ~mask) != 0) return false;
    }
    return true;
}

}  // namespace mvd::fuzz
