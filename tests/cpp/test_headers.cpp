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

}  // namespace

int main() {
    for (int n : {0, 1, 7, 16, 17, 1000, 1024, 20000}) {
        huber_against_plain_code<float>(n, 1);
        huber_against_plain_code<double>(n, 1);
        huber_against_plain_code<double>(n, 3);
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
#endif
    if (!failures) std::printf("all passed\n");
    return failures != 0;
}
