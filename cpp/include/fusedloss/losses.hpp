// THE list: a loss exists when its struct stands in its family's type list. Kernels, bindings, tests,
// benchmarks and documentation enumerate these lists; nobody keeps another one.
#pragma once

#include "losses/binary.hpp"
#include "losses/divergence.hpp"
#include "losses/focal.hpp"
#include "losses/likelihood.hpp"
#include "losses/preference.hpp"
#include "losses/ranking.hpp"
#include "losses/regression.hpp"
#include "losses/robust.hpp"

namespace fusedloss {

template <class... Loss>
struct type_list {};

using elementwise_losses = type_list<
    // regression.hpp
    mse, l1, smooth_l1, huber, logcosh, quantile, quantile_huber, expectile, mean_absolute_percentage,
    symmetric_mean_absolute_percentage, mean_squared_logarithmic, mean_bias, epsilon_insensitive,
    squared_epsilon_insensitive, lp, linex,
    // robust.hpp
    pseudo_huber, charbonnier, cauchy, arctan, fair, welsch, geman_mcclure, tukey_biweight, general_robust,
    wing, adaptive_wing,
    // likelihood.hpp, divergence.hpp
    poisson_nll, poisson_rate_nll, poisson_nll_full, gaussian_nll, gaussian_log_var_nll, gamma_nll,
    tweedie_nll, tweedie_deviance, laplace_nll, student_t_nll, negative_binomial_nll, evidential_nig, aft_nll,
    kl_div, generalized_kl,
    // binary.hpp, focal.hpp, ranking.hpp
    bce, bce_with_logits, weighted_bce_with_logits, focal, asymmetric, soft_margin, hinge, smoothed_hinge,
    exponential_margin, savage, tangent, hinge_embedding, margin_ranking, bpr, aucm,
    // preference.hpp
    dpo, cpo, orpo, kto, policy_ratio>;

}  // namespace fusedloss
