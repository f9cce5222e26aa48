// Compiled once per ISA level and nothing else: the kernels of functions of the softmax at a label.
#include "fusedloss/families/softmax.hpp"
#include "fusedloss/losses.hpp"
#include "tables.hpp"

namespace fusedloss {
inline namespace FUSEDLOSS_TAG {
namespace {

template <class List>
struct kernels_of;
template <class... Loss>
struct kernels_of<type_list<Loss...>> {
    static constexpr softmax_entry entries[] = {make_softmax_kernels<Loss>()...};
};

}  // namespace
}  // namespace FUSEDLOSS_TAG

constexpr softmax_table FUSEDLOSS_TABLE(softmax) = {
    kernels_of<softmax_losses>::entries,
    softmax_workspace,
    process_softmax<float>,
    process_softmax<double>,
};

}  // namespace fusedloss
