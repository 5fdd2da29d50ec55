// Runs a fuzz target without libFuzzer, on random inputs: for ThreadSanitizer, and for GCC.
//
//     grid_threads 2000 [SEED]      so many inputs
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
    const long inputs = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 1000;
    std::mt19937_64 random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0);
    std::vector<std::uint8_t> bytes;
    for (long number = 0; number < inputs; ++number) {
        bytes.resize(random() % 20000);
        // Bytes of few values make long runs and equal words.
        const std::uint64_t values = random() % 2 == 0 ? 256 : 1 + random() % 8;
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random() % values);
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    std::printf("%ld inputs\n", inputs);
    return 0;
}
