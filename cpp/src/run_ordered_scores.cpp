// The loss of all pairs of scores that stand in another order than their labels, in time O(n log n). Compiled
// for the baseline.
#include <cmath>
#include <cstring>

#include "fusedloss/core/radix_sort.hpp"
#include "fusedloss/core/reduction.hpp"
#include "fusedloss/runtime.hpp"
#include "scratch.hpp"

namespace fusedloss {
namespace runtime {
namespace {

using keyed_label = keyed<std::uint64_t>;

// The log of a sum of exponentials that comes term by term, relative to the largest so far.
class log_sum {
  public:
    void add(double x) {
        if (x == largest_) {
            add_to(total_, 1.0);
        } else if (x < largest_) {
            add_to(total_, std::exp(x - largest_));
        } else {
            const double shrink = std::exp(largest_ - x);
            total_ = {total_.high * shrink, total_.low * shrink};
            add_to(total_, 1.0);
            largest_ = x;
        }
    }
    double value() const { return largest_ + std::log(rounded(total_)); }

  private:
    double largest_ = -__builtin_inf();
    sum total_{0.0, 0.0};
};

// Unsigned numbers in the order of the labels; both zeros are the same.
std::uint64_t key_of(double label) {
    constexpr std::uint64_t sign = std::uint64_t(1) << 63;
    const double number = label + 0.0;
    std::uint64_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    return bits & sign ? ~bits : bits | sign;
}

// f(begin, end) for every run of equal labels, from the least to the greatest.
template <class F>
void for_each_label(const keyed_label* items, std::int64_t n, const F& f) {
    for (std::int64_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && items[end].key == items[begin].key;) ++end;
        f(begin, end);
    }
}
template <class F>
void for_each_label_backwards(const keyed_label* items, std::int64_t n, const F& f) {
    for (std::int64_t end = n, begin; end > 0; end = begin) {
        for (begin = end - 1; begin > 0 && items[begin - 1].key == items[begin].key;) --begin;
        f(begin, end);
    }
}

}  // namespace

// A pair adds exp(z_i - z_j) where the label of i is less than that of j. Sorted by label, the sum over all j
// above i is one that grows from the end, and the sum over all i below j one that grows from the beginning.
double run_ordered_scores(const double* scores, const double* labels, double scale, double* grad,
                          std::int64_t n) {
    bool poisoned = false;
    for (std::int64_t i = 0; i < n; ++i) poisoned |= scores[i] != scores[i] || labels[i] != labels[i];
    if (poisoned) {
        for (std::int64_t i = 0; grad && i < n; ++i) grad[i] = __builtin_nan("");
        return __builtin_nan("");
    }
    const scratch memory(std::size_t(2 * n) * (sizeof(keyed_label) + sizeof(double)));
    keyed_label* const items = reinterpret_cast<keyed_label*>(memory.data());
    double* const z = reinterpret_cast<double*>(items + 2 * n);
    double* const over = z + n;  // the log of the sum of all pairs whose lower label it has
    for (std::int64_t i = 0; i < n; ++i) items[i] = {key_of(labels[i]), std::uint64_t(i)};
    const keyed_label* const sorted = radix_sort(items, items + n, std::size_t(n));
    for (std::int64_t k = 0; k < n; ++k) z[k] = scale * scores[sorted[k].index];

    log_sum all, above;
    for_each_label_backwards(sorted, n, [&](std::int64_t begin, std::int64_t end) {
        const double others = above.value();
        for (std::int64_t k = begin; k < end; ++k) {
            over[k] = end < n ? z[k] + others : others;
            all.add(over[k]);
        }
        for (std::int64_t k = begin; k < end; ++k) above.add(-z[k]);
    });
    const double logit = all.value();
    const double value = std::log1p(std::exp(-std::fabs(logit))) + (logit > 0.0 ? logit : 0.0);
    if (!grad) return value;

    log_sum below;
    for_each_label(sorted, n, [&](std::int64_t begin, std::int64_t end) {
        const double others = below.value();
        for (std::int64_t k = begin; k < end; ++k) {
            const double under = begin > 0 ? others - z[k] : others;
            grad[sorted[k].index] = scale * (std::exp(over[k] - value) - std::exp(under - value));
        }
        for (std::int64_t k = begin; k < end; ++k) below.add(z[k]);
    });
    return value;
}

}  // namespace runtime
}  // namespace fusedloss
