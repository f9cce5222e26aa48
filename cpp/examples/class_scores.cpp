// Cross entropy of class scores with class indices: headers only, and memory that belongs to the program.
#include <cstdio>
#include <fusedloss/fusedloss.hpp>
#include <vector>

int main() {
    const float data[] = {17.0f, 0.0f, 0.5f, 2.0f, -1.0f, 0.25f};
    const int target[] = {0, 2};
    float grad[6];
    const fusedloss::cross_entropy loss;
    const fusedloss::scores<float> scores{data, 2, 3};
    std::vector<char> scratch(
        fusedloss::workspace_bytes(loss, scores));  // the same for every call of this size
    const double value = fusedloss::value_and_grad(loss, scores, fusedloss::in<int>{target, 2}, {grad, 2, 3},
                                                   {scratch.data(), scratch.size()});
    std::printf("cross entropy %.6f, gradient %.2e %.2e %.2e | %.3f %.3f %.3f\n", value, grad[0], grad[1],
                grad[2], grad[3], grad[4], grad[5]);
    return value > 0.9 && value < 1.0 && grad[0] < 0.0f ? 0 : 1;
}
