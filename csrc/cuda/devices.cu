#include "cuda/devices.hpp"
#include "cuda/launch.hpp"

namespace mvd::cuda {

std::vector<Device> devices() {
    int count = 0;
    check(cudaGetDeviceCount(&count), "devices");
    std::vector<Device> found;
    for (int device = 0; device < count; ++device) {
        cudaDeviceProp properties{};
        check(cudaGetDeviceProperties(&properties, device), "devices");
        found.push_back({properties.name, properties.major, properties.minor});
    }
    return found;
}

}  // namespace mvd::cuda
