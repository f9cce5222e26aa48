// Names, arguments and parameters of the losses, read off the type lists.
#include <cstring>

#include "fusedloss/losses.hpp"
#include "fusedloss/runtime.hpp"

namespace fusedloss {
namespace runtime {
namespace {

constexpr int words(const char* text) {
    int n = *text != '\0';
    for (; *text; ++text) n += *text == ' ';
    return n;
}

template <class Loss>
constexpr loss_info info_of() {
    static_assert(words(Loss::inputs) == Loss::traits.inputs, "a loss names its inputs");
    static_assert(words(Loss::params) == 0 || words(Loss::params) * sizeof(double) == sizeof(Loss),
                  "a loss names its parameters, and all of them are doubles");
    return {Loss::name, Loss::inputs, Loss::params, Loss::traits};
}

template <class List>
struct infos_of;
template <class... Loss>
struct infos_of<type_list<Loss...>> {
    static constexpr int count = sizeof...(Loss);
    static constexpr loss_info all[] = {info_of<Loss>()...};
};
using infos = infos_of<elementwise_losses>;

template <class Loss>
constexpr row_loss_info row_info_of(const char* shape, bool softmax = false) {
    static_assert(words(Loss::inputs) == Loss::traits.inputs + Loss::traits.label, "a loss names its inputs");
    static_assert(words(Loss::params) == 0 || words(Loss::params) * sizeof(double) == sizeof(Loss),
                  "a loss names its parameters, and all of them are doubles");
    return {Loss::name, Loss::inputs, Loss::params, Loss::traits, shape, softmax};
}

template <class Softmax, class Rows, class Similarity>
struct row_infos_of;
template <class... Softmax, class... Rows, class... Similarity>
struct row_infos_of<type_list<Softmax...>, type_list<Rows...>, type_list<Similarity...>> {
    static constexpr int count = sizeof...(Softmax) + sizeof...(Rows) + sizeof...(Similarity);
    static constexpr row_loss_info all[] = {row_info_of<Softmax>("softmax", true)...,
                                            row_info_of<Rows>("rows")...,
                                            row_info_of<Similarity>("similarity")...};
};
using row_infos = row_infos_of<softmax_losses, rows_losses, similarity_losses>;

template <class List>
struct box_infos_of;
template <class... Loss>
struct box_infos_of<type_list<Loss...>> {
    static constexpr int count = sizeof...(Loss);
    static constexpr row_loss_info all[] = {row_info_of<Loss>("boxes")...};
};
using box_infos = box_infos_of<box_losses>;

template <class Loss>
constexpr pair_loss_info pair_info_of() {
    static_assert(words(Loss::inputs) == Loss::traits.vectors + Loss::traits.numbers + Loss::traits.label,
                  "a loss names its inputs");
    static_assert(words(Loss::params) == 0 || words(Loss::params) * sizeof(double) == sizeof(Loss),
                  "a loss names its parameters, and all of them are doubles");
    return {Loss::name, Loss::inputs, Loss::params, Loss::traits};
}

template <class List>
struct pair_infos_of;
template <class... Loss>
struct pair_infos_of<type_list<Loss...>> {
    static constexpr int count = sizeof...(Loss);
    static constexpr pair_loss_info all[] = {pair_info_of<Loss>()...};
};
using pair_infos = pair_infos_of<pairs_losses>;

template <class Loss>
constexpr overlap_loss_info overlap_info_of() {
    static_assert(words(Loss::inputs) == 2, "scores and a target");
    static_assert(words(Loss::params) == 0 || words(Loss::params) * sizeof(double) == sizeof(Loss),
                  "a loss names its parameters, and all of them are doubles");
    return {Loss::name, Loss::inputs, Loss::params, Loss::traits};
}
template <class List>
struct overlap_infos_of;
template <class... Loss>
struct overlap_infos_of<type_list<Loss...>> {
    static constexpr int count = sizeof...(Loss);
    static constexpr overlap_loss_info all[] = {overlap_info_of<Loss>()...};
};
using overlap_infos = overlap_infos_of<overlap_losses>;

}  // namespace

int loss_count() { return infos::count; }
const loss_info& loss_at(int index) { return infos::all[index]; }
int find_loss(const char* name) {
    for (int i = 0; i < infos::count; ++i)
        if (std::strcmp(infos::all[i].name, name) == 0) return i;
    return -1;
}

int row_loss_count() { return row_infos::count; }
const row_loss_info& row_loss_at(int index) { return row_infos::all[index]; }
int find_row_loss(const char* name) {
    for (int i = 0; i < row_infos::count; ++i)
        if (std::strcmp(row_infos::all[i].name, name) == 0) return i;
    return -1;
}

int box_loss_count() { return box_infos::count; }
const row_loss_info& box_loss_at(int index) { return box_infos::all[index]; }
int pair_loss_count() { return pair_infos::count; }
const pair_loss_info& pair_loss_at(int index) { return pair_infos::all[index]; }
int find_pair_loss(const char* name) {
    for (int i = 0; i < pair_infos::count; ++i)
        if (std::strcmp(pair_infos::all[i].name, name) == 0) return i;
    return -1;
}

int overlap_loss_count() { return overlap_infos::count; }
const overlap_loss_info& overlap_loss_at(int index) { return overlap_infos::all[index]; }

}  // namespace runtime
}  // namespace fusedloss
