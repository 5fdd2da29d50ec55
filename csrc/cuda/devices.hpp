// The CUDA devices that are here.
#pragma once

#include <string>
#include <vector>

namespace mvd::cuda {

struct Device {
    std::string name;
    int major, minor;  // compute capability
};

// Throws DeviceError, with what CUDA says, where there is no usable driver or device.
std::vector<Device> devices();

}  // namespace mvd::cuda
