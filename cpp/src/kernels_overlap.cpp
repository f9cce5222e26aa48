// Compiled once per ISA level and nothing else: the passes over masks, and the formulas of their overlap.
#include "fusedloss/families/overlap.hpp"
#include "fusedloss/losses.hpp"
#include "tables.hpp"

namespace fusedloss {
inline namespace FUSEDLOSS_TAG {
namespace {

template <class List>
struct formulas_of;
template <class... Loss>
struct formulas_of<type_list<Loss...>> {
    static constexpr overlap_formula all[] = {formula_of<Loss>()...};
};

}  // namespace
}  // namespace FUSEDLOSS_TAG

constexpr overlap_table FUSEDLOSS_TABLE(overlap) = {
    formulas_of<overlap_losses>::all,          {overlap_workspace<float>, overlap_workspace<double>},
    {add_overlap<float>, add_overlap<double>}, {differentiate_overlap<float>, differentiate_overlap<double>},
    {find_errors<float>, find_errors<double>},
};

}  // namespace fusedloss
