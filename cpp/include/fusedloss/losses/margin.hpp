// What margins make of the cosine of a label: ArcFace, CosFace, SphereFace and all between.
#pragma once

#include "../core/similarity_job.hpp"
#include "../simd/isa.hpp"

FUSEDLOSS_BEGIN

struct margin_terms {
    double value, slope, by_second;  // derivatives: by the cosine, and by the second margin
};

// cos(first * angle + second) - third. At cosines of -1 and 1 the slope stays finite.
FUSEDLOSS_SHARED margin_terms with_margin(const target_margin& m, double cosine) {
    constexpr double pi = 3.14159265358979323846, least_sine = 1e-6;
    const double c = cosine > 1.0 ? 1.0 : cosine < -1.0 ? -1.0 : cosine;
    const double sine = __builtin_sqrt((1.0 - c) * (1.0 + c)), steep = sine > least_sine ? sine : least_sine;
    const double of_second = __builtin_cos(m.second), sine_of_second = __builtin_sin(m.second);
    if (m.beyond == margin_beyond::stays) {
        const bool ahead = m.second > 0.0;
        if (ahead ? c < -of_second : c > of_second) return {(ahead ? -1.0 : 1.0) - m.third, 0.0, 0.0};
    }
    if (m.first == 1.0 && m.beyond != margin_beyond::falls) {
        const bool easy = m.beyond == margin_beyond::cosine;
        const bool always = m.second == 0.0 || m.beyond == margin_beyond::stays;
        const bool harder = easy ? c > 0.0 : c >= -of_second || always;
        const double taken = easy ? 0.0 : m.second * sine_of_second;
        const double by_taken = easy ? 0.0 : -(sine_of_second + m.second * of_second);
        if (!harder) return {c - taken - m.third, c == c ? 1.0 : c, by_taken};
        return {c * of_second - sine * sine_of_second - m.third, of_second + c * sine_of_second / steep,
                -(sine * of_second + c * sine_of_second)};
    }
    const double angle = __builtin_acos(c), many = m.first * angle, inner = __builtin_cos(many);
    // sin(first * angle) / sin(angle), at the ends by l'Hopital's rule.
    const double ratio = sine > least_sine ? __builtin_sin(many) / sine : m.first * inner / c;
    const double slope = m.first * (ratio * of_second + inner * (sine_of_second / steep));
    // Every half turn the cosine changes its sign and goes on where it was.
    const double begun = __builtin_ceil((many + m.second) / pi), turns = begun > 0.0 ? begun - 1.0 : 0.0;
    const double sign = turns - 2.0 * __builtin_floor(0.5 * turns) == 0.0 ? 1.0 : -1.0;
    return {sign * __builtin_cos(many + m.second) - 2.0 * turns - m.third, sign * slope,
            -sign * __builtin_sin(many + m.second)};
}

FUSEDLOSS_END
