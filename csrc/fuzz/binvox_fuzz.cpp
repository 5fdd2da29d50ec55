// Runs of a binvox file: decoded, or refused; what is decoded survives another round.
#include "fuzz/input.hpp"
#include "mvd/binvox.hpp"
#include "mvd/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace mvd;
    fuzz::Input input(data, size);
    const GridShape shape{1, input.number(1, 70), input.number(1, 140), input.number(1, 140)};
    std::vector<BinvoxRun> runs(input.size() / sizeof(BinvoxRun));
    if (!runs.empty()) std::memcpy(runs.data(), input.data(), runs.size() * sizeof(BinvoxRun));
    std::vector<Word> packed(fuzz::packed_size(shape)), again(packed.size());
    try {
        binvox_decode(runs.data(), static_cast<std::int64_t>(runs.size()), packed.data(), shape);
    } catch (const Error&) {
        // Most runs do not add up: the encoder and decoder still get a grid of these bytes.
        packed = fuzz::take_grid(input, shape);
    }
    fuzz::require(fuzz::is_clean(packed, shape));
    const auto encoded = binvox_encode(packed.data(), shape);
    binvox_decode(encoded.data(), static_cast<std::int64_t>(encoded.size()), again.data(), shape);
    fuzz::require(packed == again);
    return 0;
}
