// Losses of the scores of all pairs of two sets of vectors, a chunk of rows at a time:
// families/similarity.hpp says how. Compiled for the baseline.
#include <cmath>
#include <cstring>
#include <vector>

#include "fusedloss/core/parallel.hpp"
#include "fusedloss/core/reduction.hpp"
#include "fusedloss/core/views.hpp"
#include "fusedloss/runtime.hpp"
#include "matrices.hpp"
#include "tables.hpp"

namespace fusedloss {
namespace runtime {
namespace {

// The buffer of the scores holds so much, but rows enough for the products and no more than pay.
constexpr std::int64_t score_bytes = 20 << 20, least_rows = 64, most_rows = 256;

strided advanced(strided a, std::int64_t rows) {
    if (a.data) a.data = static_cast<char*>(a.data) + rows * a.stride[0];
    return a;
}

template <class C>
class similarity_run {
  public:
    similarity_run(const similarity_job& j, const similarity_kernels<C>& kernels, int loss, int threads)
        : job(j),
          run(kernels),
          loss_(loss),
          count(j.rows.count),
          classes(j.rows.classes),
          dimensions(j.dimensions),
          gradients(j.rows.grad[0].rows.data),
          inner_(has_learned_scale(j) ? 1.0 : j.scale),
          threads_(double(count) * double(classes) * double(dimensions) < serial_terms ? 1 : threads) {
        assign_inputs();
        // Long rows end in odd multiples of a line: their columns lie in different sets of the caches. Short
        // ones follow each other, as the losses of rows like it best.
        constexpr std::int64_t line = 64 / sizeof(C);
        pitch = (classes + line - 1) / line * line;
        if (pitch / line % 2 == 0) pitch += line;
        if (classes <= most_columns) pitch = classes;
        chunk = score_bytes / (pitch * std::int64_t(sizeof(C))) / 8 * 8;
        chunk = chunk < least_rows ? least_rows : chunk > most_rows ? most_rows : chunk;
        if (chunk > count) chunk = count;
        scores = buffer<C>(chunk * pitch);
        workspace = buffer<C>(run.product_workspace * threads_);
        // A row that weighs nothing itself is still among those that the columns of others choose from.
        const bool alone = !job.two_sided && job.first_loss < 0;
        if (alone && (job.rows.weights > 0 || job.rows.ignores)) find_excluded();
        slopes.resize(std::size_t(job.has_margin ? chunk : 0));
        radial.resize(slopes.size());
        column_radial.resize(slopes.size());
        of_lengths.resize(std::size_t(job.by_length && gradients ? count : 0));
        terms.resize(std::size_t(job.terms ? count : 0));
        column_sums.resize(std::size_t(gradients && (job.distance || job.bias_grad) ? columns : 0));
    }

    sum all() {
        for (matrix& m : matrices)
            if (!m.inputs.empty()) prepare(m);
        if (group) prepare_groups();
        if (job.compared.rows.rows.data) lay_compared();
        if (job.distance && gradients && !job.normalize) centre();
        if (job.two_sided) look_at_columns();
        if (job.first_loss >= 0) run_first_loss();
        sum total{0.0, 0.0};
        for_chunks([&](const score_chunk<C>& s, std::int64_t begin) {
            score(s, begin);
            add_to(total, apply_loss(s, begin));
            if (gradients) push_back(s, begin);
        });
        if (job.terms) count_terms();
        if (gradients) finish();
        return settled(total);
    }

  private:
    // Vectors one after another, in the arithmetic of the products, and the gradient with respect to them:
    // the caller's memory where it will do.
    struct matrix {
        std::vector<int> inputs;
        std::int64_t vectors = 0;
        const C* data = nullptr;
        const C* centred = nullptr;  // what gradients are made of
        C* grad = nullptr;
        buffer<C> own_data, own_centred, own_grad;
        std::vector<double> norms;
        bool wanted = false, begun = false;  // begun: the gradient holds something to add to

        C* grad_of(std::int64_t vector, std::int64_t dimensions) const { return grad + vector * dimensions; }
        const C* at(std::int64_t vector, std::int64_t dimensions) const { return data + vector * dimensions; }
        const C* centred_at(std::int64_t vector, std::int64_t dimensions) const {
            return centred + vector * dimensions;
        }
    };

    static bool has_learned_scale(const similarity_job& j) {
        for (int k = 0; k < j.inputs; ++k)
            if (j.input[k].role == similarity_role::scale) return true;
        return false;
    }
    static bool is_column(similarity_role role) {
        return role == similarity_role::column || role == similarity_role::centres;
    }

    void assign_inputs() {
        for (int k = 0; k < job.inputs; ++k) {
            const similarity_input& input = job.input[k];
            const similarity_role role = input.role;
            if (!has_vectors(role)) continue;
            if (role == similarity_role::own) {
                own_of.push_back(int(matrices.size()));
                matrices.emplace_back();
            } else {
                int& index = is_column(role) ? y : x;
                if (index < 0) {
                    index = int(matrices.size());
                    matrices.emplace_back();
                }
                if (role == similarity_role::both) y = index;
                if (role == similarity_role::groups) group = input.each;
            }
            matrix& m = role == similarity_role::own ? matrices.back()
                                                     : matrices[std::size_t(is_column(role) ? y : x)];
            m.inputs.push_back(k);
            m.vectors += input.vectors;
            m.wanted = m.wanted || input.grad.rows.data;
            if (role == similarity_role::own) own_columns += input.each;
        }
        columns = classes - own_columns;
        // The gradient in the scale is made of those in the rows, in distances of those in all vectors.
        for (matrix& m : matrices)
            if (job.scale_grad && (job.distance || &m == &matrices[std::size_t(x)])) m.wanted = true;
        if (group) {
            y = int(matrices.size());
            matrices.emplace_back();
            matrices.back().vectors = columns;
            matrices.back().wanted = matrices[std::size_t(x)].wanted;
        }
    }

    // Whether an array lies as a matrix does.
    bool usable(const similarity_input& input, const class_array& a) const {
        if (input.role == similarity_role::centres) return false;
        const std::int64_t each = each_of(input);
        const bool apart = a.rows.stride[1] != dimensions * std::int64_t(sizeof(C)) && each != 1;
        return !apart && lies_flat<C>(a, dimensions * each, input.vectors / each);
    }

    template <class Body>
    void for_chunks(const Body& body) {
        for (std::int64_t begin = 0; begin < count; begin += chunk) {
            const int n = int(count - begin < chunk ? count - begin : chunk);
            body(score_chunk<C>{scores.get(), pitch, n}, begin);
        }
    }
    template <class Body>
    void over(std::int64_t n, const Body& body) {
        for_shares(n, threads_, body);
    }
    void multiply(const matrix_product<C>& p, bool distance = false) {
        const auto share = distance ? run.squared_differences : run.product;
        parallel_for(threads_, threads_, [&](std::int64_t t) {
            share(p, int(t), threads_, workspace.get() + t * run.product_workspace);
        });
    }

    // The vectors that scores are compared with those of.
    void lay_compared() {
        const compared_scores& other = job.compared;
        const auto lay = [&](const class_array& a, std::int64_t vectors, buffer<C>& own) {
            if (lies_flat<C>(a, other.dimensions, vectors)) return static_cast<const C*>(a.rows.data);
            own = buffer<C>(vectors * other.dimensions);
            over(vectors, [&](int, std::int64_t begin, std::int64_t end) {
                run.fetch(a, 1, begin, end, other.dimensions, false, own.get(), nullptr);
            });
            return static_cast<const C*>(own.get());
        };
        compared_rows = lay(other.rows, count, own_compared_rows);
        compared_columns = lay(other.columns, classes, own_compared_columns);
        compared = buffer<C>(chunk * pitch);
    }

    void prepare(matrix& m) {
        const similarity_input& first = job.input[m.inputs[0]];
        const bool single = m.inputs.size() == 1, wanted = gradients && m.wanted;
        const bool normalize = job.normalize && !(job.raw_rows && &m == &matrices[std::size_t(x)]);
        if (single && !normalize && usable(first, first.data)) {
            m.data = static_cast<const C*>(first.data.rows.data);
        } else {
            m.own_data = buffer<C>(m.vectors * dimensions);
            m.data = m.own_data.get();
            if (normalize && (wanted || group || job.by_length)) m.norms.resize(std::size_t(m.vectors));
            std::int64_t done = 0;
            for (int k : m.inputs) {
                const similarity_input& input = job.input[k];
                C* const to = m.own_data.get() + done * dimensions;
                double* const norms = m.norms.empty() ? nullptr : m.norms.data() + done;
                over(input.vectors, [&](int, std::int64_t begin, std::int64_t end) {
                    run.fetch(input.data, each_of(input), begin, end, dimensions, normalize, to, norms);
                });
                done += input.vectors;
            }
        }
        m.centred = m.data;
        if (!wanted) return;
        if (single && usable(first, first.grad)) {
            m.grad = static_cast<C*>(first.grad.rows.data);
        } else {
            m.own_grad = buffer<C>(m.vectors * dimensions);
            m.grad = m.own_grad.get();
        }
    }
    // Gradients of distances are sums of differences: taken from vectors around their mean, they keep their
    // digits wherever that is.
    void centre() {
        const matrix& centre_of = matrices[std::size_t(y >= 0 ? y : own_of[0])];
        std::vector<double> mean(std::size_t(dimensions), 0.0);
        for (std::int64_t v = 0; v < centre_of.vectors; ++v)
            for (std::int64_t d = 0; d < dimensions; ++d)
                mean[std::size_t(d)] += double(centre_of.at(v, dimensions)[d]);
        for (double& x : mean) x /= double(centre_of.vectors ? centre_of.vectors : 1);
        for (matrix& m : matrices) {
            m.own_centred = buffer<C>(m.vectors * dimensions);
            C* const to = m.own_centred.get();
            over(m.vectors, [&](int, std::int64_t begin, std::int64_t end) {
                for (std::int64_t v = begin; v < end; ++v)
                    for (std::int64_t d = 0; d < dimensions; ++d)
                        to[v * dimensions + d] = C(double(m.at(v, dimensions)[d]) - mean[std::size_t(d)]);
            });
            m.centred = to;
        }
    }
    static std::int64_t each_of(const similarity_input& input) {
        const bool several = input.role == similarity_role::own || input.role == similarity_role::centres ||
                             input.role == similarity_role::groups;
        return several ? input.each : 1;
    }

    // ---- groups -------------------------------------------------------------------------------------

    vector_group<C> group_at(std::int64_t j) const {
        const matrix &rows = matrices[std::size_t(x)], &means = matrices[std::size_t(y)];
        return {group,
                dimensions,
                rows.at(j * group, dimensions),
                rows.norms.data() + j * group,
                group_sums.data() + j * dimensions,
                means.at(j, dimensions),
                means.norms[std::size_t(j)]};
    }

    // The directions of the groups' sums are those of their means.
    void prepare_groups() {
        const matrix& rows = matrices[std::size_t(x)];
        matrix& means = matrices[std::size_t(y)];
        means.own_data = buffer<C>(columns * dimensions);
        means.data = means.centred = means.own_data.get();
        means.norms.resize(std::size_t(columns));
        group_sums.resize(std::size_t(columns * dimensions));
        rests.resize(std::size_t(count));
        over(columns, [&](int, std::int64_t first, std::int64_t last) {
            for (std::int64_t j = first; j < last; ++j)
                means.norms[std::size_t(j)] = run.sum_group(
                    rows.at(j * group, dimensions), rows.norms.data() + j * group, group, dimensions,
                    group_sums.data() + j * dimensions, means.own_data.get() + j * dimensions);
        });
        if (!gradients || !means.wanted) return;
        means.own_grad = buffer<C>(columns * dimensions);
        means.grad = means.own_grad.get();
    }

    // A row and the rest of its group: the scores at the labels.
    void score_groups(const score_chunk<C>& s, std::int64_t begin) {
        over(s.rows, [&](int, std::int64_t first, std::int64_t last) {
            for (std::int64_t r = first; r < last; ++r) {
                const std::int64_t i = begin + r, j = i / group;
                rest_of_group& rest = rests[std::size_t(i)];
                rest = run.rest_of(group_at(j), i % group);
                const double bias = job.bias ? job.bias[j * job.bias_step] : 0.0;
                *own_scores(s, int(r), j) = C(job.scale * rest.cosine + bias);
            }
        });
    }

    // The gradients at the labels, which go to the rest of the group, leave the chunk.
    void take_own_gradients(const score_chunk<C>& s, std::int64_t begin) {
        for (int r = 0; r < s.rows; ++r) {
            const std::int64_t i = begin + r;
            C& g = *own_scores(s, r, i / group);
            rests[std::size_t(i)].slope = double(g) * inner_;
            g = C(0);
        }
    }
    // What the rests and the sums of the groups mean for their members, and the directions of the rows for
    // the rows, times a factor.
    void finish_groups(double factor) {
        matrix& rows = matrices[std::size_t(x)];
        const matrix& means = matrices[std::size_t(y)];
        over(columns, [&](int, std::int64_t first, std::int64_t last) {
            std::vector<double> common(static_cast<std::size_t>(dimensions));
            for (std::int64_t j = first; j < last; ++j)
                run.push_back_group(group_at(j), rests.data() + j * group, means.grad_of(j, dimensions),
                                    factor, common.data(), rows.grad_of(j * group, dimensions));
        });
        rows.norms.clear();
    }

    C* own_scores(const score_chunk<C>& s, int r, std::int64_t column) const {
        return s.scores + r * pitch + column;
    }

    // ---- scores -------------------------------------------------------------------------------------

    void score(const score_chunk<C>& s, std::int64_t begin) {
        const matrix& rows = matrices[std::size_t(x)];
        const score_chunk<C> shared{s.scores + own_columns, pitch, s.rows};
        const C alpha = C(job.distance ? -job.scale : job.scale);
        if (job.bias) {
            const std::int64_t step = job.bias_step;
            over(columns, [&](int, std::int64_t first, std::int64_t last) {
                run.fill_bias(shared, job.bias, step, first, last);
            });
        }
        if (columns)
            multiply(
                {s.rows, columns, dimensions, alpha, rows.at(begin, dimensions), dimensions, 1,
                 matrices[std::size_t(y)].data, 1, dimensions, job.bias != nullptr, shared.scores, pitch},
                job.distance);
        std::int64_t column = 0;
        for (int o : own_of) {
            const matrix& m = matrices[std::size_t(o)];
            const std::int64_t each = m.vectors / count;
            const auto pair = job.distance ? run.squared_differences : run.product;
            over(s.rows, [&](int share, std::int64_t first, std::int64_t last) {
                for (std::int64_t r = first; r < last; ++r)
                    pair({1, each, dimensions, alpha, rows.at(begin + r, dimensions), dimensions, 1,
                          m.at((begin + r) * each, dimensions), 1, dimensions, false,
                          own_scores(s, int(r), column), pitch},
                         0, 1, workspace.get() + share * run.product_workspace);
            });
            column += each;
        }
        if (job.exclude_self)
            for (int r = 0; r < s.rows; ++r) *own_scores(shared, r, begin + r) = -C(__builtin_inf());
        if (group) score_groups(shared, begin);
        if (job.has_margin)
            run.apply_margins(job.margin, job.scale, shared, labels() + begin,
                              has_raw_rows() ? rows.at(begin, dimensions) : nullptr,
                              job.normalize ? nullptr : matrices[std::size_t(y)].data, dimensions,
                              slopes.data(), radial.data(), column_radial.data());
    }
    bool has_raw_rows() const { return job.raw_rows || !job.normalize; }
    const std::int64_t* labels() const { return static_cast<const std::int64_t*>(job.rows.label.data); }

    // The scores that the loss compares those of the chunk with.
    void score_compared(int rows, std::int64_t begin) {
        const compared_scores& other = job.compared;
        const score_chunk<C> s{compared.get(), pitch, rows};
        if (other.bias)
            over(classes, [&](int, std::int64_t first, std::int64_t last) {
                run.fill_bias(s, other.bias, other.bias_step, first, last);
            });
        multiply({rows, classes, other.dimensions, C(1), compared_rows + begin * other.dimensions,
                  other.dimensions, 1, compared_columns, 1, other.dimensions, other.bias != nullptr, s.scores,
                  pitch});
    }

    // The log-sum-exp of every column, and the weights of the rows as those of columns.
    void look_at_columns() {
        column_log_sum_exp.assign(std::size_t(columns), -__builtin_inf());
        std::vector<double> total(std::size_t(columns), 0.0);
        for_chunks([&](const score_chunk<C>& s, std::int64_t begin) {
            score(s, begin);
            over(columns, [&](int, std::int64_t first, std::int64_t last) {
                run.add_exponentials(s, column_log_sum_exp.data(), total.data(), first, last);
            });
        });
        for (std::size_t j = 0; j < total.size(); ++j) column_log_sum_exp[j] += std::log(total[j]);
        for (std::size_t j = 0, half = total.size() / 2; job.paired && j < half; ++j) {
            double &a = column_log_sum_exp[j], &b = column_log_sum_exp[half + j];
            const double most = a > b ? a : b, least = a > b ? b : a;
            a = b = most + std::log1p(std::exp(least - most));
        }
        weigh_columns();
    }

    // The weights of the rows as those of the columns of their numbers.
    void weigh_columns() {
        column_weight.assign(std::size_t(columns), 0.0);
        for (std::int64_t i = 0; i < count && i < columns; ++i) column_weight[std::size_t(i)] = weight_of(i);
    }
    double weight_of(std::int64_t row) const {
        double weight = 1.0;
        for (int k = 0; k < job.rows.weights; ++k) {
            const strided a = advanced(job.rows.weight[k], row);
            double factor;
            gather_run(a.type, &factor, static_cast<const char*>(a.data), a.stride[0], 1);
            weight *= factor;
        }
        return weight;
    }

    // Rows without weight have no gradient, whatever they hold.
    void find_excluded() {
        for (std::int64_t i = 0; i < count; ++i) {
            const bool ignored = job.rows.ignores && labels()[i] == job.rows.ignore_index;
            if (!ignored && weight_of(i) != 0.0) continue;
            excluded.resize(std::size_t(count));
            excluded[std::size_t(i)] = true;
        }
        if (!excluded.empty()) kept_rows = buffer<C>(chunk * dimensions);
    }
    bool is_excluded(std::int64_t row) const { return !excluded.empty() && excluded[std::size_t(row)]; }
    // The vectors of a chunk's rows, zeros where they are excluded.
    const C* kept(const matrix& rows, std::int64_t begin, int n) {
        const C* const all = rows.centred_at(begin, dimensions);
        if (excluded.empty()) return all;
        const std::size_t bytes = std::size_t(dimensions) * sizeof(C);
        for (int r = 0; r < n; ++r) {
            C* const to = kept_rows.get() + r * dimensions;
            if (is_excluded(begin + r))
                std::memset(to, 0, bytes);
            else
                std::memcpy(to, all + r * dimensions, bytes);
        }
        return kept_rows.get();
    }

    // ---- the loss -----------------------------------------------------------------------------------

    rows_job rows_of(const score_chunk<C>& s, std::int64_t begin) {
        rows_job rows = job.rows;
        rows.count = rows.shape[0] = s.rows;
        rows.in[0].rows.data = s.scores;
        rows.in[0].rows.type = dtype_of<C>;
        rows.in[0].rows.stride[0] = pitch * std::int64_t(sizeof(C));
        rows.in[0].step = sizeof(C);
        for (int k = 1; k < rows.inputs; ++k) rows.in[k].rows = advanced(rows.in[k].rows, begin);
        rows.in_floats = sizeof(C) == sizeof(float);
        rows.label = advanced(rows.label, begin);
        for (int k = 0; k < rows.weights; ++k) rows.weight[k] = advanced(rows.weight[k], begin);
        rows.value = advanced(rows.value, begin);
        if (job.by_length) {
            rows.learned = matrices[std::size_t(x)].norms.data();
            if (gradients) rows.learned_grad = of_lengths.data();
        }
        if (rows.learned) rows.learned += begin;
        if (rows.learned_grad) rows.learned_grad += begin;
        if (job.terms) rows.terms = terms.data() + begin;
        return rows;
    }
    static void add_input(rows_job& rows, std::vector<double>& of_columns) {
        class_array& in = rows.in[rows.inputs++];
        in.rows = {of_columns.data(), dtype::float64, {0}};
        in.step = sizeof(double);
    }

    // What the first loss gives for each row. The loss weighs rows by itself: one row's negatives matter to
    // others.
    void run_first_loss() {
        firsts.resize(std::size_t(count));
        for_chunks([&](const score_chunk<C>& s, std::int64_t begin) {
            score(s, begin);
            rows_job rows = rows_of(s, begin);
            rows.value = {firsts.data() + begin, dtype::float64, {sizeof(double)}};
            rows.grad[0].rows.data = nullptr;
            rows.terms = nullptr;
            rows.weights = 0;
            rows.total = false;
            run_rows(job.first_loss, rows, threads_);
        });
        weigh_columns();
    }

    sum apply_loss(const score_chunk<C>& s, std::int64_t begin) {
        rows_job rows = rows_of(s, begin);
        if (compared_rows) {
            score_compared(s.rows, begin);
            class_array& in = rows.in[rows.inputs++];
            in = rows.in[0];
            in.rows.data = compared.get();
        }
        if (job.two_sided) {
            add_input(rows, column_log_sum_exp);
            add_input(rows, column_weight);
            rows.weights = 0;
        }
        if (job.first_loss >= 0) {
            add_input(rows, firsts);
            rows.class_weight = column_weight.data();
            rows.learned = column_weight.data() + begin;
            rows.weights = 0;
        }
        if (gradients) rows.grad[0] = rows.in[0];
        return run_rows(loss_, rows, threads_);
    }

    void count_terms() {
        sum all{0.0, 0.0};
        for (double t : terms) add_to(all, t);
        *job.terms = all;
        const double many = rounded(all);
        if (!job.mean_of_terms || many == 0.0) return;
        share_ = 1.0 / many;
        for (std::int64_t i = 0; job.rows.learned_grad && i < count; ++i) job.rows.learned_grad[i] *= share_;
    }

    // ---- gradients ----------------------------------------------------------------------------------

    void push_back(const score_chunk<C>& s, std::int64_t begin) {
        matrix& rows = matrices[std::size_t(x)];
        const score_chunk<C> shared{s.scores + own_columns, pitch, s.rows};
        if (job.exclude_self)
            for (int r = 0; r < s.rows; ++r) *own_scores(shared, r, begin + r) = C(0);
        if (job.has_margin)
            for (int r = 0; r < s.rows; ++r)
                if (labels()[begin + r] >= 0 && !is_excluded(begin + r)) {
                    C& g = *own_scores(shared, r, labels()[begin + r]);
                    radial[std::size_t(r)] *= double(g);
                    column_radial[std::size_t(r)] *= double(g);
                    g = C(double(g) * slopes[std::size_t(r)]);
                }
        const double factor = job.distance ? 2.0 * inner_ : inner_;
        const C alpha = C(factor);
        const C* const vectors = kept(rows, begin, s.rows);
        if (!column_sums.empty())
            over(columns, [&](int, std::int64_t first, std::int64_t last) {
                run.add_columns(shared, column_sums.data(), first, last);
            });
        if (group) take_own_gradients(shared, begin);
        if (columns) {
            matrix& shared_vectors = matrices[std::size_t(y)];
            if (shared_vectors.wanted) {
                multiply({columns, dimensions, s.rows, alpha, shared.scores, 1, pitch, vectors, dimensions, 1,
                          shared_vectors.begun, shared_vectors.grad, dimensions});
                shared_vectors.begun = true;
                for (int r = 0; job.has_margin && !job.normalize && r < s.rows; ++r) {
                    const std::int64_t j = labels()[begin + r];
                    if (!is_excluded(begin + r))
                        run.add_multiple(shared_vectors.grad_of(j, dimensions),
                                         shared_vectors.at(j, dimensions), column_radial[std::size_t(r)],
                                         dimensions);
                }
            }
            if (rows.wanted)
                multiply({s.rows, dimensions, columns, alpha, shared.scores, pitch, 1, shared_vectors.centred,
                          dimensions, 1, x == y, rows.grad_of(begin, dimensions), dimensions});
        }
        std::int64_t column = 0;
        for (int o : own_of) {
            matrix& m = matrices[std::size_t(o)];
            const std::int64_t each = m.vectors / count;
            const bool first_of_row = column == 0 && columns == 0;
            over(s.rows, [&](int share, std::int64_t first, std::int64_t last) {
                C* const own = workspace.get() + share * run.product_workspace;
                for (std::int64_t r = first; r < last; ++r) {
                    const C* const g = own_scores(s, int(r), column);
                    const std::int64_t at = (begin + r) * each;
                    if (is_excluded(begin + r)) {
                        const std::size_t bytes = std::size_t(dimensions) * sizeof(C);
                        if (rows.wanted && first_of_row)
                            std::memset(rows.grad_of(begin + r, dimensions), 0, bytes);
                        if (m.wanted) std::memset(m.grad_of(at, dimensions), 0, bytes * std::size_t(each));
                        continue;
                    }
                    if (rows.wanted)
                        run.product(
                            {1, dimensions, each, alpha, g, pitch, 1, m.centred_at(at, dimensions),
                             dimensions, 1, !first_of_row, rows.grad_of(begin + r, dimensions), dimensions},
                            0, 1, own);
                    if (!m.wanted) continue;
                    run.product({each, dimensions, 1, alpha, g, 1, pitch, vectors + r * dimensions,
                                 dimensions, 1, false, m.grad_of(at, dimensions), dimensions},
                                0, 1, own);
                    if (!job.distance) continue;
                    for (std::int64_t i = 0; i < each; ++i)
                        run.add_multiple(m.grad_of(at + i, dimensions), m.centred_at(at + i, dimensions),
                                         -factor * double(g[i]), dimensions);
                }
            });
            column += each;
        }
        if (job.has_margin && has_raw_rows() && rows.wanted)
            for (int r = 0; r < s.rows; ++r)
                if (!is_excluded(begin + r))
                    run.add_multiple(rows.grad_of(begin + r, dimensions), rows.at(begin + r, dimensions),
                                     radial[std::size_t(r)], dimensions);
        if (job.distance && rows.wanted)
            over(s.rows, [&](int, std::int64_t first, std::int64_t last) {
                for (std::int64_t r = first; r < last; ++r)
                    run.add_multiple(rows.grad_of(begin + r, dimensions), vectors + r * dimensions,
                                     -factor * run.add_row(s.scores + r * pitch, classes), dimensions);
            });
    }

    void finish() {
        const matrix& rows = matrices[std::size_t(x)];
        if (job.distance && columns) {
            const matrix& m = matrices[std::size_t(y)];
            if (m.wanted)
                over(columns, [&](int, std::int64_t first, std::int64_t last) {
                    for (std::int64_t j = first; j < last; ++j)
                        run.add_multiple(m.grad_of(j, dimensions), m.centred_at(j, dimensions),
                                         -2.0 * inner_ * column_sums[std::size_t(j)], dimensions);
                });
        }
        if (job.bias_grad) {
            if (job.bias_step)
                for (std::int64_t j = 0; j < columns; ++j)
                    job.bias_grad[j] = share_ * column_sums[std::size_t(j)];
            else {
                sum total{0.0, 0.0};
                for (double g : column_sums) add_to(total, g);
                *job.bias_grad = share_ * rounded(total);
            }
        }
        double factor = inner_ == job.scale ? share_ : share_ * job.scale;
        if (group && rows.wanted) {
            finish_groups(factor);
            factor = 1.0;
        }
        if (job.scale_grad) {
            // Scores are of the second degree in all vectors together: what all gradients have along the
            // vectors is sum_ij G_ij s_ij twice. Those in the rows alone have it once.
            sum total{0.0, 0.0};
            const bool twice = job.distance || x == y;
            for (const matrix& m : matrices)
                if (twice || &m == &rows) add_to(total, along(m, &m == &rows));
            *job.scale_grad = share_ * rounded(total) / (twice ? 2.0 : 1.0);
        }
        for (matrix& m : matrices) {
            std::int64_t done = 0;
            for (int k : m.inputs) {
                const similarity_input& input = job.input[k];
                const std::int64_t from = done * dimensions;
                const double* const norms = m.norms.empty() ? nullptr : m.norms.data() + done;
                const bool has_lengths = job.by_length && &m == &rows;
                const double* const of_norms = has_lengths ? of_lengths.data() + done : nullptr;
                done += input.vectors;
                if (!input.grad.rows.data) continue;
                over(input.vectors, [&](int, std::int64_t begin, std::int64_t end) {
                    run.return_gradients(input.grad, each_of(input), begin, end, dimensions, m.data + from,
                                         norms, of_norms, factor, m.grad + from);
                });
            }
        }
    }

    // The sum of the products of vectors with the gradients in them.
    sum along(const matrix& m, bool of_rows) {
        std::vector<double> each(std::size_t(m.vectors), 0.0);
        over(m.vectors, [&](int, std::int64_t first, std::int64_t last) {
            for (std::int64_t v = first; v < last; ++v)
                if (!(of_rows && is_excluded(v)))
                    each[std::size_t(v)] =
                        group ? rests[std::size_t(v)].radial
                              : run.dot(m.grad_of(v, dimensions), m.centred_at(v, dimensions), dimensions);
        });
        sum total{0.0, 0.0};
        for (double a : each) add_to(total, a);
        return total;
    }

    const similarity_job& job;
    const similarity_kernels<C>& run;
    const int loss_;
    const std::int64_t count, classes, dimensions;
    const bool gradients;
    const double inner_;  // what products are multiplied by on their way to gradients: the scale, unless a
                          // gradient in it is asked for, which may not divide by it
    const int threads_;
    std::vector<matrix> matrices;
    int x = -1, y = -1;  // of the rows and of the shared columns
    std::vector<int> own_of;
    std::int64_t group = 0;  // rows in a group; 0: there are no groups
    std::vector<double> group_sums;
    std::vector<rest_of_group> rests;
    std::int64_t own_columns = 0, columns, pitch, chunk;
    buffer<C> scores, workspace;
    std::vector<double> slopes, radial, column_radial, of_lengths, column_sums, column_log_sum_exp,
        column_weight, firsts, terms;
    double share_ = 1.0;         // of each term in a mean
    std::vector<bool> excluded;  // empty: no row
    buffer<C> kept_rows;
    const C *compared_rows = nullptr, *compared_columns = nullptr;
    buffer<C> own_compared_rows, own_compared_columns, compared;
};

}  // namespace

sum run_similarity(int loss, const similarity_job& job, int threads) {
    if (job.rows.count == 0 || job.rows.classes == 0) return {0.0, 0.0};
    const similarity_table& table = *active().similarity;
    if (job.rows.single) return similarity_run<float>(job, table.in_float, loss, threads).all();
    return similarity_run<double>(job, table.in_double, loss, threads).all();
}

template <class C>
void multiply(const matrix_product<C>& p, int threads) {
    const similarity_kernels<C>* kernels;
    if constexpr (sizeof(C) == 4)
        kernels = &active().similarity->in_float;
    else
        kernels = &active().similarity->in_double;
    const scratch memory(std::size_t(kernels->product_workspace) * std::size_t(threads) * sizeof(C));
    parallel_for(threads, threads, [&](std::int64_t t) {
        kernels->product(p, int(t), threads,
                         reinterpret_cast<C*>(memory.data()) + t * kernels->product_workspace);
    });
}
template void multiply(const matrix_product<float>&, int threads);
template void multiply(const matrix_product<double>&, int threads);

}  // namespace runtime
}  // namespace fusedloss
