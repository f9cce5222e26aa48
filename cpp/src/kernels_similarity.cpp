// Compiled once per ISA level and nothing else: the scores of pairs of vectors, and what happens to them
// around a loss of rows; second moments of batches.
#include "fusedloss/families/moments.hpp"
#include "fusedloss/families/similarity.hpp"
#include "tables.hpp"

namespace fusedloss {

constexpr similarity_table FUSEDLOSS_TABLE(similarity) = {
    make_similarity_kernels<float>(),
    make_similarity_kernels<double>(),
    make_moment_kernels<float>(),
    make_moment_kernels<double>(),
};

}  // namespace fusedloss
