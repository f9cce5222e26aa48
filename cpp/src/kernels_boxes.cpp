// Compiled once per ISA level and nothing else: the kernels of losses of boxes.
#include "fusedloss/families/boxes.hpp"
#include "fusedloss/losses.hpp"
#include "tables.hpp"

namespace fusedloss {
inline namespace FUSEDLOSS_TAG {
namespace {

template <class List>
struct kernels_of;
template <class... Loss>
struct kernels_of<type_list<Loss...>> {
    static constexpr box_entry entries[] = {make_box_kernels<Loss>()...};
};

}  // namespace
}  // namespace FUSEDLOSS_TAG

constexpr boxes_table FUSEDLOSS_TABLE(boxes) = {
    kernels_of<box_losses>::entries,
    process_boxes,
    box_columns,
    process_box_matrix,
};

}  // namespace fusedloss
