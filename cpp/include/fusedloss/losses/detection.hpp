// Losses of pairs of boxes, by the intersection over union (IoU) of their areas.
#pragma once

#include "products.hpp"

namespace fusedloss {

// What the four numbers of a box are: two opposite corners, centre and size, or first corner and size.
enum box_format { xyxy, cxcywh, xywh };

// 1 - IoU, or with `log` (Yu et al. 2016, UnitBox) -log IoU where IoU exceeds eps, and constant below.
struct box_iou {
    double format = xyxy, eps = 1e-7, log = 0.0;
    static constexpr const char* name = "box_iou";
    static constexpr const char* inputs = "boxes1 boxes2";
    static constexpr const char* params = "format eps log";
    static constexpr rows_traits traits{2, 0b11};
};

// Rezatofighi et al. (2019): 1 - IoU + the share of the smallest enclosing box that neither box covers.
struct generalized_box_iou {
    double format = xyxy, eps = 1e-7;
    static constexpr const char* name = "generalized_box_iou";
    static constexpr const char* inputs = "boxes1 boxes2";
    static constexpr const char* params = "format eps";
    static constexpr rows_traits traits{2, 0b11};
};

// Zheng et al. (2020): 1 - IoU + the squared distance of the centres over the squared diagonal of the
// smallest enclosing box.
struct distance_box_iou {
    double format = xyxy, eps = 1e-7;
    static constexpr const char* name = "distance_box_iou";
    static constexpr const char* inputs = "boxes1 boxes2";
    static constexpr const char* params = "format eps";
    static constexpr rows_traits traits{2, 0b11};
};

// Zheng et al. (2020): the same + alpha v, v = (4 / pi^2) (difference of the boxes' angles atan(w / h))^2,
// alpha = v / (1 - IoU + v + eps), which counts as a constant in the gradient.
struct complete_box_iou {
    double format = xyxy, eps = 1e-7;
    static constexpr const char* name = "complete_box_iou";
    static constexpr const char* inputs = "boxes1 boxes2";
    static constexpr const char* params = "format eps";
    static constexpr rows_traits traits{2, 0b11};
};

// Zhang et al. (2022): the distance loss + the squared differences of the widths and of the heights, over the
// squared width and height of the smallest enclosing box.
struct efficient_box_iou {
    double format = xyxy, eps = 1e-7;
    static constexpr const char* name = "efficient_box_iou";
    static constexpr const char* inputs = "boxes1 boxes2";
    static constexpr const char* params = "format eps";
    static constexpr rows_traits traits{2, 0b11};
};

// He et al. (2021): 1 - IoU^alpha.
struct alpha_iou {
    double format = xyxy, eps = 1e-7, alpha = 3.0;
    static constexpr const char* name = "alpha_iou";
    static constexpr const char* inputs = "boxes1 boxes2";
    static constexpr const char* params = "format eps alpha";
    static constexpr rows_traits traits{2, 0b11};
};

// Ma and Xu (2023): 1 - IoU + the squared distances of both corners, over the squared diagonal of the image.
struct minimum_point_distance_iou {
    double format = xyxy, eps = 1e-7, diagonal = 1.0;
    static constexpr const char* name = "minimum_point_distance_iou";
    static constexpr const char* inputs = "boxes1 boxes2";
    static constexpr const char* params = "format eps diagonal";
    static constexpr rows_traits traits{2, 0b11};
};

// Gevorgyan (2022): 1 - IoU + half the costs of the distance of the centres, by the angle between them, and
// of the shape, as a power of what widths and heights differ by.
struct scylla_box_iou {
    double format = xyxy, eps = 1e-7, theta = 4.0;
    static constexpr const char* name = "scylla_box_iou";
    static constexpr const char* inputs = "boxes1 boxes2";
    static constexpr const char* params = "format eps theta";
    static constexpr rows_traits traits{2, 0b11};
};

// Tong et al. (2023), version 1: (1 - IoU) e^(the squared distance of the centres over the squared diagonal
// of the smallest enclosing box), where the diagonal counts as a constant in the gradient.
struct wise_box_iou {
    double format = xyxy, eps = 1e-7;
    static constexpr const char* name = "wise_box_iou";
    static constexpr const char* inputs = "boxes1 boxes2";
    static constexpr const char* params = "format eps";
    static constexpr rows_traits traits{2, 0b11};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// Corners, centre and size of a box. As a gradient: what a loss takes from each, as if they were independent.
template <class T>
struct box {
    T x1, y1, x2, y2, cx, cy, w, h;
};

template <class T>
FUSEDLOSS_INLINE box<T> box_from(double format, const T* c) {
    if (format == cxcywh) {
        const T rx = 0.5 * c[2], ry = 0.5 * c[3];
        return {c[0] - rx, c[1] - ry, c[0] + rx, c[1] + ry, c[0], c[1], c[2], c[3]};
    }
    if (format == xywh)
        return {c[0], c[1], c[0] + c[2], c[1] + c[3], c[0] + 0.5 * c[2], c[1] + 0.5 * c[3], c[2], c[3]};
    return {c[0], c[1], c[2], c[3], 0.5 * (c[0] + c[2]), 0.5 * (c[1] + c[3]), c[2] - c[0], c[3] - c[1]};
}

// The gradient in the four numbers that box_from took.
template <class T>
FUSEDLOSS_INLINE void gradient_to(double format, const box<T>& g, T* d) {
    const T sx = g.x1 + g.x2 + g.cx, sy = g.y1 + g.y2 + g.cy;
    if (format == cxcywh) {
        d[0] = sx, d[1] = sy;
        d[2] = g.w + 0.5 * (g.x2 - g.x1), d[3] = g.h + 0.5 * (g.y2 - g.y1);
    } else if (format == xywh) {
        d[0] = sx, d[1] = sy;
        d[2] = g.w + (g.x2 + 0.5 * g.cx), d[3] = g.h + (g.y2 + 0.5 * g.cy);
    } else {
        d[0] = (g.x1 - g.w) + 0.5 * g.cx, d[1] = (g.y1 - g.h) + 0.5 * g.cy;
        d[2] = (g.x2 + g.w) + 0.5 * g.cx, d[3] = (g.y2 + g.h) + 0.5 * g.cy;
    }
}

// 1 / d for each d, all by one division; what stands over an extent of zero counts for nothing. The product
// of all must stay within the range of T.
template <class T, int N>
struct inverses {
    T of[N];

    FUSEDLOSS_INLINE explicit inverses(const T (&d)[N]) {
        T before[N], factor[N], product(1.0);
        for (int k = 0; k < N; ++k) {
            before[k] = product;
            factor[k] = select(d[k] == T(0.0), T(1.0), d[k]);
            product = product * factor[k];
        }
        T rest = 1.0 / product;
        for (int k = N - 1; k >= 0; --k) {
            of[k] = select(d[k] == T(0.0), T(0.0), rest * before[k]);
            rest = rest * factor[k];
        }
    }
};

// Two boxes in coordinates multiplied by `unit`, a power of two that keeps their eighth powers within the
// range of T.
template <class T>
struct box_pair {
    box<T> a, b;
    T unit, eps;  // eps in units of area
};

template <class T>
struct box_terms {
    T value;
    box<T> a, b;  // the gradient, in the pair's coordinates
};

// How two boxes lie to each other. Boxes that only touch do not meet; nor does one without, or with a
// negative, width or height. A NaN or infinite corner makes `poison` NaN, elsewhere it is 0: minima, maxima
// and comparisons would hide it.
template <class T>
struct box_overlap {
    const box_pair<T>& p;
    T poison;
    // Of the areas: negative where the width or the height is. Twice negative is no better than once.
    T sign_a, sign_b;
    // The share of box a in each edge of the intersection: 1/2 where both have that edge.
    T sx1, sy1, sx2, sy2;
    // Area of the intersection, of the union, of what is left of that.
    T common, covered, excess;
    T iw, ih;
    typename T::mask_type meet;
    // Known once the division by covered + eps has been done; distance = 1 - iou.
    T inverse, iou, distance;

    FUSEDLOSS_INLINE explicit box_overlap(const box_pair<T>& pair) : p(pair) {
        const auto &a = p.a, &b = p.b;
        const T zero(0.0), one(1.0);
        poison = zero * (((a.x1 + a.x2) + (a.y1 + a.y2)) + ((b.x1 + b.x2) + (b.y1 + b.y2)));
        const auto share = [&](T inner, T outer) {
            return select(inner > outer, one, select(inner == outer, T(0.5), zero));
        };
        sx1 = share(a.x1, b.x1), sy1 = share(a.y1, b.y1);
        sx2 = share(b.x2, a.x2), sy2 = share(b.y2, a.y2);
        iw = min(a.x2, b.x2) - max(a.x1, b.x1);
        ih = min(a.y2, b.y2) - max(a.y1, b.y1);
        meet = (iw > zero) & (ih > zero);
        const auto sign_of = [&](const box<T>& c) { return select((c.w < zero) & (c.h < zero), -one, one); };
        sign_a = sign_of(a), sign_b = sign_of(b);
        const T area_a = sign_a * a.w * a.h, area_b = sign_b * b.w * b.h;
        common = select(meet, iw * ih, zero) + poison;
        excess = (area_a - common) + (area_b - common);
        covered = excess + common;
    }
    FUSEDLOSS_INLINE void divide(T by_covered) {
        inverse = by_covered;
        iou = common * inverse;
        distance = select(meet, (excess + p.eps) * inverse, 1.0 + poison);
    }
    FUSEDLOSS_INLINE void divide() { divide(inverses<T, 1>({covered + p.eps}).of[0]); }

    // Accurate also next to 1.
    FUSEDLOSS_INLINE T log_iou() const { return select(distance < T(0.5), log1p(-distance), log(iou)); }

    // Terms of that value and the derivatives in the IoU and, apart from it, in the area of the union.
    FUSEDLOSS_INLINE box_terms<T> terms(T value, T in_iou, T in_union = T(0.0)) const {
        const T zero(0.0), s = select(meet, in_iou * inverse, poison), area = in_union - s * iou;
        const T in_common = s - area, x = select(meet, in_common * ih, poison),
                y = select(meet, in_common * iw, poison);
        const T in_a = area * sign_a, in_b = area * sign_b;
        const T ax1 = x * sx1, ay1 = y * sy1, ax2 = x * sx2, ay2 = y * sy2;
        return {value,
                {-ax1, -ay1, ax2, ay2, zero, zero, in_a * p.a.h, in_a * p.a.w},
                {ax1 - x, ay1 - y, x - ax2, y - ay2, zero, zero, in_b * p.b.h, in_b * p.b.w}};
    }
};

// The smallest box around both.
template <class T>
struct box_hull {
    T w, h;

    FUSEDLOSS_INLINE explicit box_hull(const box_pair<T>& p)
        : w(max(p.a.x2, p.b.x2) - min(p.a.x1, p.b.x1)), h(max(p.a.y2, p.b.y2) - min(p.a.y1, p.b.y1)) {}

    // Each of its edges belongs to the box that the edge of the intersection does not belong to.
    FUSEDLOSS_INLINE void add_gradient(const box_overlap<T>& o, T in_w, T in_h, box_terms<T>& t) const {
        const T bx1 = in_w * o.sx1, by1 = in_h * o.sy1, bx2 = in_w * o.sx2, by2 = in_h * o.sy2;
        t.a.x1 = t.a.x1 + (bx1 - in_w), t.a.y1 = t.a.y1 + (by1 - in_h);
        t.a.x2 = t.a.x2 + (in_w - bx2), t.a.y2 = t.a.y2 + (in_h - by2);
        t.b.x1 = t.b.x1 - bx1, t.b.y1 = t.b.y1 - by1;
        t.b.x2 = t.b.x2 + bx2, t.b.y2 = t.b.y2 + by2;
    }
};

template <class T>
FUSEDLOSS_INLINE box_terms<T> eval(const box_iou& l, const box_pair<T>& p) {
    box_overlap<T> o(p);
    o.divide();
    if (l.log == 0.0) return o.terms(o.distance, T(-1.0));
    const T least(l.eps);
    const auto above = o.iou > least;
    const T value = select(above, -o.log_iou(), -log(least) + o.poison);
    return o.terms(value, select(above, -1.0 / o.iou, T(0.0)));
}

template <class T>
FUSEDLOSS_INLINE box_terms<T> eval(const generalized_box_iou&, const box_pair<T>& p) {
    box_overlap<T> o(p);
    const box_hull<T> hull(p);
    const T area = hull.w * hull.h;
    const inverses<T, 2> inverse({o.covered + p.eps, area + p.eps});
    o.divide(inverse.of[0]);
    const T by_area = inverse.of[1], in_area = (o.covered + p.eps) * by_area * by_area;
    box_terms<T> t = o.terms(o.distance + (area - o.covered) * by_area, T(-1.0), -by_area);
    hull.add_gradient(o, in_area * hull.h, in_area * hull.w, t);
    return t;
}

// `value` + the squared distance of the centres times `inverse`, that of the hull's squared diagonal.
template <class T>
FUSEDLOSS_INLINE box_terms<T> add_distance(const box_overlap<T>& o, const box_hull<T>& hull, T inverse,
                                           T value) {
    const T dx = o.p.a.cx - o.p.b.cx, dy = o.p.a.cy - o.p.b.cy;
    const T far = (dx * dx + dy * dy) * inverse, slope = -2.0 * far * inverse;
    box_terms<T> t = o.terms(value + far, T(-1.0));
    hull.add_gradient(o, slope * hull.w, slope * hull.h, t);
    t.a.cx = 2.0 * dx * inverse, t.a.cy = 2.0 * dy * inverse;
    t.b.cx = -t.a.cx, t.b.cy = -t.a.cy;
    return t;
}

template <class T>
FUSEDLOSS_INLINE box_terms<T> eval(const distance_box_iou&, const box_pair<T>& p) {
    box_overlap<T> o(p);
    const box_hull<T> hull(p);
    const inverses<T, 2> inverse({o.covered + p.eps, hull.w * hull.w + hull.h * hull.h + p.eps});
    o.divide(inverse.of[0]);
    return add_distance(o, hull, inverse.of[1], o.distance);
}

// atan(b.w / b.h) - atan(a.w / a.h) as the angle between two vectors: nothing is divided by a height, and
// equal shapes of any size differ by 0. A box without width and height has no shape and differs from none.
template <class T>
FUSEDLOSS_INLINE T angle_between(const box<T>& a, const box<T>& b) {
    const T zero(0.0), p = b.w * a.h, q = a.w * b.h;
    const T cross = (p - q) + (product_error(b.w, a.h, p) - product_error(a.w, b.h, q));
    const T along = b.h * a.h + b.w * a.w, side = select(a.h * b.h < zero, T(-1.0), T(1.0));
    const T acute = atan_of_ratio(abs(cross), abs(along));
    constexpr double pi = 0x1.921fb54442d18p1;
    return times_sign(select(side * along < zero, pi - acute, acute), side * cross);
}

template <class T>
FUSEDLOSS_INLINE box_terms<T> eval(const complete_box_iou&, const box_pair<T>& p) {
    constexpr double four_over_pi2 = 0x1.9f02f6222c72p-2;
    const auto &a = p.a, &b = p.b;
    box_overlap<T> o(p);
    const box_hull<T> hull(p);
    const inverses<T, 4> inverse({o.covered + p.eps, hull.w * hull.w + hull.h * hull.h + p.eps,
                                  a.w * a.w + a.h * a.h, b.w * b.w + b.h * b.h});
    o.divide(inverse.of[0]);
    const T angle = angle_between(a, b), v = four_over_pi2 * angle * angle;
    const T alpha = v * inverses<T, 1>({o.distance + v + p.eps}).of[0];
    const T slope = 2.0 * four_over_pi2 * alpha * angle;
    const T of_a = slope * inverse.of[2], of_b = slope * inverse.of[3];
    box_terms<T> t = add_distance(o, hull, inverse.of[1], o.distance + alpha * v);
    t.a.w = t.a.w - of_a * a.h, t.a.h = t.a.h + of_a * a.w;
    t.b.w = t.b.w + of_b * b.h, t.b.h = t.b.h - of_b * b.w;
    return t;
}

template <class T>
FUSEDLOSS_INLINE box_terms<T> eval(const efficient_box_iou&, const box_pair<T>& p) {
    box_overlap<T> o(p);
    const box_hull<T> hull(p);
    const T ww = hull.w * hull.w, hh = hull.h * hull.h, dw = p.a.w - p.b.w, dh = p.a.h - p.b.h;
    const inverses<T, 4> inverse({o.covered + p.eps, ww + hh + p.eps, ww + p.eps, hh + p.eps});
    o.divide(inverse.of[0]);
    const T by_w = inverse.of[2], by_h = inverse.of[3], wide = dw * dw * by_w, high = dh * dh * by_h;
    box_terms<T> t = add_distance(o, hull, inverse.of[1], o.distance + (wide + high));
    hull.add_gradient(o, -2.0 * wide * by_w * hull.w, -2.0 * high * by_h * hull.h, t);
    const T in_w = 2.0 * dw * by_w, in_h = 2.0 * dh * by_h;
    t.a.w = t.a.w + in_w, t.a.h = t.a.h + in_h;
    t.b.w = t.b.w - in_w, t.b.h = t.b.h - in_h;
    return t;
}

template <class T>
FUSEDLOSS_INLINE box_terms<T> eval(const alpha_iou& l, const box_pair<T>& p) {
    box_overlap<T> o(p);
    o.divide();
    const T power(l.alpha), log_iou = o.log_iou();
    return o.terms(-expm1(power * log_iou), select(o.meet, -power * exp((power - 1.0) * log_iou), o.poison));
}

template <class T>
FUSEDLOSS_INLINE box_terms<T> eval(const minimum_point_distance_iou& l, const box_pair<T>& p) {
    box_overlap<T> o(p);
    o.divide();
    const T inverse = 1.0 / (p.unit * l.diagonal), slope = 2.0 * inverse;
    const T x1 = (p.a.x1 - p.b.x1) * inverse, y1 = (p.a.y1 - p.b.y1) * inverse;
    const T x2 = (p.a.x2 - p.b.x2) * inverse, y2 = (p.a.y2 - p.b.y2) * inverse;
    box_terms<T> t = o.terms(o.distance + ((x1 * x1 + y1 * y1) + (x2 * x2 + y2 * y2)), T(-1.0));
    t.a.x1 = t.a.x1 + slope * x1, t.a.y1 = t.a.y1 + slope * y1;
    t.a.x2 = t.a.x2 + slope * x2, t.a.y2 = t.a.y2 + slope * y2;
    t.b.x1 = t.b.x1 - slope * x1, t.b.y1 = t.b.y1 - slope * y1;
    t.b.x2 = t.b.x2 - slope * x2, t.b.y2 = t.b.y2 - slope * y2;
    return t;
}

// What two boxes' centres are apart along one axis, over an extent of the hull: with rho the square of the
// quotient, e^(-gamma rho) and 1 - e^(-gamma rho).
template <class T>
struct centre_cost {
    T left, cost, by_extent, rho;

    FUSEDLOSS_INLINE centre_cost(T d, T inverse, T gamma) : by_extent(inverse), rho(d * d * inverse) {
        cost = -expm1(-gamma * rho);
        left = 1.0 - cost;
    }
};

// (1 - e^-omega)^theta of two extents, omega being their difference over the larger one: with the
// derivatives.
template <class T>
struct shape_cost {
    T cost, in_a, in_b;

    FUSEDLOSS_INLINE shape_cost(T a, T b, T by_larger, double theta) {
        const T zero(0.0), difference = a - b, omega = abs(difference) * by_larger;
        const T base = -expm1(-omega);
        const T power = theta == 4.0 ? base * base * base : pow(base, T(theta - 1.0));
        cost = power * base;
        const T slope = theta * power * (1.0 - base) * by_larger, apart = slope * sign(difference);
        const T of_a = select(abs(a) > abs(b), T(1.0), select(abs(a) == abs(b), T(0.5), zero));
        const T shrinks = slope * omega;
        in_a = apart - of_a * shrinks * sign(a);
        in_b = (of_a - 1.0) * shrinks * sign(b) - apart;
    }
};

template <class T>
FUSEDLOSS_INLINE box_terms<T> eval(const scylla_box_iou& l, const box_pair<T>& p) {
    const T zero(0.0), one(1.0);
    const auto &a = p.a, &b = p.b;
    box_overlap<T> o(p);
    const box_hull<T> hull(p);
    const inverses<T, 5> inverse({o.covered + p.eps, hull.w * hull.w + p.eps, hull.h * hull.h + p.eps,
                                  max(abs(a.w), abs(b.w)), max(abs(a.h), abs(b.h))});
    o.divide(inverse.of[0]);

    // The sine of twice the angle between the line of the centres and an axis.
    const T dx = a.cx - b.cx, dy = a.cy - b.cy, along_x = abs(dx), along_y = abs(dy);
    const T longer = max(along_x, along_y), shorter = min(along_x, along_y);
    const T ratio = shorter / select(longer == zero, one, longer), by_square = 1.0 / (1.0 + ratio * ratio);
    const T angle = 2.0 * ratio * by_square, gamma = 2.0 - angle;
    const centre_cost<T> x(dx, inverse.of[1], gamma), y(dy, inverse.of[2], gamma);
    const shape_cost<T> w(a.w, b.w, inverse.of[3], l.theta), h(a.h, b.h, inverse.of[4], l.theta);
    const T half(0.5);
    box_terms<T> t = o.terms(o.distance + half * ((x.cost + y.cost) + (w.cost + h.cost)), T(-1.0));

    // What the angle adds is at most of the first order in the distance: its division cancels.
    const auto wide = along_x > along_y;
    const T ux = select(wide, one, ratio), uy = select(wide, ratio, one);
    const T turns = -longer * (ux * ux * x.by_extent * x.left + uy * uy * y.by_extent * y.left) * by_square *
                    by_square * (1.0 - ratio * ratio);
    const T in_dx = gamma * x.left * x.by_extent * dx + turns * select(wide, -ratio, one) * sign(dx);
    const T in_dy = gamma * y.left * y.by_extent * dy + turns * select(wide, one, -ratio) * sign(dy);
    t.a.cx = in_dx, t.a.cy = in_dy;
    t.b.cx = -in_dx, t.b.cy = -in_dy;
    hull.add_gradient(o, -gamma * x.left * x.rho * x.by_extent * hull.w,
                      -gamma * y.left * y.rho * y.by_extent * hull.h, t);
    t.a.w = t.a.w + half * w.in_a, t.a.h = t.a.h + half * h.in_a;
    t.b.w = t.b.w + half * w.in_b, t.b.h = t.b.h + half * h.in_b;
    return t;
}

template <class T>
FUSEDLOSS_INLINE box_terms<T> eval(const wise_box_iou&, const box_pair<T>& p) {
    box_overlap<T> o(p);
    const box_hull<T> hull(p);
    const inverses<T, 2> inverse({o.covered + p.eps, hull.w * hull.w + hull.h * hull.h + p.eps});
    o.divide(inverse.of[0]);
    const T dx = p.a.cx - p.b.cx, dy = p.a.cy - p.b.cy;
    const T factor = exp((dx * dx + dy * dy) * inverse.of[1]), value = o.distance * factor;
    box_terms<T> t = o.terms(value, -factor);
    const T slope = 2.0 * value * inverse.of[1];
    t.a.cx = slope * dx, t.a.cy = slope * dy;
    t.b.cx = -t.a.cx, t.b.cy = -t.a.cy;
    return t;
}

FUSEDLOSS_END
