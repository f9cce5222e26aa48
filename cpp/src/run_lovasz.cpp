// Losses of sorted errors: the Lovasz extension of the Jaccard loss. Compiled for the baseline.
#include <memory>

#include "fusedloss/core/radix_sort.hpp"
#include "overlap_parts.hpp"

namespace fusedloss {
namespace runtime {
namespace {

struct sorted_class {
    sum value{0.0, 0.0};
    bool present = false, ignoring = false;
};

// The Lovasz extension of the Jaccard loss of one class: errors in order of their size, times what each adds
// to the Jaccard loss of the set of all before it. That, with the sign of its kind, takes the place of the
// error.
template <class Key, class S>
sorted_class lovasz_of(S* errors, const target_kind* kinds, std::int64_t n, bool hinge, keyed<Key>* items) {
    sorted_class r;
    std::int64_t counted = 0, present = 0;
    bool poisoned = false;
    for (std::int64_t i = 0; i < n; ++i) {
        const S e = errors[i] + S(0);  // no negative zero
        const bool ignored = kinds[i] == target_kind::ignored;
        r.ignoring = r.ignoring || ignored;
        present += kinds[i] == target_kind::present;
        poisoned = poisoned || (!ignored && e != e);
        errors[i] = S(0);
        if (ignored || !(hinge ? e > S(0) : e >= S(0))) continue;
        std::memcpy(&items[counted].key, &e, sizeof e);
        items[counted].key = Key(~items[counted].key);  // the largest first
        items[counted++].index = Key(i);
    }
    r.present = present > 0;
    if (poisoned) {
        r.value.high = __builtin_nan("");
        for (std::int64_t i = 0; i < n; ++i) errors[i] = S(__builtin_nan(""));
        return r;
    }
    const keyed<Key>* const sorted = radix_sort(items, items + n, std::size_t(counted));
    double both = double(present), either = double(present);  // of the sets, counting down and up
    for (std::int64_t k = 0; k < counted; ++k) {
        const Key bits = Key(~sorted[k].key), i = sorted[k].index;
        S e;
        std::memcpy(&e, &bits, sizeof e);
        double step;
        if (kinds[i] == target_kind::present) {
            step = 1.0 / either;
            both -= 1.0;
            errors[i] = S(-step);
        } else {
            step = either == 0.0 ? 1.0 : both / (either * (either + 1.0));
            either += 1.0;
            errors[i] = S(step);
        }
        add_to(r.value, step * double(e));
    }
    return r;
}

// Groups one after the other, with all threads at work on each, or where there are enough of them side by
// side.
template <class Key, class S>
class lovasz_run {
  public:
    lovasz_run(int loss, const overlap_job& j, int threads)
        : job(j),
          table(*active().overlap),
          grouped(overlap_loss_at(loss).traits.grouped),
          only_present(grouped && *static_cast<const double*>(job.params) != 0.0),
          classes(job.rows.classes),
          counted(classes - job.first_class),
          entries(grouped ? 1 : counted),
          positions(job.rows.count / job.groups),
          outer(job.groups >= threads ? threads : 1),
          inner(job.groups >= threads ? 1 : threads),
          weight(weights_of(job)),
          value(std::size_t(job.count)) {
        for (int t = 0; t < outer; ++t) desks.emplace_back(new desk(*this));
    }

    sum run() {
        for_each_share(job.groups, outer, [&](int t, std::int64_t g) { process(g, *desks[std::size_t(t)]); });
        sum total{0.0, 0.0};
        for (std::int64_t i = 0; i < job.count; ++i) {
            const double w = weight[std::size_t(i)], x = w == 0.0 ? 0.0 : w * value[std::size_t(i)];
            if (job.total) add_to(total, x * job.total_scale);
            store_value(job, i, x);
        }
        return settled(total);
    }

  private:
    static constexpr int arithmetic = sizeof(S) == 4 ? 0 : 1;

    // Room for the work on one group.
    struct desk {
        explicit desk(const lovasz_run& r)
            : errors(std::size_t(r.positions * r.classes)),
              kinds(errors.size()),
              items(std::size_t(r.inner), std::vector<keyed<Key>>(std::size_t(2 * r.positions))),
              found(std::size_t(r.classes)),
              slopes(std::size_t(r.classes * overlap_slots)),
              memory(r.table.workspace[arithmetic](r.job), r.inner) {}
        std::vector<S> errors;
        std::vector<target_kind> kinds;
        std::vector<std::vector<keyed<Key>>> items;
        std::vector<sorted_class> found;
        std::vector<double> slopes;
        scratch_by_thread memory;
    };

    void process(std::int64_t g, desk& d) {
        const overlap_job group = group_of(g);
        overlap_job forward = group;
        forward.grad[0].rows.data = nullptr;
        prepare(forward);
        for_each_block(forward, d, [&](void* scratch, std::int64_t begin, std::int64_t end) {
            table.errors[arithmetic](forward, begin, end, scratch, d.errors.data(), d.kinds.data());
        });
        for_each_share(counted, inner, [&](int t, std::int64_t c) {
            const std::size_t j = std::size_t(c + job.first_class), at = j * std::size_t(positions);
            d.found[j] =
                lovasz_of(&d.errors[at], &d.kinds[at], positions, job.hinge, d.items[std::size_t(t)].data());
        });
        evaluate(g, d);
        if (!group.grad[0].rows.data) return;

        // What is left is to give each error its gradient: that of sum(p * target), the target being the
        // slope.
        overlap_job backward = group;
        backward.form = overlap_form::product;
        backward.rows.label.data = nullptr;
        backward.rows.ignores = false;
        backward.mask = over_positions(d.errors.data(), dtype_of<S>, group.rows);
        bool ignoring = false;
        for (const sorted_class& c : d.found) ignoring = ignoring || c.ignoring;
        if (ignoring) {
            for (target_kind& kind : d.kinds) kind = target_kind(kind != target_kind::ignored);
            backward.position_weight = over_positions(d.kinds.data(), dtype::boolean, group.rows);
        }
        prepare(backward);
        for_each_block(backward, d, [&](void* scratch, std::int64_t begin, std::int64_t end) {
            table.differentiate[arithmetic](backward, begin, end, scratch, d.slopes.data());
        });
    }

    // The value of a group, and what multiplies the slopes of its classes.
    void evaluate(std::int64_t g, desk& d) {
        std::int64_t used = 0;
        sum total{0.0, 0.0};
        const auto counts = [&](std::int64_t j) { return !only_present || d.found[std::size_t(j)].present; };
        for (std::int64_t j = job.first_class; j < classes; ++j) used += counts(j);
        for (std::int64_t j = job.first_class; j < classes; ++j) {
            const std::int64_t entry = g * entries + (grouped ? 0 : j - job.first_class);
            const sum own = settled(d.found[std::size_t(j)].value);
            if (!grouped) value[std::size_t(entry)] = rounded(own);
            if (counts(j)) add_to(total, own);
            const double share = grouped && used ? 1.0 / double(used) : 1.0;
            const double scale = counts(j) ? weight[std::size_t(entry)] * job.grad_scale * share : 0.0;
            d.slopes[std::size_t(j * overlap_slots + slot_both)] = scale;
        }
        if (grouped) value[std::size_t(g)] = used ? rounded(total) / double(used) : 0.0;
    }

    template <class F>
    void for_each_block(const overlap_job& own, desk& d, const F& f) const {
        const partition part = positions_of(own);
        for_each_share(part.blocks, inner, [&](int t, std::int64_t b) {
            const std::int64_t end = (b + 1) * part.block;
            f(d.memory.of(t), b * part.block, end < positions ? end : positions);
        });
    }

    // The positions of one group as a job of its own.
    overlap_job group_of(std::int64_t g) const {
        overlap_job own = job;
        own.groups = 1;
        if (!job.batched) return own;
        rows_job& rows = own.rows;
        for (strided* a : {&own.in[0].rows, &own.grad[0].rows, &own.mask.rows, &rows.label}) {
            if (!a->data) continue;
            a->data = static_cast<char*>(a->data) + g * a->stride[0];
            for (int d = 1; d < rows.dims; ++d) a->stride[d - 1] = a->stride[d];
        }
        --rows.dims;
        for (int d = 0; d < rows.dims; ++d) rows.shape[d] = rows.shape[d + 1];
        rows.count = positions;
        return own;
    }
    // Numbers by class and position as an array of a group.
    class_array over_positions(void* data, dtype type, const rows_job& rows) const {
        class_array a;
        a.rows.data = data;
        a.rows.type = type;
        a.step = item_size(type);
        for (int d = rows.dims - 1; d >= 0; --d) {
            a.rows.stride[d] = a.step;
            a.step *= rows.shape[d];
        }
        return a;
    }

    const overlap_job& job;
    const overlap_table& table;
    const bool grouped, only_present;
    const std::int64_t classes, counted, entries, positions;
    const int outer, inner;
    const std::vector<double> weight;
    std::vector<double> value;
    std::vector<std::unique_ptr<desk>> desks;
};

}  // namespace

sum run_lovasz(int loss, const overlap_job& job, int threads) {
    const std::int64_t positions = job.rows.count / job.groups;
    if (job.rows.count * job.rows.classes < serial_below) threads = 1;
    if (job.single && positions <= std::int64_t(UINT32_MAX))
        return lovasz_run<std::uint32_t, float>(loss, job, threads).run();
    return lovasz_run<std::uint64_t, double>(loss, job, threads).run();
}

}  // namespace runtime
}  // namespace fusedloss
