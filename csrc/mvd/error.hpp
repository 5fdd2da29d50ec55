// The core's own exceptions. It never prints and never exits; bind/ turns them into Python's.
#pragma once

#include <stdexcept>

namespace mvd {

// Input that no operation can make sense of: says what, where, expected and found.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A CUDA device that is not there, or refused: says which operation, and what CUDA says.
struct DeviceError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace mvd
