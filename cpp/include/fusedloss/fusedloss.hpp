// fusedloss for C++ programs: value and gradient of a loss in one pass over plain memory.
//
//     #include <fusedloss/fusedloss.hpp>
//
//     double v = fusedloss::value(fusedloss::huber{0.5}, {input, n}, {target, n});
//     double v = fusedloss::value_and_grad(fusedloss::huber{0.5}, {input, n}, {target, n}, {grad, n});
//
//     const fusedloss::scores<float> z{data, rows, classes};
//     std::vector<char> scratch(fusedloss::workspace_bytes(fusedloss::cross_entropy{}, z));
//     double v = fusedloss::value_and_grad(fusedloss::cross_entropy{}, z, fusedloss::in<int>{labels, rows},
//                                          {grad, rows, classes}, {scratch.data(), scratch.size()});
//
//     const fusedloss::boxes<float> guess{data, n}, truth{...};
//     double v = fusedloss::value_and_grad(fusedloss::complete_box_iou{}, guess, truth, {grad, n});
//
// The headers compile with the flags of the program that includes them: its ISA level, and threads if
// it uses OpenMP. Compile with -ffp-contract=off for the bits of the Python package. Nothing is
// allocated. For run-time dispatch over ISA levels link fusedloss::fusedloss and include runtime.hpp.
#pragma once

#include "api/boxes.hpp"
#include "api/elementwise.hpp"
#include "api/rows.hpp"
#include "losses.hpp"
