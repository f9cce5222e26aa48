// THE list: a loss exists when its struct stands in its family's type list. Kernels, bindings, tests,
// benchmarks and documentation enumerate these lists; nobody keeps another one.
#pragma once

#include "losses/activation.hpp"
#include "losses/adaptive_margin.hpp"
#include "losses/binary.hpp"
#include "losses/centres.hpp"
#include "losses/contrastive.hpp"
#include "losses/detection.hpp"
#include "losses/distribution.hpp"
#include "losses/divergence.hpp"
#include "losses/evidential.hpp"
#include "losses/focal.hpp"
#include "losses/likelihood.hpp"
#include "losses/log_probability.hpp"
#include "losses/metric.hpp"
#include "losses/multiclass.hpp"
#include "losses/multiclass_hinge.hpp"
#include "losses/multilabel.hpp"
#include "losses/ordinal.hpp"
#include "losses/pairwise.hpp"
#include "losses/preference.hpp"
#include "losses/ranking.hpp"
#include "losses/regression.hpp"
#include "losses/robust.hpp"
#include "losses/row_activation.hpp"
#include "losses/segmentation.hpp"
#include "losses/triplet.hpp"

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
    exponential_margin, savage, tangent, hinge_embedding, margin_ranking, distance_triplet, bpr, aucm,
    // preference.hpp, ordinal.hpp
    dpo, cpo, orpo, kto, policy_ratio, cumulative_link,
    // activation.hpp
    sigmoid_unit, softplus_unit, tanh_unit, exp_unit, softsign_unit, rectified_unit, clipped_unit,
    softshrink_unit, elu_unit, silu_unit, gelu_unit, gelu_tanh_unit, mish_unit>;

// Rows of class scores: functions of the softmax at the label, and everything else.
using softmax_losses = type_list<
    // multiclass.hpp, log_probability.hpp
    cross_entropy, logsumexp, selected_log_prob, softmax_focal, poly_cross_entropy,
    generalized_cross_entropy>;
using rows_losses = type_list<
    // multiclass.hpp, log_probability.hpp
    brier, dense_targets<softmax_focal>, dense_targets<poly_cross_entropy>,
    dense_targets<generalized_cross_entropy>,
    // distribution.hpp, evidential.hpp
    divergence, kl_divergence, power_divergence, entropy, confidence_penalty, nll,
    sparse_categorical_cross_entropy, evidential_dirichlet, entmax_loss,
    // multiclass_hinge.hpp, multilabel.hpp, ordinal.hpp
    multi_margin, multiclass_hinge, multilabel_margin, multilabel_soft_margin, zlpr, coral,
    ranked_probability_score,
    // row_activation.hpp
    softmax_row, softmax_row_vjp, gumbel_softmax_row, gumbel_softmax_row_vjp, taylor_softmax_row,
    taylor_softmax_row_vjp, entmax_row, entmax_row_vjp, l2_normalize_row, l2_normalize_row_vjp>;

// Rows of similarities of one vector with many (families/similarity.hpp): formulas as those of rows_losses.
using similarity_losses = type_list<
    // contrastive.hpp
    supervised_contrastive, pairwise_nt_xent, decoupled_contrastive, two_sided_cross_entropy,
    shared_partition, score_cosine, sigmoid_pairs,
    // metric.hpp, centres.hpp, adaptive_margin.hpp
    multi_similarity, circle, neighbourhood_components, generalized_lifted, lifted_negatives,
    lifted_structure, tuplet_margin, angular, smooth_ap, pnp, fast_ap, ranked_list, margin_pairs, batch_hard,
    batch_all, batch_semi_hard, proxy_anchor, mega_batch_margin, ge2e_contrast, target_regression,
    centre_softmax, adaptive_margin>;

// Pairs of boxes.
using box_losses = type_list<
    // detection.hpp
    box_iou, generalized_box_iou, distance_box_iou, complete_box_iou, efficient_box_iou, alpha_iou,
    minimum_point_distance_iou, scylla_box_iou, wise_box_iou>;

// Rows of paired vectors.
using pairs_losses = type_list<
    // pairwise.hpp, triplet.hpp
    pair_value, pair_regression, contrastive, cosine_embedding, center, triplet, triplet_swap, quadruplet,
    margin_mse>;

// Functions of the overlap of masks.
using overlap_losses = type_list<
    // segmentation.hpp
    tversky, tversky_mean, generalized_dice, matthews, boundary, mean_difference, wasserstein_dice,
    tversky_and_pixels, unified_focal, lovasz_hinge, lovasz_softmax>;

}  // namespace fusedloss
