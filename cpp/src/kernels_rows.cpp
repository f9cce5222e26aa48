// Compiled once per ISA level and nothing else: the kernels of the other losses of rows of scores.
#include "fusedloss/families/rows.hpp"
#include "fusedloss/losses.hpp"
#include "tables.hpp"

namespace fusedloss {
inline namespace FUSEDLOSS_TAG {
namespace {

template <class Rows, class Similarity>
struct kernels_of;
template <class... Rows, class... Similarity>
struct kernels_of<type_list<Rows...>, type_list<Similarity...>> {
    static constexpr row_entry entries[] = {make_row_kernels<Rows>()...,
                                            make_long_row_kernels<Similarity>()...};
};

}  // namespace
}  // namespace FUSEDLOSS_TAG

constexpr rows_table FUSEDLOSS_TABLE(rows) = {
    kernels_of<rows_losses, similarity_losses>::entries,
    rows_workspace,
    process_rows,
    check_label_block,
};

}  // namespace fusedloss
