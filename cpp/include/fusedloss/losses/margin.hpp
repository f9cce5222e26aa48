// What margins make of the cosine of a label: ArcFace, CosFace.
#pragma once

#include "../core/similarity_job.hpp"
#include "../simd/isa.hpp"

FUSEDLOSS_BEGIN

struct margin_terms {
    double value, slope;  // slope: by the cosine
};
FUSEDLOSS_SHARED margin_terms with_margin(const target_margin& m, double cosine) {
    const double c = cosine > 1.0 ? 1.0 : cosine < -1.0 ? -1.0 : cosine;
    const double squared = 1.0 - c * c, sine = __builtin_sqrt(squared > 1e-12 ? squared : 1e-12);
    const double of_second = __builtin_cos(m.second), sine_of_second = __builtin_sin(m.second);
    // Beyond the angle where cos(angle + second) would rise again, a line goes on.
    const bool falls = m.easy != 0.0 ? c > 0.0 : c > -of_second;
    if (falls || m.second == 0.0)
        return {c * of_second - sine * sine_of_second - m.third, of_second + c * sine_of_second / sine};
    return {c - (m.easy != 0.0 ? 0.0 : m.second * sine_of_second) - m.third, 1.0};
}

FUSEDLOSS_END
