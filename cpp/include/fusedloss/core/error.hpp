// Misuse of the C++ interface: thrown where the program has exceptions, fatal where it does not.
#pragma once

#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

#include "../simd/isa.hpp"

namespace fusedloss {
#if defined(__cpp_exceptions)
struct error : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};
#endif
}  // namespace fusedloss

FUSEDLOSS_BEGIN

inline void require(bool condition, const char* message) {
    if (condition) return;
#if defined(__cpp_exceptions)
    throw error(message);
#else
    (void)message;
    __builtin_trap();
#endif
}

FUSEDLOSS_END
