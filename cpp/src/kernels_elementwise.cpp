// Compiled once per ISA level and nothing else: the kernels of elementwise losses.
#include "fusedloss/families/elementwise.hpp"
#include "fusedloss/losses.hpp"
#include "tables.hpp"

namespace fusedloss {
inline namespace FUSEDLOSS_TAG {
namespace {

template <class List>
struct kernels_of;
template <class... Loss>
struct kernels_of<type_list<Loss...>> {
    static constexpr kernel_entry entries[] = {make_kernels<Loss>()...};
};

}  // namespace
}  // namespace FUSEDLOSS_TAG

constexpr elementwise_table FUSEDLOSS_TABLE(elementwise) = {
    kernels_of<elementwise_losses>::entries,
    process<float>,
    process<double>,
    process_weights,
};

}  // namespace fusedloss
