// The compiled library: every loss by name, at the best ISA level the machine has, chosen at run time.
// Plain functions and data, so that callers may be compiled with any flags.
#pragma once

#include <cstddef>

#include "core/boxes_job.hpp"
#include "core/overlap_job.hpp"
#include "core/pairs_job.hpp"
#include "core/similarity_job.hpp"

namespace fusedloss {
namespace runtime {

struct loss_info {
    const char* name;
    const char* inputs;  // space-separated argument names, in order
    const char* params;  // space-separated parameter names: the loss struct is that many doubles
    elementwise_traits traits;
};

int loss_count();
const loss_info& loss_at(int index);
int find_loss(const char* name);  // -1 if there is none

// Runs a validated job. The job's dims, strides and weights are prepared here; `total` is returned.
// Gradients and Hessian are multiplied by job.grad_scale.
sum run(int loss, elementwise_job& job, int threads);

// The sum of the product of the job's weights over its shape, and the first bad one.
weight_sum sum_weights(elementwise_job& job, int threads);

// Losses of rows of class scores, a family with names of its own.
struct row_loss_info {
    const char* name;
    const char* inputs;  // the arrays with a class axis, then the label if it takes one
    const char* params;
    rows_traits traits;
    const char*
        shape;  // of its formula: "softmax", "rows", "boxes", or "similarity", for rows of similarities alone
    bool softmax;  // a function of log p_y: takes class weights, softmax_options and the other results by row
};
int row_loss_count();
const row_loss_info& row_loss_at(int index);
int find_row_loss(const char* name);  // -1 if there is none

// Runs a validated job. With dense targets, in[1] holds the probabilities, inputs is 2 and there is no label.
// The class weight of the label multiplies value and gradients wherever there is a label (the z-loss
// excepted). Ignored rows and rows of weight 0 have value, gradients, Hessian and log-sum-exp 0 and argmax
// -1, whatever their scores are.
sum run_rows(int loss, rows_job& job, int threads);

// Runs a loss of rows on the scores of pairs of vectors: a validated job, whose labels are contiguous 64-bit
// integers. Needs memory for a chunk of scores (20 MB, or 64 rows if that is more; 256 rows at most), for
// vectors that are not already one after another in the precision of the products or have to be normalised,
// and for their gradients.
sum run_similarity(int loss, const similarity_job& job, int threads);

// Losses of pairs of boxes: rows of four classes, without labels.
int box_loss_count();
const row_loss_info& box_loss_at(int index);
sum run_boxes(int loss, rows_job& job, int threads);

// The IoU of all pairs of two sets of boxes.
void run_box_matrix(box_matrix_job& job, int threads);

// The matrix product behind them, of floats or doubles.
template <class C>
void multiply(const matrix_product<C>& p, int threads);

// A loss of the second moments of a batch: its value; gradients are written. Needs memory for the vectors of
// each view and for a matrix of all pairs of columns.
double run_moments(const moments_job& job, int threads);

// Looks at every label of the job (and at the weights of its rows) and writes nothing. Labels must lie in
// [0, valid_labels) or be the ignored one. Without labels every row is valid.
label_report check_labels(const rows_job& job, std::int64_t valid_labels, int threads);

// Losses of rows of paired vectors.
struct pair_loss_info {
    const char* name;
    const char* inputs;  // the vectors, then what has one number per row, then the label if it takes one
    const char* params;
    pairs_traits traits;
};
int pair_loss_count();
const pair_loss_info& pair_loss_at(int index);
int find_pair_loss(const char* name);  // -1 if there is none

// Runs a validated job. With a label, in[1] has rows of its own, and no gradient here: job.pull gets what
// scatter_pull makes it of.
sum run_pairs(int loss, pairs_job& job, int threads);

// Afterwards: the gradient in the `rows` rows of in[1], minus the sum of pull[i] (x_i - y) over the rows i
// whose label names y.
void scatter_pull(const pairs_job& job, std::int64_t rows, const class_array& out, int threads);

// Losses of the overlap of masks, a family with names of its own.
struct overlap_loss_info {
    const char* name;
    const char* inputs;  // the scores, then the target
    const char* params;
    overlap_traits traits;
};
int overlap_loss_count();
const overlap_loss_info& overlap_loss_at(int index);

// Runs a validated job.
sum run_overlap(int loss, overlap_job& job, int threads);

// The sum over all pairs, the derivatives in the positive scores added to those in s.positive_grad, and in
// the negative ones put into negative_grad (null: not wanted).
double run_score_pairs(const score_pairs& s, std::int64_t positives, double* negative_grad, int threads);

// log(1 + sum exp(scale (score_i - score_j))) over all pairs whose labels are in the other order, label_i <
// label_j, and its derivatives in the scores (null: not wanted). Needs memory for six numbers per score.
double run_ordered_scores(const double* scores, const double* labels, double scale, double* grad,
                          std::int64_t n);

// What boosting asks for after a loss: hess = sign max(scale hess, floor) and grad = sign grad. Returns
// whether all of both is finite.
bool finish_derivatives(float* grad, float* hess, std::int64_t count, float scale, float floor, float sign,
                        int threads);

// ISA levels, best first. set_isa returns false for a level that is unknown or that this CPU lacks.
int isa_count();
const char* isa_name(int index);
bool isa_supported(int index);
const char* active_isa();
bool set_isa(const char* name);

// Threads: what was set with set_threads, else OMP_NUM_THREADS, else as many as OpenMP, the CPU
// affinity and the cgroup quota all allow.
int default_threads();
void set_threads(int n);  // 0: back to the default
int cgroup_cpu_limit();   // 0 if there is none
const char* openmp_name();
void watch_forks();  // from here on a forked child runs on one thread; parallel calls do this by themselves

std::size_t last_level_cache();
const char* compiler();

}  // namespace runtime
}  // namespace fusedloss
