// The header-only interface against plain double arithmetic.
#include <cmath>
#include <cstdio>
#include <fusedloss/fusedloss.hpp>
#include <vector>

double second_value(const float* input, const float* target, long n);  // the other translation unit

namespace {

int failures = 0;
void check(bool ok, const char* what) {
    if (!ok) std::printf("FAILED: %s\n", what), ++failures;
}

template <class T>
void huber_against_plain_code(int n, int step) {
    std::vector<T> input(std::size_t(n * step + 1)), target(input.size()), grad(std::size_t(n), T(7));
    for (std::size_t i = 0; i < input.size(); ++i) {
        input[i] = T(std::sin(double(i)) * 3);
        target[i] = T(std::cos(double(2 * i)));
    }
    const double delta = 0.75;
    double expected = 0;
    std::vector<double> slopes;
    for (int i = 0; i < n; ++i) {
        const double e = double(input[std::size_t(i * step)]) - double(target[std::size_t(i * step)]),
                     a = std::fabs(e);
        expected += a <= delta ? e * e / 2 : delta * (a - delta / 2);
        slopes.push_back(a <= delta ? e : std::copysign(delta, e));
    }
    const fusedloss::huber loss{delta};
    const fusedloss::in<T> x{input.data(), n, step}, t{target.data(), n, step};
    const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
    const auto close = [&](double a, double b) { return std::fabs(a - b) <= tolerance * (1 + std::fabs(b)); };

    check(close(fusedloss::value(loss, x, t, fusedloss::reduction::sum), expected), "sum");
    if (n) check(close(fusedloss::value(loss, x, t), expected / n), "mean");
    const double fused =
        fusedloss::value_and_grad(loss, x, t, fusedloss::out<T>{grad.data(), n}, fusedloss::reduction::sum);
    check(close(fused, expected), "fused value");
    for (int i = 0; i < n; ++i)
        check(close(double(grad[std::size_t(i)]), slopes[std::size_t(i)]), "gradient");
    std::vector<T> hess(std::size_t(n), T(7));
    fusedloss::grad_and_hess(loss, x, t, fusedloss::out<T>{grad.data(), n},
                             fusedloss::out<T>{hess.data(), n});
    for (int i = 0; i < n; ++i)
        check(hess[std::size_t(i)] == T(std::fabs(slopes[std::size_t(i)]) < delta), "hessian");
}

// Scores with a label per row, or probabilities in its place; the classes next to each other or the rows.
template <class T>
struct rows_example {
    std::int64_t rows, classes, row_step, class_step;
    std::vector<T> scores, probabilities;
    std::vector<short> label;

    rows_example(std::int64_t n, std::int64_t c, bool classes_first)
        : rows(n),
          classes(c),
          row_step(classes_first ? 1 : c),
          class_step(classes_first ? n : 1),
          scores(std::size_t(n * c)),
          probabilities(scores.size()),
          label(std::size_t(n)) {
        for (std::int64_t r = 0; r < n; ++r) {
            label[std::size_t(r)] = short(r % 7 == 3 ? -100 : r * r % c);
            for (std::int64_t j = 0; j < c; ++j) {
                scores[at(r, j)] = T(5 * std::sin(double(r * c + j)));
                probabilities[at(r, j)] = T(1) / T(c);
            }
        }
    }
    std::size_t at(std::int64_t r, std::int64_t j) const {
        return std::size_t(r * row_step + j * class_step);
    }
    fusedloss::rows_view<T> view(T* data) const { return {data, rows, classes, row_step, class_step}; }
    fusedloss::scores<T> view(const std::vector<T>& a) const {
        return {a.data(), rows, classes, row_step, class_step};
    }
    fusedloss::in<short> labels() const { return {label.data(), rows}; }
    // Of the softmax of a row: its logarithm at class j.
    long double log_prob(std::int64_t r, std::int64_t j) const {
        long double total = 0;
        for (std::int64_t k = 0; k < classes; ++k)
            total += std::exp(static_cast<long double>(scores[at(r, k)]) - scores[at(r, j)]);
        return -std::log(total);
    }
};

template <class T>
void class_scores_against_plain_code(std::int64_t rows, std::int64_t classes, bool classes_first) {
    using fusedloss::reduction;
    const rows_example<T> x(rows, classes, classes_first);
    const fusedloss::scores<T> z = x.view(x.scores), q = x.view(x.probabilities);
    const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-13;
    const auto close = [&](double a, long double b) {
        return std::fabs(a - double(b)) <= tolerance * (1 + std::fabs(double(b)));
    };
    long double expected = 0, squares = 0, spread = 0;
    std::int64_t valid = 0;
    std::vector<long double> slopes(x.scores.size());
    for (std::int64_t r = 0; r < rows; ++r) {
        const std::int64_t y = x.label[std::size_t(r)];
        for (std::int64_t j = 0; j < classes; ++j) {
            const long double log_p = x.log_prob(r, j), p = std::exp(log_p), hit = j == y;
            spread -= (std::log(static_cast<long double>(classes)) + log_p) / classes;
            if (y < 0) continue;
            if (j == y) expected -= log_p;
            squares += (p - hit) * (p - hit);
            slopes[x.at(r, j)] = p - hit;
        }
        valid += y >= 0;
    }
    const fusedloss::cross_entropy loss;
    const fusedloss::brier brier;
    const fusedloss::divergence kl;
    std::vector<char> memory(std::size_t(fusedloss::workspace_bytes(loss, z) +
                                         fusedloss::workspace_bytes(brier, z) +
                                         fusedloss::workspace_bytes(kl, z)));
    const fusedloss::workspace scratch{memory.data(), memory.size()};
    fusedloss::row_options sums;
    sums.reduce = reduction::sum;

    check(close(fusedloss::value(loss, z, x.labels(), scratch, sums), expected), "cross entropy");
    check(close(fusedloss::value(brier, z, x.labels(), scratch, sums), squares), "Brier score");
    check(close(fusedloss::value(kl, z, q, scratch, sums), spread), "divergence");
    if (valid) check(close(fusedloss::value(loss, z, x.labels(), scratch), expected / valid), "mean");
    std::vector<T> grad(x.scores), hess(grad), same;
    const double fused = fusedloss::value_and_grad(loss, z, x.labels(), x.view(grad.data()), scratch, sums);
    check(close(fused, expected), "cross entropy with a gradient");
    bool right = true;
    for (std::size_t i = 0; i < grad.size(); ++i) right = right && close(double(grad[i]), slopes[i]);
    check(right, "gradient of the cross entropy");
    for (int threads : {1, 2, 3}) {
        sums.threads = threads;
        same = x.scores;
        check(fusedloss::value_and_grad(loss, x.view(same), x.labels(), x.view(same.data()), scratch, sums) ==
                      fused &&
                  same == grad,
              "the gradient may replace the scores, on any number of threads");
    }
    fusedloss::grad_and_hess(brier, z, x.labels(), x.view(grad.data()), x.view(hess.data()), scratch, sums);
    fusedloss::value_and_grad(kl, z, q, x.view(grad.data()), scratch, sums, x.view(hess.data()));
    right = true;
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t j = 0; j < classes; ++j) {
            const long double p = std::exp(x.log_prob(r, j));
            right = right && close(double(grad[x.at(r, j)]), p - 1.0L / classes);
        }
    check(right, "gradient of the divergence");
    check(fusedloss::first_bad_label(loss, z, x.labels()) == -1, "good labels");
    if (rows > 1 && classes < 1000) {
        std::vector<short> wrong(x.label);
        wrong[std::size_t(rows - 1)] = short(classes);
        const fusedloss::in<short> bad{wrong.data(), rows};
        check(fusedloss::first_bad_label(loss, z, bad) == rows - 1, "a bad label");
    }
}

// 1 - IoU + what the smallest enclosing box has beyond the union, written out.
long double generalized(const double* a, const double* b) {
    const auto low = [&](int j) { return static_cast<long double>(std::fmin(a[j], b[j])); };
    const auto high = [&](int j) { return static_cast<long double>(std::fmax(a[j], b[j])); };
    const long double w = low(2) - high(0), h = low(3) - high(1), common = w > 0 && h > 0 ? w * h : 0;
    const long double area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common;
    const long double hull = (high(2) - low(0)) * (high(3) - low(1));
    return 1 - common / area + (hull - area) / hull;
}

// Boxes one after the other, or number by number.
template <class T>
void boxes_against_plain_code(std::int64_t n, bool numbers_first) {
    const std::int64_t box_step = numbers_first ? 1 : 4, number_step = numbers_first ? n : 1;
    const auto at = [&](std::int64_t i, int j) { return std::size_t(i * box_step + j * number_step); };
    std::vector<T> first(std::size_t(4 * n)), second(first.size()), grad(first.size()), other(grad), same,
        replaced;
    std::vector<double> weight;
    for (std::int64_t i = 0; i < n; ++i) {
        const double x = 9 * std::sin(double(i)), y = 9 * std::cos(double(3 * i));
        for (int j = 0; j < 4; ++j) {
            first[at(i, j)] = T((j % 2 ? y : x) + (j < 2 ? 0 : 3 + std::sin(double(i + j))));
            second[at(i, j)] = T(double(first[at(i, j)]) + 0.9 * std::sin(double(7 * i + j)));
        }
        weight.push_back(double(i % 3));
    }
    const fusedloss::generalized_box_iou loss{fusedloss::xyxy, 0.0};
    const fusedloss::boxes<T> a{first.data(), n, box_step, number_step},
        b{second.data(), n, box_step, number_step};
    const auto to = [&](std::vector<T>& g) {
        return fusedloss::boxes_out<T>{g.data(), n, box_step, number_step};
    };
    fusedloss::box_options options;
    options.reduce = fusedloss::reduction::sum;
    options.weight = weight.data();
    const double fused = fusedloss::value_and_grad(loss, a, b, to(grad), options, to(other));
    long double expected = 0, total = 0;
    double worst = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        double pair[2][4];
        for (int j = 0; j < 4; ++j)
            pair[0][j] = double(first[at(i, j)]), pair[1][j] = double(second[at(i, j)]);
        const double w = weight[std::size_t(i)];
        expected += w * generalized(pair[0], pair[1]);
        total += w;
        for (int k = 0; k < 2; ++k)
            for (int j = 0; j < 4; ++j) {
                const double kept = pair[k][j], step = 1e-6;
                pair[k][j] = kept + step;
                const long double up = generalized(pair[0], pair[1]);
                pair[k][j] = kept - step;
                const double slope = double(w * (up - generalized(pair[0], pair[1])) / (2 * step));
                pair[k][j] = kept;
                worst = std::fmax(worst, std::fabs(slope - double((k ? other : grad)[at(i, j)])));
            }
    }
    const auto close = [](double x, long double y) {
        return std::fabs(x - double(y)) <= 1e-12 * (1 + std::fabs(double(y)));
    };
    check(close(fused, expected) && fusedloss::value(loss, a, b, options) == fused, "boxes");
    check(worst < 1e-6, "gradients of boxes");
    for (int threads : {1, 2, 3}) {
        options.threads = threads;
        same = first, replaced = second;
        check(fusedloss::value_and_grad(loss, {same.data(), n, box_step, number_step},
                                        {replaced.data(), n, box_step, number_step}, to(same), options,
                                        to(replaced)) == fused &&
                  same == grad && replaced == other,
              "gradients may replace the boxes, on any number of threads");
    }
    options.reduce = fusedloss::reduction::mean;
    if (total > 0) check(close(fusedloss::value(loss, a, b, options), expected / total), "mean of boxes");
}

}  // namespace

int main() {
    for (int n : {0, 1, 7, 16, 17, 1000, 1024, 20000}) {
        huber_against_plain_code<float>(n, 1);
        huber_against_plain_code<double>(n, 1);
        huber_against_plain_code<double>(n, 3);
    }
    for (bool classes_first : {false, true}) {
        class_scores_against_plain_code<float>(1, 1, classes_first);
        class_scores_against_plain_code<float>(70, 3, classes_first);
        class_scores_against_plain_code<float>(9000, 10, classes_first);
        class_scores_against_plain_code<float>(20, 300, classes_first);
        class_scores_against_plain_code<double>(70, 3, classes_first);
        class_scores_against_plain_code<double>(20, 300, classes_first);
    }
    for (bool numbers_first : {false, true})
        for (int n : {0, 1, 70, 9000}) {
            boxes_against_plain_code<float>(n, numbers_first);
            boxes_against_plain_code<double>(n, numbers_first);
        }
    const float input[] = {1, 2, 3}, target[] = {0, 0, 0};
    check(second_value(input, target, 3) == fusedloss::value(fusedloss::mse{}, fusedloss::in<float>{input, 3},
                                                             fusedloss::in<float>{target, 3}),
          "two translation units agree");
#if !defined(FUSEDLOSS_TEST_NO_EXCEPTIONS)
    bool thrown = false;
    try {
        fusedloss::value(fusedloss::mse{}, fusedloss::in<float>{input, 3}, fusedloss::in<float>{target, 2});
    } catch (const fusedloss::error&) {
        thrown = true;
    }
    check(thrown, "a length mismatch is refused");
    const int label[] = {3};
    float untouched[] = {7, 7, 7};
    char small[64];
    for (fusedloss::workspace memory : {fusedloss::workspace{small, sizeof small}, fusedloss::workspace{}}) {
        thrown = false;
        try {
            fusedloss::value_and_grad(fusedloss::cross_entropy{}, fusedloss::scores<float>{input, 1, 3},
                                      fusedloss::in<int>{label, 1}, {untouched, 1, 3}, memory);
        } catch (const fusedloss::error&) {
            thrown = true;
        }
        check(thrown && untouched[0] == 7, "a label out of range is refused and nothing written");
    }
    const float box[] = {0, 0, 1, 1};
    const double wrong[] = {-1};
    fusedloss::box_options weighted;
    weighted.weight = wrong;
    thrown = false;
    try {
        fusedloss::value_and_grad(fusedloss::box_iou{}, fusedloss::boxes<float>{box, 1},
                                  fusedloss::boxes<float>{box, 1}, {untouched, 1}, weighted);
    } catch (const fusedloss::error&) {
        thrown = true;
    }
    check(thrown && untouched[0] == 7, "a negative weight is refused and nothing written");
    const int good[] = {2};
    thrown = false;
    try {
        fusedloss::value(fusedloss::cross_entropy{}, fusedloss::scores<float>{input, 1, 3},
                         fusedloss::in<int>{good, 1}, {small, sizeof small});
    } catch (const fusedloss::error&) {
        thrown = true;
    }
    check(thrown, "a workspace that is too small is refused");
#endif
    if (!failures) std::printf("all passed\n");
    return failures != 0;
}
