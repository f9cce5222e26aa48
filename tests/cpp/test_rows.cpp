// Rows of class scores through the compiled library: against sums written out in long double, and the same
// bits whatever the layout, the number of threads and the place of the gradient.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fusedloss/runtime.hpp>
#include <vector>

namespace rt = fusedloss::runtime;
using fusedloss::dtype;
using fusedloss::rows_job;

namespace {

int failures = 0;
void check(bool ok, const char* what, std::int64_t rows, std::int64_t classes) {
    if (ok) return;
    std::printf("FAILED: %s, %lld x %lld\n", what, static_cast<long long>(rows),
                static_cast<long long>(classes));
    ++failures;
}

template <class T>
struct example {
    std::int64_t rows, classes;
    std::vector<T> scores, grad;
    std::vector<std::int64_t> label;

    example(std::int64_t n, std::int64_t c, bool classes_first)
        : rows(n), classes(c), scores(std::size_t(n * c)), grad(scores.size()), label(std::size_t(n)) {
        for (std::int64_t r = 0; r < n; ++r) {
            label[std::size_t(r)] = r * r % c;
            for (std::int64_t j = 0; j < c; ++j)
                scores[std::size_t(classes_first ? j * n + r : r * c + j)] =
                    T(9 * std::sin(double(r * c + j)));
        }
    }
    double run(const char* loss, int threads, bool classes_first, std::vector<T>& out) {
        const std::int64_t size = sizeof(T), by_row = classes_first ? size : classes * size,
                           by_class = classes_first ? rows * size : size;
        const dtype type = size == 4 ? dtype::float32 : dtype::float64;
        rows_job job{};
        job.inputs = job.dims = 1;
        job.shape[0] = job.count = rows;
        job.classes = classes;
        job.in[0] = {{scores.data(), type, {by_row}}, by_class};
        job.grad[0] = {{out.data(), type, {by_row}}, by_class};
        job.label = {label.data(), dtype::int64, {sizeof(std::int64_t)}};
        job.single = job.in_floats = size == 4;
        job.total = true;
        job.grad_scale = job.total_scale = 1.0;
        const double none = 0;
        job.params = &none;
        return rt::run_rows(rt::find_row_loss(loss), job, threads).high;
    }
};

template <class T>
void cross_entropy(std::int64_t rows, std::int64_t classes) {
    example<T> x(rows, classes, false), turned(rows, classes, true);
    const double value = x.run("cross_entropy", 1, false, x.grad);
    long double expected = 0, worst = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* const z = x.scores.data() + r * classes;
        long double total = 0;
        for (std::int64_t j = 0; j < classes; ++j) total += std::exp(static_cast<long double>(z[j]));
        const std::int64_t y = x.label[std::size_t(r)];
        expected += std::log(total) - z[y];
        for (std::int64_t j = 0; j < classes; ++j) {
            const long double g = std::exp(static_cast<long double>(z[j])) / total - (j == y);
            worst = std::fmax(worst, std::fabs(g - x.grad[std::size_t(r * classes + j)]));
        }
    }
    const double epsilon = sizeof(T) == 4 ? 6e-8 : 1.2e-16;
    check(std::fabs(value - double(expected)) <= 4 * epsilon * double(expected) + 1e-14, "value", rows,
          classes);
    check(double(worst) <= 2 * epsilon, "gradient", rows, classes);

    std::vector<T> other(x.grad.size());
    for (int threads : {2, 3, 8}) {
        check(x.run("cross_entropy", threads, false, other) == value, "value on threads", rows, classes);
        check(other == x.grad, "gradient on threads", rows, classes);
    }
    check(turned.run("cross_entropy", 2, true, turned.scores) == value, "value, classes first", rows,
          classes);
    bool same = true;
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t j = 0; j < classes; ++j)
            same = same && turned.scores[std::size_t(j * rows + r)] == x.grad[std::size_t(r * classes + j)];
    check(same, "gradient in place of scores, classes first", rows, classes);
}

void labels() {
    example<float> x(1000, 7, false);
    rows_job job{};
    job.dims = 1;
    job.shape[0] = job.count = x.rows;
    job.classes = x.classes;
    job.label = {x.label.data(), dtype::int64, {sizeof(std::int64_t)}};
    x.label[3] = -100;
    job.ignores = true;
    job.ignore_index = -100;
    fusedloss::label_report report = rt::check_labels(job, x.classes, 2);
    check(report.first_bad == -1 && report.valid == 999 && report.weight.high == 999, "labels", 1000, 7);
    x.label[500] = 7;
    x.label[400] = -1;
    report = rt::check_labels(job, x.classes, 2);
    check(report.first_bad == 400 && report.bad_label == -1, "labels out of range", 1000, 7);
}

}  // namespace

int main() {
    for (int i = 0; i < rt::row_loss_count(); ++i)
        check(rt::find_row_loss(rt::row_loss_at(i).name) == i, rt::row_loss_at(i).name, 0, 0);
    check(rt::find_row_loss("no such loss") == -1, "an unknown name", 0, 0);
    for (int level = 0; level < rt::isa_count(); ++level) {
        if (!rt::isa_supported(level)) continue;
        rt::set_isa(rt::isa_name(level));
        for (std::int64_t classes : {1, 2, 5, 10, 33, 256, 257, 1000, 2500}) {
            cross_entropy<float>(20000 / classes + 1, classes);
            cross_entropy<double>(20000 / classes + 1, classes);
        }
    }
    labels();
    if (!failures) std::printf("all passed\n");
    return failures != 0;
}
