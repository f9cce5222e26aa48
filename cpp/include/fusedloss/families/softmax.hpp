// The rows family, softmax shape: losses phi(log p_y) of the softmax of a row at its label, and cross entropy
// with soft targets. Scores are read once per pass and exponentials taken once (softmax_kernels.hpp); what is
// one number per row runs on arrays of rows; a loss itself is no more than phi on such arrays.
#pragma once

#include "../simd/special.hpp"
#include "rows.hpp"
#include "softmax_kernels.hpp"

FUSEDLOSS_BEGIN

// ---- one number per row --------------------------------------------------------------------------

// How a number type lies in two arrays.
template <class T>
struct in_two;
template <>
struct in_two<pack<double>> {
    static FUSEDLOSS_INLINE pack<double> read(const double* hi, const double*) { return load(hi); }
    static FUSEDLOSS_INLINE void write(double* hi, double*, pack<double> x) { store(hi, x); }
    static FUSEDLOSS_INLINE pack<double> rounded(pack<double> x) { return x; }
    static FUSEDLOSS_INLINE pack<double> high(pack<double> x) { return x; }
    static FUSEDLOSS_INLINE pack<double> low(pack<double>) { return 0.0; }
};
template <>
struct in_two<extended> {
    static FUSEDLOSS_INLINE extended read(const double* hi, const double* lo) { return {load(hi), load(lo)}; }
    static FUSEDLOSS_INLINE void write(double* hi, double* lo, extended x) {
        store(hi, x.hi);
        store(lo, x.lo);
    }
    static FUSEDLOSS_INLINE pack<double> rounded(extended x) { return round_to_double(x); }
    static FUSEDLOSS_INLINE pack<double> high(extended x) { return x.hi; }
    static FUSEDLOSS_INLINE pack<double> low(extended x) { return x.lo; }
};

template <class T, class Loss>
void run_phi(const void* params, phi_block& b, int rows) {
    Loss loss;
    std::memcpy(static_cast<void*>(&loss), params, sizeof loss);
    using io = in_two<T>;
    for (int r = 0; r < rows; r += pack<double>::lanes) {
        const auto read = [&](double (&x)[2][panel_rows]) { return io::read(x[0] + r, x[1] + r); };
        const phi_terms<T> f = phi(loss, log_prob<T>{read(b.log_p), read(b.p), read(b.rest)});
        store(b.value + r, io::rounded(f.value));
        io::write(b.slope[0] + r, b.slope[1] + r, f.slope);
        store(b.curvature + r, io::rounded(f.curvature));
    }
}
template <class Loss>
constexpr softmax_entry make_softmax_kernels() {
    return {run_phi<pack<double>, Loss>, run_phi<extended, Loss>};
}

// What a call wants of the driver.
struct softmax_plan {
    bool dense;        // the second input holds probabilities instead of a label
    bool soft;         // there are soft targets: dense ones, or smoothed labels
    bool capped;       // softcap
    bool transformed;  // scores are not used as they are
    bool narrowed;     // ... but in two floats
    bool gradient, target_gradient, hessian;
    bool plain_hessian;  // multiples of p (1 - p), or sizes of p - y
    bool detailed;       // results that the plain passes do not give
};
FUSEDLOSS_SHARED softmax_plan plan_of(const rows_job& job) {
    softmax_plan p;
    p.dense = job.inputs == 2;
    p.soft = p.dense || job.softmax.label_smoothing != 0.0;
    p.capped = job.softmax.softcap != 0.0;
    p.transformed = p.capped || job.softmax.scale != 1.0 || job.class_offset || job.class_margin;
    p.narrowed = job.narrowed;
    p.gradient = job.grad[0].rows.data;
    p.target_gradient = job.grad[1].rows.data;
    p.hessian = job.hess.rows.data;
    p.plain_hessian = p.hessian && in_columns(job) && job.mode != hessian_mode::exact && !p.soft &&
                      !p.capped && job.softmax.z_loss == 0.0;
    p.detailed = (p.hessian && !p.plain_hessian) || p.target_gradient || (p.gradient && (p.soft || p.capped));
    return p;
}

// Rows between the passes, and what the detailed pass multiplies by.
struct row_coefficients {
    phi_block phi;
    alignas(64) double log_total[panel_rows], inverse[panel_rows], value[panel_rows], log_sum_exp[panel_rows];
    double rest_at_max[panel_rows], slope[panel_rows], curvature[panel_rows], z_slope[panel_rows];
    double scale[panel_rows], hessian_scale[panel_rows], target_scale[panel_rows], margin[panel_rows];
    // of p (1 - p) in the Hessian; and for that alone, as spread_columns and scaled_columns take them
    double spread[panel_rows], spread_factor[panel_rows], share[panel_rows], size_at_label[panel_rows];
};

// What p (1 - p) is multiplied by.
FUSEDLOSS_INLINE pack<double> spread_of(hessian_mode mode, std::int64_t classes, pack<double> decrease) {
    const double many = double(classes);
    switch (mode) {
        case hessian_mode::upper: return 2.0;
        case hessian_mode::lightgbm: return many / (many > 1.0 ? many - 1.0 : 1.0);
        case hessian_mode::abs_residual: return 1.0;  // of p alone
        default: return decrease;
    }
}

// The cheaper arithmetic of finite numbers (special.hpp) for either type.
FUSEDLOSS_INLINE pack<double> finite_sum(pack<double> a, pack<double> b) { return a + b; }
FUSEDLOSS_INLINE pack<double> finite_product(pack<double> a, pack<double> b) { return a * b; }
FUSEDLOSS_INLINE pack<double> finite_inverse(pack<double> a) { return 1.0 / a; }
FUSEDLOSS_INLINE extended finite_inverse(extended a) { return finite_quotient(1.0, a); }
// Of a >= 0, with the digits that results in floats need; NaN stays NaN.
FUSEDLOSS_INLINE pack<double> finite_log1p(pack<double> a) {
    const pack<wide_float> x = as_wide_float(a), u = 1.0 + x;
    const auto p = split_exponent(u);
    const pack<wide_float> scale = from_bits(as_bits(pack<wide_float>(1.0)) - p.exponent);
    return fma(a, pack<double>(0.0), as_double(log_parts(p.k, p.m, (x - (u - 1.0)) * scale)));
}
FUSEDLOSS_INLINE extended finite_log1p(extended a) { return finite_log(finite_sum(extended(1.0), a)); }

template <class T>
FUSEDLOSS_SHARED void before_phi(const softmax_panel& s, int rows, bool detailed, row_coefficients& k) {
    using io = in_two<T>;
    for (int r = 0; r < rows; r += pack<double>::lanes) {
        const pack<double> score = load(s.score + r), max = load(s.max + r);
        const auto at_max = score == max;
        const T top = load(s.top + r), others = io::read(s.others + r, s.others_low + r);
        const T total = finite_sum(top, others);
        const T both = finite_inverse(finite_product(top, total));  // one division for 1 / total and 1 / top
        const T inverse = finite_product(top, both);
        const T log_total = finite_log1p(finite_product(others, finite_product(total, both)));
        const T gap = (T(max) - T(score)) + (T(load(s.max_low + r)) - T(load(s.score_low + r)));
        const T t = select(at_max, top, T(load(s.t + r)));
        const T log_p = -(select(at_max, T(0.0), gap) + log_total);
        const T without = finite_sum(top, finite_sum(others, -t));
        const T rest = finite_product(select(at_max, others, without), inverse);
        const auto write = [&](double (&x)[2][panel_rows], T v) { io::write(x[0] + r, x[1] + r, v); };
        write(k.phi.log_p, log_p);
        write(k.phi.p, finite_product(t, inverse));
        write(k.phi.rest, rest);
        write(k.phi.inverse, inverse);
        write(k.phi.log_total, log_total);
        if (!detailed) continue;
        store(k.rest_at_max + r, io::rounded(finite_product(others, inverse)));
        store(k.log_total + r, io::rounded(log_total));
        store(k.inverse + r, io::rounded(inverse));
    }
}

// With a label: w (1 - a) phi + sum of q (max - z) + q log_total + z_loss lse^2, where a is the smoothing.
template <class T>
FUSEDLOSS_SHARED void after_phi(const rows_job& job, const softmax_plan& plan, const row_facts& facts,
                                int rows, softmax_panel& s, row_coefficients& k, double unlift) {
    using io = in_two<T>;
    const pack<double> zero(0.0);
    const softmax_options o = job.softmax;
    const bool shared = plan.soft || o.z_loss != 0.0;  // gradients have a part that is not the label's
    const bool exact = job.mode == hessian_mode::exact || job.mode == hessian_mode::gauss_newton;
    for (int r = 0; r < rows; r += pack<double>::lanes) {
        const auto read = [&](const double (&x)[2][panel_rows]) { return io::read(x[0] + r, x[1] + r); };
        const pack<double> weight = load(facts.weight + r);
        const auto included = weight != zero;
        const auto keep = [&](double* to, pack<double> x) { store(to + r, select(included, x, zero)); };
        const T log_total = read(k.phi.log_total);
        const T lse = T(load(s.max + r)) + (T(load(s.max_low + r)) + log_total);
        T value(0.0), slope(0.0), at_label(0.0), share(0.0), z_slope(0.0);
        pack<double> label_weight(1.0), curvature(0.0);
        if (!plan.dense) {
            label_weight = load(facts.label_weight + r);
            const T own = T(label_weight) * (1.0 - o.label_smoothing);
            slope = own * read(k.phi.slope);
            value = own * T(load(k.phi.value + r));
            at_label = slope * read(k.phi.rest);
            curvature = io::rounded(own * T(load(k.phi.curvature + r)));
        }
        if (plan.soft) {
            share = load(s.soft_total + r);
            value = value + (T(load(s.soft_gap + r)) + select(share == T(0.0), T(0.0), share * log_total));
            at_label = at_label - T(load(s.soft_label + r));
        }
        if (o.z_loss != 0.0) {
            z_slope = 2.0 * o.z_loss * lse;
            value = value + 0.5 * z_slope * lse;
        }
        keep(k.value, io::rounded(value) * weight);
        if (job.log_sum_exp.data) keep(k.log_sum_exp, io::rounded(lse));
        if (plan.gradient) {
            const T scale = T(weight) * (job.grad_scale * o.scale);
            if (shared) {
                share = share + z_slope;
                at_label = at_label + share * read(k.phi.p);
            }
            const T factor = (share - slope) * read(k.phi.inverse) * scale;
            keep(s.factor, io::high(factor) * unlift);
            keep(s.factor_low, io::low(factor) * unlift);
            keep(s.at_label, io::rounded(at_label * scale));
            store(k.scale + r, io::rounded(scale));
        }
        if (!plan.detailed && !plan.plain_hessian) continue;
        const pack<double> plain = weight * job.grad_scale;
        store(k.slope + r, io::rounded(slope));
        store(k.curvature + r, curvature);
        store(k.z_slope + r, io::rounded(z_slope));
        store(k.target_scale + r, plain * (1.0 - o.label_smoothing));
        const pack<double> hessian_scale = exact ? plain * (o.scale * o.scale) : plain * label_weight;
        store(k.hessian_scale + r, hessian_scale);
        const pack<double> spread = spread_of(job.mode, job.classes, io::rounded(share - slope));
        store(k.spread + r, spread);
        if (!plan.plain_hessian) continue;
        const pack<double> own_share = load(k.inverse + r) * unlift;
        store(k.share + r, own_share);
        keep(k.spread_factor, spread * hessian_scale * own_share);
        keep(k.size_at_label, load(k.phi.rest[0] + r) * hessian_scale);
    }
}

// ---- detailed pass: everything per element that is not the plain gradient, in double
// -------------------------

// Calls f(offset, class index, row): the numbers of a pack of elements, with row(a) their rows' numbers.
template <bool Columns, class F>
FUSEDLOSS_INLINE void for_elements(std::int64_t first, std::int64_t classes, int rows, int row, F f) {
    constexpr int lanes = pack<double>::lanes;
    if constexpr (Columns) {
        for (int r = 0; r < rows; r += lanes)
            for (std::int64_t j = 0; j < classes; ++j)
                f(j * panel_rows + r, pack<double>(double(j)), [r](const double* a) { return load(a + r); });
    } else {
        double lane[lanes];
        for (int l = 0; l < lanes; ++l) lane[l] = double(first + l);
        const pack<double> index = load(lane);
        for (std::int64_t j = 0; j < classes; j += lanes)
            f(j, index + double(j), [row](const double* a) { return pack<double>(a[row]); });
    }
}
// A number of each class: one at a time where lanes are rows.
template <bool Columns>
FUSEDLOSS_INLINE pack<double> of_class(const double* a, std::int64_t first, std::int64_t offset,
                                       std::int64_t classes) {
    constexpr std::int64_t lanes = pack<double>::lanes;
    if constexpr (Columns) return a[offset / panel_rows];
    const std::int64_t left = classes - (first + offset);
    return left >= lanes ? load(a + first + offset)
                         : load_partial(a + first + offset, left > 0 ? int(left) : 0);
}

// A stretch of a panel, or of one of its rows, in buffers of their own. Null: not there, or not wanted.
template <class C>
struct stretch {
    std::int64_t first, classes;  // classes [first, first + classes) of it
    int rows, row;
    const C* z;
    const double *z_low, *raw;  // raw: scores before softcap
    double* soft;               // targets: read, and turned into what the loss weighs
    const C* t;
    double t_scale;  // what t is relative to, lift included
    double *grad, *target_grad, *hess;
};

template <bool Columns>
FUSEDLOSS_SHARED void transform_scores(const rows_job& job, const row_facts& facts, const row_coefficients& k,
                                       std::int64_t first, std::int64_t classes, int rows, int row, double* z,
                                       double* low) {
    const softmax_options& o = job.softmax;
    for_elements<Columns>(first, classes, rows, row, [&](std::int64_t at, pack<double> index, auto of_row) {
        const pack<double> raw = load(z + at);
        extended x = raw;
        if (o.softcap != 0.0) {
            const extended u = extended(raw) / extended(o.softcap);
            x = o.softcap * (job.single ? extended(tanh(u.hi)) : tanh(u));
        }
        x = o.scale * x;
        if (job.class_offset) x = x + of_class<Columns>(job.class_offset, first, at, job.classes);
        if (job.class_margin)
            x = x - select(of_row(facts.label) == index, of_row(k.margin), pack<double>(0.0));
        store(z + at, x.hi);
        store(low + at, x.lo);
    });
}

// What the loss weighs the gaps max - z by: the targets with their smoothing and the weights of the classes.
template <bool Columns>
FUSEDLOSS_SHARED void soften_targets(const rows_job& job, bool dense, std::int64_t first,
                                     std::int64_t classes, int rows, int row, double* q) {
    const double each = job.softmax.label_smoothing / double(job.classes),
                 kept = 1.0 - job.softmax.label_smoothing;
    for_elements<Columns>(first, classes, rows, row, [&](std::int64_t at, pack<double>, auto) {
        pack<double> x = each;
        if (dense) x = fma(pack<double>(kept), load(q + at), x);
        if (job.class_weight) x = x * of_class<Columns>(job.class_weight, first, at, job.classes);
        store(q + at, x);
    });
}

template <class C, bool Columns>
FUSEDLOSS_SHARED void detailed_pass(const rows_job& job, const softmax_plan& plan, const row_facts& facts,
                                    const softmax_panel& s, const row_coefficients& k, const stretch<C>& e) {
    const pack<double> zero(0.0), one(1.0), t_scale = e.t_scale;
    for_elements<Columns>(
        e.first, e.classes, e.rows, e.row, [&](std::int64_t at, pack<double> index, auto of_row) {
            const auto first = index == of_row(s.argmax);
            const auto excluded = of_row(facts.weight) == zero;
            const pack<double> p = load_wide(e.t + at) * t_scale * of_row(k.inverse),
                               rest_at_max = of_row(k.rest_at_max);
            pack<double> rest = select(first, rest_at_max, one - p), residual = -p, slope(0.0);
            if (!plan.dense) {
                const auto here = index == of_row(facts.label);
                rest = select(here, of_row(k.phi.rest[0]), rest);
                residual = select(here, rest, residual);
                slope = of_row(k.slope);
            }
            const pack<double> soft = plan.soft ? load(e.soft + at) : zero,
                               share = plan.soft ? of_row(s.soft_total) : zero;
            const pack<double> z_slope = of_row(k.z_slope);
            pack<double> g = slope * residual + z_slope * p;
            if (plan.soft) {
                // Next to 1, p - q is what is left to the others of either.
                const auto dominant = first & (rest_at_max < pack<double>(0.5));
                g = g +
                    select(dominant, fma(-share, rest_at_max, of_row(s.soft_others)), fma(share, p, -soft));
            }
            pack<double> bend = one, bend_2 = zero;  // of the softcap
            if (plan.capped) {
                const pack<double> u = load(e.raw + at) / job.softmax.softcap, v = exp(-2.0 * abs(u)),
                                   w = 1.0 + v;
                bend = 4.0 * v / (w * w);
                bend_2 = -2.0 * tanh(u) * bend / job.softmax.softcap;
            }
            if (e.grad) store(e.grad + at, select(excluded, zero, g * bend * of_row(k.scale)));
            if (e.hess) {
                const pack<double> spread = p * rest;
                pack<double> h;
                switch (job.mode) {
                    case hessian_mode::exact:
                        h = of_row(k.curvature) * residual * residual + (share + z_slope - slope) * spread +
                            2.0 * job.softmax.z_loss * p * p;
                        h = h * bend * bend + g * bend_2 / job.softmax.scale;
                        break;
                    case hessian_mode::gauss_newton: h = of_row(k.spread) * spread * bend * bend; break;
                    case hessian_mode::abs_residual: h = abs(plan.dense ? p - soft : residual); break;
                    default: h = of_row(k.spread) * spread;
                }
                store(e.hess + at, select(excluded, zero, h * of_row(k.hessian_scale)));
            }
            if (e.target_grad) {
                pack<double> gap = of_row(s.max) - load_wide(e.z + at);
                if (e.z_low) gap = gap + (of_row(s.max_low) - load(e.z_low + at));
                gap = (select(first, zero, gap) + of_row(k.log_total)) * of_row(k.target_scale);
                if (job.class_weight)
                    gap = gap * of_class<Columns>(job.class_weight, e.first, at, job.classes);
                store(e.target_grad + at, select(excluded, zero, gap));
            }
        });
}

// Sums of soft targets over the classes of every row of a panel.
template <class C>
FUSEDLOSS_SHARED void sum_soft_columns(const C* z, const double* z_low, const double* soft,
                                       const double* labels, int classes, int rows, softmax_panel& s) {
    const pack<double> zero(0.0);
    for (int r = 0; r < rows; r += pack<double>::lanes) {
        compensated gaps{0.0, 0.0}, total{0.0, 0.0}, others{0.0, 0.0};
        pack<double> at_label(0.0);
        const pack<double> max = load(s.max + r), argmax = load(s.argmax + r), label = load(labels + r);
        for (int j = 0; j < classes; ++j) {
            const pack<double> index = double(j), q = load(soft + j * panel_rows + r);
            pack<double> gap = max - load_wide(z + j * panel_rows + r);
            if (z_low) gap = gap + (load(s.max_low + r) - load(z_low + j * panel_rows + r));
            const auto first = index == argmax;
            gaps = add(gaps, select((q == zero) | first, zero, q * gap));
            total = add(total, q);
            others = add(others, select(first, zero, q));
            at_label = select(index == label, q, at_label);
        }
        store(s.soft_gap + r, rounded(gaps));
        store(s.soft_total + r, rounded(total));
        store(s.soft_others + r, rounded(others));
        store(s.soft_label + r, at_label);
    }
}

// ---- around the passes --------------------------------------------------------------------------

// Hands out a thread's scratch; counts bytes where there is none.
class workspace_cutter {
  public:
    FUSEDLOSS_INLINE explicit workspace_cutter(void* memory) : base(static_cast<char*>(memory)) {}
    template <class T>
    FUSEDLOSS_INLINE T* take(std::int64_t n, bool wanted = true) {
        if (!wanted) return nullptr;
        char* const p = base + used;
        used += (std::size_t(n) * sizeof(T) + 63) / 64 * 64;
        return reinterpret_cast<T*>(p);
    }
    FUSEDLOSS_INLINE std::size_t bytes() const { return used; }

  private:
    char* base;
    std::size_t used = 0;
};

// Buffers of a stretch of n elements.
template <class C>
struct stretch_buffers {
    C* z;
    double *z_low, *raw, *soft, *grad, *target_grad, *hess;
    FUSEDLOSS_INLINE stretch_buffers(workspace_cutter& w, const softmax_plan& plan, std::int64_t n)
        : z(w.take<C>(n)),
          z_low(w.take<double>(n, plan.transformed || plan.narrowed)),
          raw(w.take<double>(n, plan.capped || plan.narrowed)),
          soft(w.take<double>(n, plan.soft)),
          grad(w.take<double>(n, plan.detailed && plan.gradient)),
          target_grad(w.take<double>(n, plan.target_gradient)),
          hess(w.take<double>(n, plan.hessian)) {}
};

FUSEDLOSS_INLINE bool runs_along(const rows_job& job, const class_array& a, int size) {
    return job.dims > 0 && a.rows.stride[job.dims - 1] == size && a.step % size == 0;
}
// Rows from `at` on that no run of rows ends before.
FUSEDLOSS_INLINE int rows_in_run(const rows_job& job, std::int64_t at, std::int64_t end, int most) {
    const std::int64_t left = end - at, inner = job.dims ? job.shape[job.dims - 1] : 1;
    const std::int64_t run = job.dims > 1 ? inner - at % inner : left, n = left < run ? left : run;
    return int(n < most ? n : most);
}

FUSEDLOSS_SHARED void write_indices(const rows_job& job, const strided& out, std::int64_t begin, int n,
                                    const double* index, const double* weight) {
    for_each_run(job.dims, job.shape, out, begin, n, [&](char* p, std::int64_t stride, int offset, int run) {
        for (int r = 0; r < run; ++r) {
            const std::int64_t i = weight[offset + r] == 0.0 ? -1 : std::int64_t(index[offset + r]);
            std::memcpy(p + r * stride, &i, sizeof i);
        }
    });
}

// What a panel of rows has in common, whether its lanes are rows or classes.
template <class C>
class softmax_driver {
  public:
    FUSEDLOSS_INLINE softmax_driver(const rows_job& j, phi_kernel f)
        : job(j), phi(f), plan(plan_of(j)), sink(j) {}

    sum run_columns(std::int64_t begin, std::int64_t end, void* workspace) {
        workspace_cutter cutter(workspace);
        const int classes = int(job.classes);
        const std::int64_t one = classes * panel_rows;
        const stretch_buffers<C> own(cutter, plan, one);
        C* const t = cutter.take<C>(one);
        const int size = int(sizeof(C));
        const dtype read = plan.narrowed ? dtype::float64 : dtype_of<C>;
        const int in_size = item_size(read);
        const bool plain_in =
            !plan.transformed && job.in[0].rows.type == read && runs_along(job, job.in[0], in_size);
        const int out_size = item_size(job.grad[0].rows.type);
        const bool along_out = plan.gradient && runs_along(job, job.grad[0], out_size);
        // Panels that are read ahead together: as many as leave room in the caches for twice their scores.
        const int few = 131072 / (classes * panel_rows * in_size), panels = few < 1 ? 1 : few > 16 ? 16 : few;
        reader_ahead ahead{}, none{};
        int n, panel = 0;
        for (std::int64_t at = begin; at < end; at += n) {
            n = rows_in_run(job, at, end, panel_rows);
            char* const grad = along_out ? row_address(job, job.grad[0], at) : nullptr;
            const int to_boundary = int((64 - reinterpret_cast<std::uintptr_t>(grad) % 64) % 64) / out_size;
            if (job.stream && to_boundary > 0 && to_boundary < n) n = to_boundary;
            const bool whole = n % int(row_unit) == 0;
            fetch(at, n);

            stretch<C> e{0,         classes,         n,        0, own.z,
                         own.z_low, own.raw,         own.soft, t, 1.0 / lift_power<C>,
                         own.grad,  own.target_grad, own.hess};
            const C* scores = own.z;
            std::ptrdiff_t pitch = panel_rows;
            const char* const from = row_address(job, job.in[0], at);
            const bool direct = plain_in && whole && aligned_for(from, in_size);
            if (direct && panel++ % panels == 0) {
                const int lines = panels * panel_rows * in_size / 64;
                ahead = {from + lines * 64, lines, 0, job.in[0].step};
            }
            if (plan.narrowed) {
                if (!direct) gather_columns(job, job.in[0], at, n, own.raw);
                if constexpr (sizeof(C) == 4)
                    narrow_columns(direct ? reinterpret_cast<const double*>(from) : own.raw,
                                   direct ? std::ptrdiff_t(job.in[0].step / in_size) : panel_rows, classes, n,
                                   own.z, reinterpret_cast<float*>(own.z_low), ahead);
            } else if (direct) {
                scores = reinterpret_cast<const C*>(from);
                pitch = std::ptrdiff_t(job.in[0].step / size);
            } else {
                gather_columns(job, job.in[0], at, n, own.z);
                if constexpr (sizeof(C) == 8)
                    if (plan.transformed) {
                        if (plan.capped) std::memcpy(own.raw, own.z, std::size_t(one) * sizeof(double));
                        transform_scores<true>(job, facts, k, 0, classes, n, 0, own.z, own.z_low);
                    }
            }
            const auto forward = [&](auto has_low) {
                forward_columns<C, decltype(has_low)::value>(
                    scores, pitch, own.z, reinterpret_cast<const C*>(own.z_low), t, classes, n, s,
                    facts.label, plan.narrowed ? none : ahead);
            };
            own.z_low ? forward(truth<true>{}) : forward(truth<false>{});
            if (plan.soft || (plan.hessian && !plan.plain_hessian) || job.argmax.data)
                find_columns(e.z, classes, n, s);
            if (plan.soft) {
                if (plan.dense) gather_columns(job, job.in[1], at, n, own.soft);
                soften_targets<true>(job, plan.dense, 0, classes, n, 0, own.soft);
                sum_soft_columns<C>(e.z, own.z_low, own.soft, facts.label, classes, n, s);
            }
            settle(at, n);
            if (plan.detailed) {
                detailed_pass<C, true>(job, plan, facts, s, k, e);
                const auto emit = [&](const class_array& a, const double* panel) {
                    if (panel) scatter_columns(job, a, at, n, panel);
                };
                emit(job.grad[0], e.grad);
                emit(job.grad[1], e.target_grad);
                emit(job.hess, e.hess);
                continue;
            }
            const auto write = [&](const class_array& a, const auto& made) {
                char* const to = row_address(job, a, at);
                const bool plain = whole && a.rows.type == dtype_of<C> && runs_along(job, a, size);
                C* const out = reinterpret_cast<C*>(to);
                const std::ptrdiff_t out_pitch = std::ptrdiff_t(a.step / size);
                if (plain && job.stream && aligned_for(to, 64) && a.step % 64 == 0)
                    made.template write<true>(out, out_pitch);
                else if (plain && !job.stream && aligned_for(to, size))
                    made.template write<false>(out, out_pitch);
                else
                    scatter_panel<C>(job, a, at, n, made);
            };
            if (plan.plain_hessian) {
                C* const staging = reinterpret_cast<C*>(own.hess);
                if (job.mode == hessian_mode::abs_residual)
                    write(job.hess, scaled_columns<C>{{staging, classes, n, s},
                                                      t,
                                                      k.spread_factor,
                                                      nullptr,
                                                      k.size_at_label,
                                                      facts.label});
                else
                    write(job.hess,
                          spread_columns<C>{
                              {staging, classes, n, s}, t, k.spread_factor, k.share, k.rest_at_max});
            }
            if (!plan.gradient) continue;
            if (job.softmax.log_probabilities)
                write(job.grad[0], log_probability_columns<C>{{t, classes, n, s}, own.z, k.phi.log_total[0]});
            else
                write(job.grad[0],
                      scaled_columns<C>{
                          {t, classes, n, s}, t, s.factor, s.factor_low, s.at_label, facts.label});
        }
        if (job.stream) stream_fence();
        return sink.finish();
    }
    static void cut_columns(workspace_cutter& cutter, const rows_job& job) {
        const std::int64_t one = job.classes * panel_rows;
        stretch_buffers<C>(cutter, plan_of(job), one);
        cutter.take<C>(one);
    }

    sum run_rows(std::int64_t begin, std::int64_t end, void* workspace) {
        workspace_cutter cutter(workspace);
        const int together = rows_together(job.classes);
        const std::int64_t pitch = whole_units<C>(job.classes), chunks = chunk_count<C>(job.classes);
        const stretch_buffers<C> own(cutter, plan, row_chunk<C>);
        buffers = &own;
        C* const t = cutter.take<C>(pitch * together);
        double* const chunk_k = cutter.take<double>(chunks * together);
        int n;
        for (std::int64_t at = begin; at < end; at += n) {
            n = end - at < together ? int(end - at) : together;
            fetch(at, n);
            for (int r = 0; r < n; ++r) {
                row = r;
                if (facts.weight[r] == 0.0) {
                    std::memset(t + r * pitch, 0, std::size_t(pitch) * sizeof(C));
                    for (std::int64_t i = 0; i < chunks; ++i) chunk_k[r * chunks + i] = 0.0;
                    final_k[r] = 0.0;
                    continue;
                }
                source = row_address(job, job.in[0], at + r);
                forward(t + r * pitch, chunk_k + r * chunks);
                if (plan.soft) sum_soft(at + r);
            }
            settle(at, n);
            for (int r = 0; r < n; ++r) {
                row = r;
                if (plan.detailed)
                    backward_detailed(at + r, t + r * pitch, chunk_k + r * chunks);
                else if (job.softmax.log_probabilities)
                    log_probabilities(at + r);
                else if (plan.gradient)
                    backward(at + r, t + r * pitch, chunk_k + r * chunks);
            }
        }
        if (job.stream) stream_fence();
        return sink.finish();
    }
    static void cut_rows(workspace_cutter& cutter, const rows_job& job) {
        const int together = rows_together(job.classes);
        stretch_buffers<C>(cutter, plan_of(job), row_chunk<C>);
        cutter.take<C>(whole_units<C>(job.classes) * together);
        cutter.take<double>(chunk_count<C>(job.classes) * together);
    }

  private:
    // As many rows as leave room in the caches for their exponentials.
    static int rows_together(std::int64_t classes) {
        const std::int64_t n = 65536 / (classes * std::int64_t(sizeof(C)));
        return int(n < 1 ? 1 : n > 16 ? 16 : n);
    }

    FUSEDLOSS_SHARED void fetch(std::int64_t at, int n) {
        fetch_facts(job, at, n, facts);
        // Without a label: as if it were one more class, whose score is 0 and which counts for nothing.
        if (!plan.dense && !job.label.data)
            for (double& label : facts.label) label = -1.0;
        for (int r = 0; r < panel_rows && job.class_margin; ++r)
            k.margin[r] = job.class_margin[std::int64_t(facts.label[r])];
    }

    // From the sums of rows to their values and the factors of their gradients.
    FUSEDLOSS_SHARED void settle(std::int64_t at, int n) {
        if (job.single) {
            before_phi<pack<double>>(s, n, plan.detailed || plan.plain_hessian, k);
            if (!plan.dense) phi(job.params, k.phi, n);
            after_phi<pack<double>>(job, plan, facts, n, s, k, 1.0 / lift_power<C>);
        } else {
            before_phi<extended>(s, n, plan.detailed || plan.plain_hessian, k);
            if (!plan.dense) phi(job.params, k.phi, n);
            after_phi<extended>(job, plan, facts, n, s, k, 1.0 / lift_power<C>);
        }
        sink.put(at, n, k.value);
        if (job.log_sum_exp.data) scatter_values(job, job.log_sum_exp, at, n, k.log_sum_exp);
        if (job.argmax.data) write_indices(job, job.argmax, at, n, s.argmax, facts.weight);
    }

    // A stretch of a row's scores: whole units where they lie, and what is left, followed by -inf.
    struct pieces {
        const C *z, *tail;
        int whole, rest;
        C operator[](std::int64_t i) const { return i < whole ? z[i] : tail[i - whole]; }
    };
    FUSEDLOSS_SHARED pieces chunk(std::int64_t first, int n, bool together = false) {
        const class_array& a = job.in[0];
        const char* const p = source + first * a.step;
        const bool direct =
            !together && !limits && !plan.transformed && a.rows.type == dtype_of<C> && a.step == sizeof(C);
        const int whole = direct ? n / sum_unit<C> * sum_unit<C> : 0, left = n - whole,
                  units = whole_units<C>(left);
        C* const buffer = buffers->z;
        if (left) {
            gather_run(a.rows.type, buffer, p + whole * a.step, a.step, left);
            if constexpr (sizeof(C) == 8)
                if (plan.transformed) {
                    if (plan.capped) std::memcpy(buffers->raw, buffer, std::size_t(n) * sizeof(C));
                    transform_scores<false>(job, facts, k, first, n, 1, row, buffer, buffers->z_low);
                }
            for (int i = 0; i < left && limits; ++i)
                buffer[i] = buffer[i] == C(__builtin_inf()) ? C(0)
                            : buffer[i] - buffer[i] == C(0) ? -C(__builtin_inf())
                                                            : buffer[i];
            for (int i = left; i < units; ++i) {
                buffer[i] = -C(__builtin_inf());
                if (buffers->z_low) buffers->z_low[i] = 0.0;
            }
        }
        if (direct) return {reinterpret_cast<const C*>(p), buffer, whole, units};
        return {buffer, nullptr, units, 0};
    }
    static C max_of_pieces(const pieces& z) {
        const C a = max_of(z.z, z.whole), b = max_of(z.tail, z.rest);
        return b > a ? b : a;
    }
    FUSEDLOSS_SHARED C row_max() {
        C max = -C(__builtin_inf());
        int n;
        for (std::int64_t first = 0; first < job.classes; first += n) {
            n = chunk_at<C>(first, job.classes);
            const C here = max_of_pieces(chunk(first, n));
            if (here > max) max = here;
        }
        return max;
    }
    // Whether exponentials measured by the shift are exact for this maximum too.
    static bool within_reach(C shift, C max) {
        const C distance = max - shift, most = shift / 4;
        return distance < 4096 && distance > -4096 &&
               (shift == C(0) || (distance < 0 ? -distance : distance) < (most < 0 ? -most : most));
    }

    static C shift_of(C max) { return has_fma && max < 4096 && max > -4096 ? C(0) : max; }
    static measure<C> measure_of(C shift, C max) {
        return measure_by(pack<C>(double(shift)), pack<C>(double(max)));
    }

    // One pass over a row: chunks are measured by the largest score seen so far, and what came before is
    // measured anew when that grows. Should it grow out of the reach of its shift, the row is begun again
    // with the maximum known. Infinite scores are the limit of large ones: such a row is begun again with 0
    // in place of them, and all else far below.
    FUSEDLOSS_SHARED void forward(C* t, double* chunk_k) {
        const double unlift = 1.0 / lift_power<C>;
        bool known = !has_fma;
        C max = known ? row_max() : -C(__builtin_inf());
        measure<C> by;
        double k_now, k_label;
        for (bool again = true; again;) {
            again = false;
            bool found = false;
            C shift = 0, top = 0;
            row_sum<C> total;
            sum demoted{0.0, 0.0};  // former maxima
            k_now = k_label = 0.0;
            by = known ? measure_of(shift_of(max), max) : measure_by<C>(0.0, 0.0);
            std::int64_t label = std::int64_t(facts.label[row]);
            int n;
            for (std::int64_t first = 0, i = 0; first < job.classes; first += n, ++i) {
                n = chunk_at<C>(first, job.classes);
                const pieces z = chunk(first, n);
                const C here = max_of_pieces(z);
                const bool record = known ? !found && here == max : here > max;
                int at = 0;
                if (record && here - here != 0) {
                    max = 0;
                    limits = known = again = true;
                    break;
                }
                if (record) {
                    at = find(z.z, z.whole, here);
                    if (at == z.whole) at += find(z.tail, z.rest, here);
                    s.argmax[row] = double(first + at);
                    s.max_low[row] = buffers->z_low ? buffers->z_low[at] : 0.0;
                    if (!known) {
                        if (!found) {
                            shift = shift_of(here);
                        } else if (!within_reach(shift, here)) {
                            max = row_max();
                            known = again = true;
                            break;
                        }
                        by = measure_of(shift, here);
                    }
                    const double k_new = by.k.part[0][0];
                    if (found) {
                        add_to(demoted, double(top));
                        for_powers(k_now - k_new, [&](double power) {
                            total.rescale(power);
                            demoted.high *= power;
                            demoted.low *= power;
                        });
                    }
                    k_now = k_new;
                    max = here;
                    found = true;
                }
                const C* const low = reinterpret_cast<const C*>(buffers->z_low);
                const char* const next = source + (first + n) * job.in[0].step;
                const auto add = [&](int from, int until) {
                    const int split = from > z.whole ? from : until < z.whole ? until : z.whole;
                    C* const to = t + first;
                    if (from < split)
                        exponentials_of(z.z + from, low ? low + from : nullptr, to + from, split - from, by,
                                        next + from * sizeof(C), total);
                    if (split < until)
                        exponentials_of<C>(z.tail + (split - z.whole), nullptr, to + split, until - split, by,
                                           next, total);
                };
                chunk_k[i] = k_now;
                if (record) {
                    // The largest is left out of the sum.
                    const int unit = at / sum_unit<C> * sum_unit<C>, rest = unit + sum_unit<C>;
                    add(0, unit);
                    row_sum<C> before = total;
                    add(unit, rest);
                    C* const largest = t + first + at;
                    top = *largest;
                    *largest = 0;
                    before.add_unit(t + first + unit);
                    total = before;
                    *largest = top;
                    add(rest, z.whole + z.rest);
                } else {
                    add(0, z.whole + z.rest);
                }
                if (label >= first && label < first + n) {
                    s.score[row] = limits && z[label - first] == 0 ? __builtin_inf() : z[label - first];
                    s.score_low[row] = buffers->z_low ? buffers->z_low[label - first] : 0.0;
                    s.t[row] = t[label] * unlift;
                    k_label = k_now;
                }
            }
            if (again) continue;
            sum others = total.folded();
            add_to(others, demoted);
            const double high = others.high + others.low;
            s.others[row] = high * unlift;
            s.others_low[row] = (others.low - (high - others.high)) * unlift;
            s.max[row] = limits ? __builtin_inf() : max;
            for_powers(k_label - k_now, [&](double power) { s.t[row] *= power; });
            s.top[row] = found ? top * unlift : __builtin_nan("");
            if (!found) s.argmax[row] = s.max_low[row] = 0.0;
            final_k[row] = k_now;
        }
        if constexpr (sizeof(C) == 4) {
            const widened<C> top(by.top), k_top(by.k);
            if (s.top[row] == s.top[row]) s.top[row] = largest_t(top.part[0], k_top.part[0]).part[0][0];
        }
        limits = false;
    }

    FUSEDLOSS_SHARED void fetch_soft(std::int64_t at, std::int64_t first, int n) {
        const class_array& q = job.in[1];
        if (plan.dense)
            gather_run(q.rows.type, buffers->soft, row_address(job, q, at) + first * q.step, q.step, n);
        for (int i = n; i < whole_units<C>(n); ++i) buffers->soft[i] = 0.0;
        soften_targets<false>(job, plan.dense, first, n, 1, row, buffers->soft);
    }
    FUSEDLOSS_SHARED void sum_soft(std::int64_t at) {
        sum gaps{0.0, 0.0}, total{0.0, 0.0}, others{0.0, 0.0};
        const std::int64_t argmax = std::int64_t(s.argmax[row]), label = std::int64_t(facts.label[row]);
        int n;
        for (std::int64_t first = 0; first < job.classes; first += n) {
            n = chunk_at<C>(first, job.classes);
            const C* const z = chunk(first, n, true).z;
            fetch_soft(at, first, n);
            add_soft(z, first, n, argmax, gaps, total, others);
            if (label >= first && label < first + n) s.soft_label[row] = buffers->soft[label - first];
        }
        s.soft_gap[row] = fusedloss::rounded(gaps);
        s.soft_total[row] = fusedloss::rounded(total);
        s.soft_others[row] = fusedloss::rounded(others);
    }
    void add_soft(const C* z, std::int64_t first, int n, std::int64_t argmax, sum& gaps, sum& total,
                  sum& others) {
        constexpr int lanes = pack<double>::lanes, parts = int(row_unit) / lanes;
        compensated g[parts], q_sum[parts];
        for (int i = 0; i < parts; ++i) g[i] = q_sum[i] = {0.0, 0.0};
        double* const q = buffers->soft;
        const int at = argmax >= first && argmax < first + n ? int(argmax - first) : -1;
        const double at_max = at >= 0 ? q[at] : 0.0;
        if (at >= 0) q[at] = 0.0;
        const pack<double> zero(0.0), max(s.max[row]), max_low(s.max_low[row]);
        for (int i = n; i < (n + lanes - 1) / lanes * lanes; ++i) q[i] = 0.0;
        for (int i = 0; i < n; i += lanes) {
            const pack<double> w = load(q + i);
            pack<double> gap = max - load_wide(z + i);
            if (buffers->z_low) gap = gap + (max_low - load(buffers->z_low + i));
            const int part = i / lanes % parts;
            g[part] = add(g[part], select(w == zero, zero, w * gap));
            q_sum[part] = add(q_sum[part], w);
        }
        if (at >= 0) q[at] = at_max;
        const auto fold = [](const compensated* c) {
            alignas(64) double high[row_unit], low[row_unit];
            for (int i = 0; i < parts; ++i) {
                store(high + i * lanes, c[i].s);
                store(low + i * lanes, c[i].e);
            }
            return fold_lanes(high, low, int(row_unit));
        };
        add_to(gaps, fold(g));
        const sum without = fold(q_sum);
        add_to(others, without);
        add_to(total, without);
        add_to(total, at_max);
    }

    FUSEDLOSS_SHARED void backward(std::int64_t at, C* t, const double* chunk_k) {
        const class_array& a = job.grad[0];
        char* const to = row_address(job, a, at);
        const std::int64_t label = std::int64_t(facts.label[row]);
        const bool plain =
            a.rows.type == dtype_of<C> && a.step == sizeof(C) && aligned_for(to, int(sizeof(C)));
        int n;
        for (std::int64_t first = 0, i = 0; first < job.classes; first += n, ++i) {
            n = chunk_at<C>(first, job.classes);
            const double power = measure_anew(t + first, n, chunk_k[i] - final_k[row]);
            const double whole = s.factor[row] * power;
            const C factor = C(whole), low = C((whole - double(factor)) + s.factor_low[row] * power);
            const int here = label >= first && label < first + n ? int(label - first) : n;
            if (plain) {
                C* const out = reinterpret_cast<C*>(to) + first;
                const auto part = [&](int from, int until) {
                    if (job.stream)
                        scaled<true>(out + from, t + first + from, until - from, factor, low);
                    else
                        scaled<false>(out + from, t + first + from, until - from, factor, low);
                };
                part(0, here);
                if (here < n) {
                    out[here] = C(s.at_label[row]);
                    part(here + 1, n);
                }
            } else {
                C* const out = buffers->z;
                scaled<false>(out, t + first, n, factor, low);
                if (here < n) out[here] = C(s.at_label[row]);
                write(a, to, first, n, out);
            }
        }
    }
    FUSEDLOSS_SHARED void log_probabilities(std::int64_t at) {
        const class_array& a = job.grad[0];
        const pack<C> max = s.max[row], log_total = k.phi.log_total[0][row];
        source = row_address(job, job.in[0], at);
        int n;
        for (std::int64_t first = 0; first < job.classes; first += n) {
            n = chunk_at<C>(first, job.classes);
            C* const z = buffers->z;
            chunk(first, n, true);
            for (int i = 0; i < whole_units<C>(n); i += pack<C>::lanes)
                store(z + i, log_probability(load(z + i), max, log_total));
            write(a, row_address(job, a, at), first, n, z);
        }
    }
    // t measured by an earlier maximum, 2^below the last one: left for the factor of the gradient to include,
    // unless that would leave the range of C.
    static double measure_anew(C* t, int n, double below) {
        double included = 1.0;
        for_powers(below, [&](double power) {
            if (below > -30.0)
                included = power;
            else
                scaled<false>(t, t, n, C(power), C(0));
        });
        return included;
    }
    template <bool Stream>
    static FUSEDLOSS_SHARED void scaled(C* out, const C* t, int n, C factor, C low) {
        constexpr int lanes = pack<C>::lanes;
        const two_parts<C> f{pack<C>(double(factor)), pack<C>(double(low))};
        constexpr std::uintptr_t boundary = FUSEDLOSS_PACK_BYTES;
        const int head =
            int((boundary - reinterpret_cast<std::uintptr_t>(out) % boundary) % boundary / sizeof(C));
        int i = !Stream ? 0 : head < n ? head : n;
        if (i > 0) store_first(out, f * load(t), i);
        for (; i + lanes <= n; i += lanes) {
            const pack<C> g = f * load(t + i);
            Stream ? store_stream(out + i, g) : store(out + i, g);
        }
        if (i < n) store_first(out + i, f * load(t + i), n - i);
    }

    // Results of a stretch of a row.
    template <class N>
    void write(const class_array& a, char* to, std::int64_t first, int n, const N* values) {
        if (job.stream && a.step == item_size(a.rows.type))
            stream_out(a.rows.type, to + first * a.step, values, n);
        else
            scatter_run(a.rows.type, values, to + first * a.step, a.step, n);
    }
    FUSEDLOSS_SHARED void backward_detailed(std::int64_t at, C* t, const double* chunk_k) {
        source = row_address(job, job.in[0], at);
        int n;
        for (std::int64_t first = 0, i = 0; first < job.classes; first += n, ++i) {
            n = chunk_at<C>(first, job.classes);
            const bool scores = plan.target_gradient || plan.capped;
            const C* const z = scores ? chunk(first, n, true).z : nullptr;
            if (plan.soft) fetch_soft(at, first, n);
            const double t_scale = measure_anew(t + first, n, chunk_k[i] - final_k[row]) / lift_power<C>;
            const stretch<C> e{first,
                               n,
                               1,
                               row,
                               z,
                               buffers->z_low,
                               buffers->raw,
                               buffers->soft,
                               t + first,
                               t_scale,
                               buffers->grad,
                               buffers->target_grad,
                               buffers->hess};
            detailed_pass<C, false>(job, plan, facts, s, k, e);
            const auto emit = [&](const class_array& a, const double* values) {
                if (values) write(a, row_address(job, a, at), first, n, values);
            };
            emit(job.grad[0], e.grad);
            emit(job.grad[1], e.target_grad);
            emit(job.hess, e.hess);
        }
    }

    const rows_job& job;
    const phi_kernel phi;
    const softmax_plan plan;
    value_sink sink;
    row_facts facts;
    softmax_panel s{};
    row_coefficients k;
    // of rows one after another
    const stretch_buffers<C>* buffers = nullptr;
    const char* source = nullptr;
    int row = 0;
    bool limits = false;  // scores are read as the limit of a row that has infinite ones
    double final_k[panel_rows];
};

template <class C>
inline sum process_softmax(const rows_job& job, phi_kernel phi, std::int64_t begin, std::int64_t end,
                           void* workspace) {
    softmax_driver<C> driver(job, phi);
    return in_columns(job) ? driver.run_columns(begin, end, workspace)
                           : driver.run_rows(begin, end, workspace);
}
// Enough for either type.
inline std::size_t softmax_workspace(const rows_job& job) {
    workspace_cutter cutter(nullptr);
    if (in_columns(job))
        softmax_driver<double>::cut_columns(cutter, job);
    else
        softmax_driver<double>::cut_rows(cutter, job);
    const std::size_t doubles = cutter.bytes();
    if (!in_columns(job)) softmax_driver<float>::cut_rows(cutter, job);
    const std::size_t floats = cutter.bytes() - doubles;
    return doubles > floats ? doubles : floats;
}

FUSEDLOSS_END
