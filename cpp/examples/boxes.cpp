// Generalized IoU of predicted and true boxes, x1 y1 x2 y2 each: headers only.
#include <cstdio>
#include <fusedloss/fusedloss.hpp>

int main() {
    const float guess[] = {0, 0, 2, 2, 5, 5, 6, 7}, truth[] = {0, 1, 2, 3, 5, 5, 6, 7};
    float grad[8];
    const fusedloss::boxes<float> first{guess, 2}, second{truth, 2};
    const double value =
        fusedloss::value_and_grad(fusedloss::generalized_box_iou{}, first, second, {grad, 2});
    std::printf("GIoU loss %.6f, gradient %.3f %.3f %.3f %.3f | %.3f %.3f %.3f %.3f\n", value, grad[0],
                grad[1], grad[2], grad[3], grad[4], grad[5], grad[6], grad[7]);
    return value > 0.33 && value < 0.34 && grad[3] < 0.0f ? 0 : 1;
}
