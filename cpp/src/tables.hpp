// One kernel table per ISA level that this architecture has.
#pragma once

#include "fusedloss/core/job.hpp"

namespace fusedloss {

#if defined(__x86_64__)
extern const kernel_table table_v1, table_v3, table_v4;
#elif defined(__aarch64__)
extern const kernel_table table_neon;
#else
extern const kernel_table table_generic;
#endif

}  // namespace fusedloss
