// One kernel table per ISA level that this architecture has.
#pragma once

#include "fusedloss/core/boxes_job.hpp"
#include "fusedloss/core/overlap_job.hpp"
#include "fusedloss/core/pairs_job.hpp"
#include "fusedloss/core/similarity_job.hpp"
#include "fusedloss/simd/isa.hpp"

namespace fusedloss {

#if defined(__x86_64__)
extern const kernel_table table_v1, table_v3, table_v4;
extern const boxes_table boxes_v1, boxes_v3, boxes_v4;
extern const similarity_table similarity_v1, similarity_v3, similarity_v4;
extern const overlap_table overlap_v1, overlap_v3, overlap_v4;
extern const pairs_table pairs_v1, pairs_v3, pairs_v4;
#elif defined(__aarch64__)
extern const kernel_table table_neon;
extern const boxes_table boxes_neon;
extern const similarity_table similarity_neon;
extern const overlap_table overlap_neon;
extern const pairs_table pairs_neon;
#else
extern const kernel_table table_generic;
extern const boxes_table boxes_generic;
extern const similarity_table similarity_generic;
extern const overlap_table overlap_generic;
extern const pairs_table pairs_generic;
#endif

// The name of a family's table in the translation unit of one level.
#define FUSEDLOSS_TABLE(family) FUSEDLOSS_CONCAT3(family##_, FUSEDLOSS_ISA, )

namespace runtime {

// Of the level in use.
const kernel_table& active();

}  // namespace runtime
}  // namespace fusedloss
