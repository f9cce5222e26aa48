// Compiled once per ISA level and nothing else: the kernels of every loss, and the table of them.
#include "fusedloss/families/elementwise.hpp"
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
    static constexpr kernel_entry entries[] = {make_kernels<Loss>()...};
};

template <class Rows, class Similarity>
struct row_kernels_of;
template <class... Rows, class... Similarity>
struct row_kernels_of<type_list<Rows...>, type_list<Similarity...>> {
    static constexpr row_entry entries[] = {make_row_kernels<Rows>()..., make_row_kernels<Similarity>()...};
};
template <class List>
struct softmax_kernels_of;
template <class... Loss>
struct softmax_kernels_of<type_list<Loss...>> {
    static constexpr softmax_entry entries[] = {make_softmax_kernels<Loss>()...};
};

}  // namespace
}  // namespace FUSEDLOSS_TAG

extern const kernel_table FUSEDLOSS_CONCAT3(table_, FUSEDLOSS_ISA, );
constexpr kernel_table FUSEDLOSS_CONCAT3(table_, FUSEDLOSS_ISA, ) = {
    FUSEDLOSS_STR(FUSEDLOSS_ISA),
    kernels_of<elementwise_losses>::entries,
    process<float>,
    process<double>,
    process_weights,
    softmax_kernels_of<softmax_losses>::entries,
    row_kernels_of<rows_losses, similarity_losses>::entries,
    softmax_workspace,
    rows_workspace,
    process_softmax<float>,
    process_softmax<double>,
    process_rows,
    check_label_block,
    &FUSEDLOSS_TABLE(similarity),
    &FUSEDLOSS_TABLE(overlap),
    &FUSEDLOSS_TABLE(boxes),
    &FUSEDLOSS_TABLE(pairs),
};

}  // namespace fusedloss
