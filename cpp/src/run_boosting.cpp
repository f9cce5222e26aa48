// What gradient boosting asks for after a loss. Compiled for the baseline.
#include "fusedloss/core/blocks.hpp"
#include "fusedloss/runtime.hpp"

namespace fusedloss {
namespace runtime {

bool finish_derivatives(float* grad, float* hess, std::int64_t count, float scale, float floor, float sign,
                        int threads) {
    const sum bad = for_each_block(count, threads, [&](std::int64_t begin, std::int64_t end) {
        int seen = 0;
        for (std::int64_t i = begin; i < end; ++i) {
            const float g = sign * grad[i], scaled = scale * hess[i];
            const float h = sign * (floor > scaled ? floor : scaled);  // NaN stays
            grad[i] = g;
            hess[i] = h;
            seen |= !(g - g == 0.0f) | !(h - h == 0.0f);
        }
        return sum{double(seen), 0.0};
    });
    return bad.high == 0.0;
}

}  // namespace runtime
}  // namespace fusedloss
