// What gradient boosting asks for after a loss. Compiled for the baseline.
#include "fusedloss/core/blocks.hpp"
#include "fusedloss/runtime.hpp"

namespace fusedloss {
namespace runtime {

bool finish_derivatives(const float* grad, float* hess, std::int64_t count, float scale, float floor,
                        int threads) {
    const sum bad = for_each_block(count, threads, [&](std::int64_t begin, std::int64_t end) {
        int seen = 0;
        for (std::int64_t i = begin; i < end; ++i) {
            const float scaled = scale * hess[i], h = floor > scaled ? floor : scaled;  // NaN stays
            hess[i] = h;
            seen |= !(grad[i] - grad[i] == 0.0f) | !(h - h == 0.0f);
        }
        return sum{double(seen), 0.0};
    });
    return bad.high == 0.0;
}

}  // namespace runtime
}  // namespace fusedloss
