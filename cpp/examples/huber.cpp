// The smallest consumer: headers only, no Python, no library to link.
#include <cstdio>
#include <fusedloss/fusedloss.hpp>

int main() {
    const float input[] = {0.5f, -1.0f, 3.0f}, target[] = {0.0f, 1.0f, 2.75f};
    float grad[3];
    const double value =
        fusedloss::value_and_grad<fusedloss::huber, float>({0.5}, {input, 3}, {target, 3}, {grad, 3});
    std::printf("huber %.6f, gradient %.6f %.6f %.6f\n", value, grad[0], grad[1], grad[2]);
    return value > 0.3 && value < 0.4 ? 0 : 1;
}
