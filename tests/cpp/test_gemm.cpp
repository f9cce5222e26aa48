// Matrix products: against sums written out in double, for operands of any steps, in parts, and the same bits
// wherever an element stands in its matrix.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "fusedloss/linalg/gemm.hpp"
#include "level.hpp"

using namespace fusedloss;

namespace {

int failures = 0;

template <class T>
struct operand {
    std::vector<T> numbers;
    matrix_view<T> view;
};
// order 0: rows one after another; 1: columns; 2: every third number of reversed rows.
template <class T>
operand<T> make(std::int64_t rows, std::int64_t columns, int order, unsigned seed) {
    const std::int64_t every = order == 2 ? 3 : 1;
    operand<T> m{std::vector<T>(std::size_t(rows * columns * every)), {}};
    for (T& x : m.numbers) {
        seed = seed * 1664525u + 1013904223u;
        x = T(int(seed >> 8) % 2001 - 1000) / T(1000);
    }
    m.view = {m.numbers.data(), columns * every, every};
    if (order == 1) m.view = {m.numbers.data(), 1, rows};
    if (order == 2) m.view = {m.numbers.data() + (rows - 1) * columns * 3, -columns * 3, 3};
    return m;
}

template <class T, pairing How>
void product(std::int64_t m, std::int64_t n, std::int64_t k, int order_a, int order_b, bool accumulate,
             int shares) {
    const auto a = make<T>(m, k, order_a, 1), b = make<T>(k, n, order_b, 2);
    const std::int64_t row = n + 5;
    std::vector<T> c(std::size_t(m * row), T(0.5)), workspace(std::size_t(gemm_workspace<T>));
    const T alpha = T(-1.5);
    for (int s = 0; s < shares; ++s)
        gemm_share<T, How>(s, shares, m, n, k, alpha, a.view, b.view, accumulate, c.data(), row,
                           workspace.data());
    double worst = 0.0;
    bool kept = true;
    for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
            double sum = 0.0, terms = 1.0;
            for (std::int64_t d = 0; d < k; ++d) {
                const double x = *a.view.at(i, d), y = *b.view.at(d, j);
                const double term = How == pairing::product ? x * y : (x - y) * (x - y);
                sum += term;
                terms += std::fabs(term);
            }
            const double exact = alpha * sum + (accumulate ? 0.5 : 0.0);
            worst = std::fmax(worst, std::fabs(c[std::size_t(i * row + j)] - exact) / terms);
        }
        for (std::int64_t j = n; j < row; ++j) kept = kept && c[std::size_t(i * row + j)] == T(0.5);
    }
    // The last element by itself.
    T alone = T(0.5);
    if (m && n)
        gemm<T, How>(1, 1, k, alpha, {a.view.at(m - 1, 0), a.view.row, a.view.column},
                     {b.view.at(0, n - 1), b.view.row, b.view.column}, accumulate, &alone, 1,
                     workspace.data());
    const bool same = !m || !n || alone == c[std::size_t((m - 1) * row + n - 1)];
    const double most = (sizeof(T) == 4 ? 1.2e-7 : 2.3e-16) * (4.0 + 0.1 * double(k));
    if (worst <= most && kept && same) return;
    std::printf("FAILED: %d bytes, %lld x %lld x %lld, orders %d %d: error %g, margin %d, same bits %d\n",
                int(sizeof(T)), static_cast<long long>(m), static_cast<long long>(n),
                static_cast<long long>(k), order_a, order_b, worst, kept, same);
    ++failures;
}

template <class T>
void products() {
    const std::int64_t sizes[][3] = {{1, 1, 1},      {0, 3, 4},      {3, 2, 0},     {5, 7, 3},
                                     {14, 32, 16},   {13, 33, 17},   {60, 70, 300}, {300, 40, 65},
                                     {29, 1100, 20}, {270, 530, 257}};
    for (const auto& s : sizes)
        for (int order_a = 0; order_a < 3; ++order_a)
            for (int order_b = 0; order_b < 3; ++order_b) {
                product<T, pairing::product>(s[0], s[1], s[2], order_a, order_b, order_b == 1, 1 + order_a);
                product<T, pairing::squared_difference>(s[0], s[1], s[2], order_a, order_b, order_b == 1, 1);
            }
}

}  // namespace

int main() {
    if (!level_runs_here()) return skipped;
    products<float>();
    products<double>();
    if (!failures) std::printf("all passed\n");
    return failures != 0;
}
