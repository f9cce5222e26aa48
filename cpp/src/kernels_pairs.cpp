// Compiled once per ISA level and nothing else: the kernels of losses of paired vectors.
#include "fusedloss/families/pairs.hpp"
#include "fusedloss/families/score_pairs.hpp"
#include "fusedloss/losses.hpp"
#include "tables.hpp"

namespace fusedloss {
inline namespace FUSEDLOSS_TAG {
namespace {

template <class List>
struct kernels_of;
template <class... Loss>
struct kernels_of<type_list<Loss...>> {
    static constexpr pair_entry entries[] = {make_pair_kernels<Loss>()...};
};

}  // namespace
}  // namespace FUSEDLOSS_TAG

constexpr pairs_table FUSEDLOSS_TABLE(pairs) = {
    kernels_of<pairs_losses>::entries, pairs_workspace, process_pairs, pull_together, compare_scores,
};

}  // namespace fusedloss
