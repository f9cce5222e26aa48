// The kernels of every ISA level that this architecture has: one table per family and level, each compiled in
// a translation unit of its own.
#pragma once

#include "fusedloss/core/boxes_job.hpp"
#include "fusedloss/core/overlap_job.hpp"
#include "fusedloss/core/pairs_job.hpp"
#include "fusedloss/core/rows_job.hpp"
#include "fusedloss/core/similarity_job.hpp"
#include "fusedloss/simd/isa.hpp"

namespace fusedloss {

// THE list of families.
// clang-format off
#define FUSEDLOSS_FAMILIES(each, level) \
    each(elementwise, level) \
    each(softmax, level) \
    each(rows, level) \
    each(similarity, level) \
    each(overlap, level) \
    each(boxes, level) \
    each(pairs, level)
// clang-format on

#define FUSEDLOSS_DECLARE_TABLE(family, level) extern const family##_table family##_##level;
#if defined(__x86_64__)
FUSEDLOSS_FAMILIES(FUSEDLOSS_DECLARE_TABLE, v1)
FUSEDLOSS_FAMILIES(FUSEDLOSS_DECLARE_TABLE, v3)
FUSEDLOSS_FAMILIES(FUSEDLOSS_DECLARE_TABLE, v4)
#elif defined(__aarch64__)
FUSEDLOSS_FAMILIES(FUSEDLOSS_DECLARE_TABLE, neon)
#else
FUSEDLOSS_FAMILIES(FUSEDLOSS_DECLARE_TABLE, generic)
#endif
#undef FUSEDLOSS_DECLARE_TABLE

// The name of a family's table in the translation unit of one level.
#define FUSEDLOSS_TABLE(family) FUSEDLOSS_CONCAT3(family##_, FUSEDLOSS_ISA, )

namespace runtime {

// Everything one ISA level offers.
struct kernel_table {
    const char* isa;
#define FUSEDLOSS_TABLE_MEMBER(family, level) const family##_table* family;
    FUSEDLOSS_FAMILIES(FUSEDLOSS_TABLE_MEMBER, )
#undef FUSEDLOSS_TABLE_MEMBER
};

// Of the level in use.
const kernel_table& active();

}  // namespace runtime
}  // namespace fusedloss
