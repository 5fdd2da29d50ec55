// The core's own exception. It never prints and never exits; bind/ turns it into Python's.
#pragma once

#include <stdexcept>

namespace mvd {

// Input that no operation can make sense of: says what, where, expected and found.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace mvd
