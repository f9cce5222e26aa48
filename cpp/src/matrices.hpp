// Matrices on their way to products and back: their memory, and how work on them is shared.
#pragma once

#include <cstdint>
#include <memory>

#include "fusedloss/core/parallel.hpp"
#include "fusedloss/core/rows_job.hpp"
#include "fusedloss/core/views.hpp"
#include "scratch.hpp"

namespace fusedloss {
namespace runtime {

// Products of fewer terms are over before another thread has woken up.
constexpr double serial_terms = 1 << 18;

template <class C>
class buffer {
  public:
    buffer() = default;
    explicit buffer(std::int64_t numbers) : memory_(new scratch(std::size_t(numbers) * sizeof(C))) {}
    C* get() const { return reinterpret_cast<C*>(memory_->data()); }

  private:
    std::unique_ptr<scratch> memory_;
};

// Whether numbers lie as those of a matrix do, in rows of so many.
template <class C>
bool lies_flat(const class_array& a, std::int64_t width, std::int64_t rows) {
    constexpr std::int64_t size = sizeof(C);
    return a.rows.data && a.rows.type == dtype_of<C> && (a.step == size || width == 1) &&
           reinterpret_cast<std::uintptr_t>(a.rows.data) % size == 0 &&
           (a.rows.stride[0] == width * size || rows == 1);
}

// Calls body(share, begin, end) for as many parts of [0, n) as there are threads.
template <class Body>
void for_shares(std::int64_t n, int threads, const Body& body) {
    const std::int64_t shares = n < threads ? n : threads;
    parallel_for(shares, threads,
                 [&](std::int64_t t) { body(int(t), n * t / shares, n * (t + 1) / shares); });
}

}  // namespace runtime
}  // namespace fusedloss
