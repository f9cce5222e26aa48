// Work on boxes, described in plain data: a rows_job whose rows are boxes and whose classes are the four
// numbers of a box. Outside the ISA tag: no code here.
#pragma once

#include "rows_job.hpp"

namespace fusedloss {

// Up to a panel of boxes, in columns: number j of box r at [j * panel_rows + r].
struct box_block {
    int rows;
    bool far;  // coordinates so large or small that their squares leave the range of a double
    const double* in[2];
    double* value;    // one per pair of boxes
    double* grad[2];  // null: not wanted
    double scale;     // multiplies gradients
};
struct box_entry {
    void (*value_only)(const void* params, const box_block&);
    void (*with_gradient)(const void* params, const box_block&);
};

// The IoU of every box of one set with every box of another.
struct box_matrix_job {
    rows_job side[2];  // in[0] holds the boxes
    double format;
    void* out;  // [side[0].count, side[1].count], contiguous
    dtype type;
    bool stream;  // the result is larger than the caches: write past them
};

// What one ISA level offers this family.
struct boxes_table {
    const box_entry* losses;
    sum (*process)(const rows_job&, const box_entry&, std::int64_t begin, std::int64_t end);
    // Boxes [begin, end) of a side into columns, `pitch` apart; true if some are far.
    bool (*columns)(const box_matrix_job&, int side, std::int64_t begin, std::int64_t end, double* columns,
                    std::int64_t pitch);
    // Rows [begin, end) of the matrix, given the columns of the second side.
    void (*matrix)(const box_matrix_job&, const double* columns, std::int64_t pitch, bool far,
                   std::int64_t begin, std::int64_t end);
};

}  // namespace fusedloss
