// Losses of the second moments of a batch: products of all columns, a formula over them, and products back.
// families/moments.hpp has what happens between. Compiled for the baseline.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "fusedloss/core/reduction.hpp"
#include "fusedloss/runtime.hpp"
#include "matrices.hpp"
#include "tables.hpp"

namespace fusedloss {
namespace runtime {
namespace {

using numbers = std::vector<double>;

double total_of(const numbers& x) {
    sum s{0.0, 0.0};
    for (double v : x) add_to(s, v);
    return rounded(s);
}
double squares_of(const numbers& x) {
    sum s{0.0, 0.0};
    for (double v : x) add_to(s, v * v);
    return rounded(s);
}

template <class C>
class moments_run {
  public:
    moments_run(const moments_job& j, const similarity_kernels<C>& products, const moment_kernels<C>& kernels,
                int threads)
        : job(j),
          similarity(products),
          run(kernels),
          n(j.rows),
          width(j.columns),
          freedom(n > 1 ? double(n) - 1.0 : nan),
          threads_(double(n) * double(width) * double(width) < serial_terms ? 1 : threads) {
        for (int v = 0; v < job.views; ++v) fetch(views[v], job.in[v]);
    }

    double value() {
        switch (job.loss) {
            case moment_loss::variance_covariance: return variance_covariance();
            case moment_loss::cross_correlation: return cross_correlation();
            case moment_loss::orthogonality: return orthogonality();
            default: return mean_activation();
        }
    }

  private:
    static constexpr double nan = std::numeric_limits<double>::quiet_NaN();

    struct view {
        buffer<C> vectors;
        numbers norms, mean, spread;

        C* row(std::int64_t i, std::int64_t columns) const { return vectors.get() + i * columns; }
    };
    // What a gradient is made of, by column.
    struct parts {
        numbers product, own, other, constant;

        explicit parts(std::int64_t columns)
            : product(std::size_t(columns), 0.0), own(product), other(product), constant(product) {}
    };

    void fetch(view& v, const class_array& a) {
        const bool normalize = job.loss == moment_loss::orthogonality;
        v.vectors = buffer<C>(n * width);
        v.norms.resize(std::size_t(normalize ? n : 0));
        for_shares(n, threads_, [&](int, std::int64_t begin, std::int64_t end) {
            similarity.fetch(a, 1, begin, end, width, normalize, v.vectors.get(),
                             normalize ? v.norms.data() : nullptr);
        });
    }

    // One number for each column: add(range, numbers).
    template <class Add>
    numbers by_column(std::int64_t rows, const Add& add) {
        numbers result(std::size_t(width), 0.0);
        for_shares(width, threads_, [&](int, std::int64_t begin, std::int64_t end) {
            add(column_range{rows, width, begin, end}, result.data());
        });
        return result;
    }
    // One number for each row: f(row).
    template <class F>
    numbers by_row(std::int64_t rows, const F& f) {
        numbers result(std::size_t(rows), 0.0);
        for_shares(rows, threads_, [&](int, std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i) result[std::size_t(i)] = f(i);
        });
        return result;
    }

    // Means, and the variances of columns of more than one row.
    void find_mean(view& v) {
        v.mean =
            by_column(n, [&](const column_range& r, double* to) { run.add_columns(v.vectors.get(), r, to); });
        for (double& m : v.mean) m /= double(n);
    }
    void find_variance(view& v) {
        find_mean(v);
        v.spread = by_column(n, [&](const column_range& r, double* to) {
            run.add_squares(v.vectors.get(), r, v.mean.data(), to);
        });
        for (double& s : v.spread) s /= freedom;
    }
    void standardise(view& v, const numbers& factor) {
        for_shares(width, threads_, [&](int, std::int64_t begin, std::int64_t end) {
            run.standardise(v.vectors.get(), {n, width, begin, end}, v.mean.data(), factor.data());
        });
    }

    // All products of `side` vectors with each other: one half by blocks of rows, the other mirrored. Vector
    // i has its k-th number at i * by_vector + k * by_number.
    void multiply_all(const C* x, std::int64_t side, std::int64_t length, std::ptrdiff_t by_vector,
                      std::ptrdiff_t by_number, double alpha) {
        constexpr std::int64_t block = 252, tile = 8;  // whole tiles of products; rows fit a set of the cache
        products = buffer<C>(side * side);
        C* const p = products.get();
        for (std::int64_t i = 0; i < side; i += block)
            multiply<C>({side - i < block ? side - i : block, side - i, length, C(alpha), x + i * by_vector,
                         by_vector, by_number, x + i * by_vector, by_number, by_vector, false,
                         p + i * side + i, side},
                        threads_);
        for_shares((side + tile - 1) / tile, threads_, [&](int, std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin * tile; i < end * tile && i < side; i += tile)
                for (std::int64_t j = 0; j <= i; j += tile)
                    for (std::int64_t r = i; r < i + tile && r < side; ++r)
                        for (std::int64_t c = j; c < j + tile && c < r; ++c)
                            p[r * side + c] = p[c * side + r];
        });
    }
    void clear_diagonal(std::int64_t side) {
        for (std::int64_t i = 0; i < side; ++i) products.get()[i * side + i] = C(0);
    }
    // The sums of the squares of the rows of the products.
    numbers row_squares(std::int64_t side) {
        return by_row(side, [&](std::int64_t i) {
            const C* const row = products.get() + i * side;
            return similarity.dot(row, row, side);
        });
    }

    C* gradient(int v) const { return static_cast<C*>(job.grad[v]); }

    // The gradient in view v, which holds products already.
    void combine(int v, const view& other, const parts& f) {
        C* const grad = gradient(v);
        for_shares(n, threads_, [&](int, std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i)
                run.combine(grad + i * width, views[v].row(i, width), other.row(i, width),
                            {f.product.data(), f.own.data(), f.other.data(), f.constant.data()}, width);
        });
    }
    void clear(int v) { std::memset(job.grad[v], 0, std::size_t(n * width) * sizeof(C)); }

    double variance_covariance() {
        const double cells = double(n) * double(width), pull = 2.0 * job.agreement / cells * job.factor;
        double value = job.agreement / cells * total_of(by_row(n, [&](std::int64_t i) {
                           return run.squared_distance(views[0].row(i, width), views[1].row(i, width), width);
                       }));
        double unit[2];
        for (int v = 0; v < 2; ++v) {
            find_variance(views[v]);
            // The products of numbers of all sizes stay in the range: they are taken in units of a power of
            // two.
            double largest = 0.0;
            for (double s : views[v].spread) largest = s > largest ? s : largest;
            unit[v] =
                largest > 0.0 && largest < INFINITY ? std::exp2(std::rint(std::log2(largest) / 2.0)) : 1.0;
            standardise(views[v], numbers(std::size_t(width), 1.0 / unit[v]));
        }
        for (int v = 0; v < 2; ++v) {
            view &own = views[v], &other = views[1 - v];
            const double u = unit[v], weight = job.common / double(width);
            parts f(width);
            numbers lacks(std::size_t(width), 0.0);
            for (std::size_t d = 0; d < lacks.size(); ++d) {
                const double spread = std::sqrt(own.spread[d] + job.eps);
                lacks[d] = spread >= 1.0 ? 0.0 : 1.0 - spread;
                const double slope = spread < 1.0 ? -job.spread / (double(width) * freedom * spread) : 0.0;
                f.product[d] = 4.0 * weight / freedom * job.factor * u * u * u;
                f.own[d] = (slope * job.factor + pull) * u;
                f.other[d] = -pull * unit[1 - v];
                f.constant[d] = pull * (own.mean[d] - other.mean[d]);
            }
            multiply_all(own.vectors.get(), width, n, 1, width, 1.0 / freedom);
            clear_diagonal(width);
            value += job.spread / double(width) * total_of(lacks) +
                     weight * (u * u) * (u * u) * total_of(row_squares(width));
            if (!gradient(v)) continue;
            multiply<C>({n, width, width, C(1), own.vectors.get(), width, 1, products.get(), width, 1, false,
                         gradient(v), width},
                        threads_);
            combine(v, other, f);
        }
        return value;
    }

    double cross_correlation() {
        numbers scale[2];
        for (int v = 0; v < 2; ++v) {
            find_variance(views[v]);
            for (double& s : views[v].spread) {
                s = std::sqrt(s);
                scale[v].push_back(1.0 / (s + job.eps));
            }
            standardise(views[v], scale[v]);
        }
        const C *const x = views[0].vectors.get(), *const y = views[1].vectors.get();
        const double each = 1.0 / double(n);
        products = buffer<C>(width * width);
        multiply<C>({width, width, n, C(each), x, 1, width, y, width, 1, false, products.get(), width},
                    threads_);
        clear_diagonal(width);
        numbers same =
            by_column(n, [&](const column_range& r, double* to) { run.add_products(x, y, r, to); });
        numbers lacks;
        for (double& s : same) {
            s *= each;
            lacks.push_back(1.0 - s);
        }
        const numbers zero(std::size_t(width), 0.0);
        const numbers squares[2] = {
            row_squares(width),
            gradient(1)
                ? by_column(width, [&](const column_range& r,
                                       double* to) { run.add_squares(products.get(), r, zero.data(), to); })
                : numbers()};
        for (int v = 0; v < 2; ++v) {
            if (!gradient(v)) continue;
            const view &own = views[v], &other = views[1 - v];
            // Columns of the other view have no mean, so that gradients have none before the standardisation,
            // and what they have along their own column is the sum of the correlations times the derivatives
            // in them.
            parts f(width);
            for (std::size_t d = 0; d < lacks.size(); ++d) {
                const double along = 2.0 * (job.common * squares[v][d] - lacks[d] * same[d]);
                const double outer = job.factor * scale[v][d];
                f.product[d] = 2.0 * job.common * each * outer;
                f.other[d] = -2.0 * lacks[d] * each * outer;
                f.own[d] = own.spread[d] == 0.0 ? 0.0 : -along / (own.spread[d] * freedom) * job.factor;
            }
            const std::ptrdiff_t down = v == 0 ? 1 : width, across = v == 0 ? width : 1;
            multiply<C>({n, width, width, C(1), other.vectors.get(), width, 1, products.get(), down, across,
                         false, gradient(v), width},
                        threads_);
            combine(v, other, f);
        }
        return squares_of(lacks) + job.common * total_of(squares[0]);
    }

    double orthogonality() {
        view& own = views[0];
        const C* const x = own.vectors.get();
        const double pairs = double(n) * (double(n) - 1.0), none = n > 1 ? 0.0 : nan;
        const numbers square = by_row(
            n, [&](std::int64_t i) { return similarity.dot(own.row(i, width), own.row(i, width), width); });
        find_mean(own);
        const double all = double(n) * double(n) * squares_of(own.mean);
        const double mean = (all - total_of(square)) / pairs + none;
        // The same sum of squares over the pairs of rows or over those of columns, whichever are fewer. Of
        // columns, what all share on the diagonal pulls vectors along themselves: to no effect.
        const bool of_rows = n < width;
        const std::int64_t side = of_rows ? n : width;
        multiply_all(x, side, of_rows ? width : n, of_rows ? width : 1, of_rows ? 1 : width, 1.0);
        clear_diagonal(side);
        double squares = total_of(row_squares(side));
        if (!of_rows) {
            const numbers zero(std::size_t(width), 0.0),
                diagonal = by_column(
                    n, [&](const column_range& r, double* to) { run.add_squares(x, r, zero.data(), to); });
            squares += squares_of(diagonal) - squares_of(square);
            for (std::int64_t d = 0; d < width; ++d)
                products.get()[d * width + d] = C(diagonal[std::size_t(d)] - double(n) / double(width));
        }
        const double second = squares / pairs + none;
        const double excess = second - 1.0 / double(width);
        if (gradient(0)) {
            const double factor = 4.0 * job.common * job.factor / pairs;
            parts f(width);
            for (std::size_t d = 0; d < f.own.size(); ++d) {
                f.product[d] = factor;
                f.constant[d] = factor * mean * double(n) * own.mean[d];
            }
            if (!(excess > 0.0))
                clear(0);
            else if (of_rows)
                multiply<C>({n, width, n, C(1), products.get(), n, 1, x, width, 1, false, gradient(0), width},
                            threads_);
            else
                multiply<C>(
                    {n, width, width, C(1), x, width, 1, products.get(), width, 1, false, gradient(0), width},
                    threads_);
            combine(0, own, f);
            turn(own);
        }
        return job.common * (mean * mean + (excess <= 0.0 ? 0.0 : excess));
    }
    // The gradients in the directions of vectors as those in the vectors.
    void turn(const view& own) {
        const strided rows{gradient(0), dtype_of<C>, {width * std::int64_t(sizeof(C))}};
        for_shares(n, threads_, [&](int, std::int64_t begin, std::int64_t end) {
            similarity.return_gradients({rows, sizeof(C)}, 1, begin, end, width, own.vectors.get(),
                                        own.norms.data(), nullptr, 1.0, gradient(0));
        });
    }

    double mean_activation() {
        find_mean(views[0]);
        if (gradient(0)) {
            parts f(width);
            for (std::size_t d = 0; d < f.own.size(); ++d)
                f.constant[d] = 2.0 * views[0].mean[d] / double(n) * job.factor;
            clear(0);
            combine(0, views[0], f);
        }
        return squares_of(views[0].mean);
    }

    const moments_job& job;
    const similarity_kernels<C>& similarity;
    const moment_kernels<C>& run;
    const std::int64_t n, width;
    const double freedom;
    const int threads_;
    view views[2];
    buffer<C> products;
};

}  // namespace

double run_moments(const moments_job& job, int threads) {
    if (job.rows == 0 || job.columns == 0) return std::numeric_limits<double>::quiet_NaN();
    const similarity_table& t = *active().similarity;
    if (job.single) return moments_run<float>(job, t.in_float, t.moments_in_float, threads).value();
    return moments_run<double>(job, t.in_double, t.moments_in_double, threads).value();
}

}  // namespace runtime
}  // namespace fusedloss
