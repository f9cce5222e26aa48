// One entry for the whole family of losses of the scores of pairs of vectors.
#include <limits>
#include <unordered_map>

#include "fusedloss/core/similarity_job.hpp"
#include "request.hpp"

namespace fusedloss_python {
namespace {

namespace rt = fusedloss::runtime;
using fusedloss::rows_job;
using fusedloss::similarity_input;
using fusedloss::similarity_role;

enum divisor { by_rows, by_weights, by_elements, by_tasks, by_anchors, by_pairs, by_terms };
enum labelling { given, diagonal, opposite, first, numbered, by_group };
enum flags : unsigned {
    normalize = 1,
    exclude_self = 2,
    distance = 4,
    two_sided = 8,
    paired = 16,
    raw_rows = 32,
    by_length = 64
};

// As SimilarityKernel of _core_kernels.py gives them, in this order.
struct similarity_options {
    explicit similarity_options(const py::tuple& t)
        : label(t[0]),
          of_columns{t[1], t[2]},
          class_weight(t[3]),
          compared(t[4]),
          compared_weight(t[5]),
          compared_bias(t[6]),
          ignore_index(t[7]),
          divides(py::cast<int>(t[8])),
          names(py::cast<std::string>(t[9])),
          roles(py::cast<std::string>(t[10])),
          labels(py::cast<int>(t[11])),
          flag(py::cast<unsigned>(t[12])),
          scale(py::cast<double>(t[13])),
          margin(t[18]),
          first_loss(py::cast<int>(t[19])) {
        softmax.softcap = py::cast<double>(t[14]);
        softmax.z_loss = py::cast<double>(t[15]);
        softmax.label_smoothing = py::cast<double>(t[16]);
        label_name = py::cast<std::string>(t[17]);
    }
    py::object label, of_columns[2], class_weight, compared, compared_weight, compared_bias, ignore_index;
    int divides;
    std::string names, roles;
    int labels;
    unsigned flag;
    double scale;
    py::object margin;
    int first_loss;
    fusedloss::softmax_options softmax;
    std::string label_name;
};

struct similarity_request : request<rows_job> {
    similarity_request(const rt::row_loss_info& about, py::handle name, const similarity_options& o)
        : request(name, o.names.c_str()), info(about), options(o) {}

    const rt::row_loss_info& info;
    const similarity_options& options;
    fusedloss::similarity_job similarity{};
    py::array_t<std::int64_t> label;
    py::array_t<double, py::array::c_style | py::array::forcecast> of_column[2], class_weight, bias;
    double scale_grad = 0.0;
    py::array_t<double> bias_grad;

    argument label_arg() const { return arg(options.label_name); }

    void refuse(int k, const std::string& expected) const {
        throw py::value_error(input_arg(k).text() + " has shape " + shape_text(array_in(input[k])) +
                              ", expected " + expected);
    }

    static similarity_role role_of(char c) {
        switch (c) {
            case 'r': return similarity_role::row;
            case 'c': return similarity_role::column;
            case 'b': return similarity_role::both;
            case 'o': return similarity_role::own;
            case 'k': return similarity_role::centres;
            case 'g': return similarity_role::groups;
            case 's': return similarity_role::scale;
            case 'n': return similarity_role::number;
            case 'm': return similarity_role::numbers;
            default: return similarity_role::bias;
        }
    }

    // Shapes of the vectors, and of the scores that follow from them.
    void read_shapes() {
        std::int64_t rows = 0, columns = 0, own = 0;
        const py::array leading = array_in(input[0]);
        const bool grouped = options.roles[0] == 'g';
        if (leading.ndim() != (grouped ? 3 : 2)) refuse(0, grouped ? "[N, M, D]" : "[N, D]");
        if (grouped && leading.shape(1) < 2) refuse(0, "[N, M, D] with M of at least 2");
        similarity.dimensions = leading.shape(leading.ndim() - 1);
        similarity.inputs = inputs;
        for (int k = 0; k < inputs; ++k) {
            similarity_input& in = similarity.input[k];
            in.role = role_of(options.roles[std::size_t(k)]);
            const py::array a = array_in(input[k]);
            const std::string width = std::to_string(similarity.dimensions) + "]";
            if (!fusedloss::has_vectors(in.role)) continue;
            const bool of_class = in.role == similarity_role::centres;
            const bool in_groups = in.role == similarity_role::groups;
            const bool several = (in.role == similarity_role::own || of_class || in_groups) && a.ndim() == 3;
            if (of_class ? !several : a.ndim() != 2 && !several)
                refuse(k, (of_class ? "[classes, centres, " : "[n, ") + width);
            if (a.shape(a.ndim() - 1) != similarity.dimensions) refuse(k, "[n, " + width);
            in.each = several ? std::int64_t(a.shape(of_class ? 0 : 1)) : 1;
            in.vectors = several ? std::int64_t(a.shape(0) * a.shape(1)) : std::int64_t(a.shape(0));
            if (in.role == similarity_role::own) {
                own += in.each;
            } else {
                const bool columns_alone = of_class || in.role == similarity_role::column;
                if (!columns_alone) rows += in.vectors;
                if (in.role != similarity_role::row) columns += in_groups ? in.vectors / in.each : in.vectors;
            }
        }
        for (int k = 0; k < inputs; ++k)
            if (similarity.input[k].role == similarity_role::own &&
                std::int64_t(array_in(input[k]).shape(0)) != rows)
                refuse(k, std::to_string(rows) + " rows as `" + std::string(input_arg(0).name) + "`");
        if (options.labels == diagonal && columns < rows)
            throw py::value_error(input_arg(1).text() + " has " + std::to_string(columns) +
                                  " vectors, expected one for each of the " + std::to_string(rows) + " of " +
                                  std::string(input_arg(0).name));
        if (options.labels == opposite && rows % 2) refuse(0, "as many vectors as the other view");
        if (rows > 0 && own + columns == 0)
            throw py::value_error(arg(input_arg(inputs > 1 ? 1 : 0).name).text() +
                                  " has no vectors to compare with");
        shared = columns;
        full_dims = 2;
        full_shape[0] = shape[0] = count = rows;
        full_shape[1] = own + columns;
        axis = dims = 1;
        numbers = rows * (own + columns);
    }

    static void lay(const argument& who, const py::array& a, dtype t, class_array& to) {
        std::int64_t own[3] = {1, 1, 1};
        const int n = int(a.ndim());
        for (int d = 0; d < n; ++d) own[d] = a.shape(d);
        view(who, a, t, n, own, to.rows);
        to.step = to.rows.stride[n - 1];
        if (n == 2) to.rows.stride[1] = 0;
    }

    // Centres are laid out one of each class after another.
    static void lay_vectors(const argument& who, const py::array& a, dtype t, similarity_role role,
                            class_array& to) {
        lay(who, a, t, to);
        if (role == similarity_role::centres) std::swap(to.rows.stride[0], to.rows.stride[1]);
    }

    void read_vectors() {
        similarity.scale = options.scale;
        for (int k = 0; k < inputs; ++k) {
            similarity_input& in = similarity.input[k];
            const py::array a = array_in(input[k]);
            if (in.role == similarity_role::scale) {
                if (a.size() != 1) refuse(k, "a single number");
                similarity.scale *= py::cast<double>(a.attr("item")());
            } else if (in.role == similarity_role::bias) {
                if (a.size() != 1 && !(a.ndim() == 1 && a.size() == shared))
                    refuse(k,
                           "a single number or one for each of the " + std::to_string(shared) + " columns");
                bias = a;
                similarity.bias = bias.data();
                similarity.bias_step = a.ndim() == 1 && a.size() == shared;
            } else if (in.role == similarity_role::number) {
                if (a.size() != 1 && a.ndim() != 1) refuse(k, "a single number or one for each class");
                number = a;
                has_number = true;
            } else if (in.role == similarity_role::numbers) {
                if (!has_shape(a, 1, shape)) refuse(k, "one number for each of the rows");
                learned = a;
                job.learned = learned.data();
            } else {
                lay_vectors(input_arg(k), a, type[k], in.role, in.data);
            }
            in.grad.rows.data = nullptr;
        }
        similarity.normalize = options.flag & normalize;
        similarity.raw_rows = options.flag & raw_rows;
        similarity.by_length = options.flag & by_length;
        similarity.exclude_self = options.flag & exclude_self;
        similarity.distance = options.flag & distance;
        similarity.two_sided = options.flag & two_sided;
        similarity.paired = options.flag & paired;
        similarity.has_margin = !options.margin.is_none();
        if (similarity.has_margin) {
            const py::tuple m = options.margin;
            similarity.margin = {py::cast<double>(m[0]), py::cast<double>(m[1]), py::cast<double>(m[2]),
                                 fusedloss::margin_beyond(py::cast<int>(m[3]))};
        }
        similarity.first_loss = options.first_loss;
        similarity.terms = nullptr;
    }

    // The number that each row has learned: one for all, or that of its class.
    void read_numbers() {
        if (!has_number) return;
        const std::int64_t many = number.size();
        learned = py::array_t<double>(count);
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t y = many == 1 ? 0 : label.data()[i];
            if (y >= many) refuse_label(label_arg(), as_array(options.label), i, many, py::none());
            learned.mutable_data()[i] = number.data()[y];
        }
        job.learned = learned.data();
    }

    void refuse_floats(const argument& who, const py::array& a) const {
        throw py::type_error(who.text() + " has dtype " + py::cast<std::string>(py::str(a.dtype())) +
                             "; expected class indices of an integer dtype");
    }

    // Class indices as 64-bit integers; those beyond them become the largest, which is no class.
    static py::array_t<std::int64_t> indices(const py::array& a) {
        const auto largest = std::numeric_limits<std::int64_t>::max();
        const bool beyond = a.dtype().kind() == 'u' && a.dtype().itemsize() == sizeof(largest);
        const py::object within =
            beyond ? py::module_::import("numpy").attr("minimum")(a, largest) : py::object(a);
        return py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>(within);
    }

    // Columns that are labelled with numbers of rows.
    void check_numbers(const argument& who, const py::array& a) const {
        if (is_float(dtype_of(who, a))) refuse_floats(who, a);
        const py::array_t<std::int64_t> index = indices(a);
        for (std::int64_t i = 0; i < index.size(); ++i)
            if (index.data()[i] < 0 || index.data()[i] >= count) refuse_label(who, a, i, count, py::none());
    }

    // One number for each column, as a further input of the loss of the rows.
    void read_columns() {
        for (int k = 0; k < 2; ++k) {
            if (options.of_columns[k].is_none()) continue;
            const argument who = label_arg();
            const py::array a = as_array(options.of_columns[k]);
            dtype_of(who, a);
            if (!has_shape(a, 1, &full_shape[1]))
                throw py::value_error(who.text() + " has shape " + shape_text(a) +
                                      ", expected one number per vector: " + shape_text(1, &full_shape[1]));
            if (options.labels == numbered) check_numbers(who, a);
            of_column[k] = a;
            class_array& to = job.in[job.inputs++];
            to.rows = {const_cast<double*>(of_column[k].data()), dtype::float64, {0}};
            to.step = sizeof(double);
        }
    }

    // Scores that those of the pairs are compared with: as they are, or as another layer makes them.
    void read_compared() {
        similarity.compared.rows.rows.data = nullptr;
        const argument who = arg("target");
        if (options.compared.is_none()) {
            // Two passes over the pairs put what they know of the columns beside them.
            const int own = (options.flag & two_sided ? 2 : 0) + (options.first_loss >= 0);
            if (job.inputs + own < info.traits.inputs) refuse_none(who);
            return;
        }
        const py::array a = as_array(options.compared);
        dtype_of(who, a);
        const bool by_layer = !options.compared_weight.is_none();
        if (!by_layer && !options.compared_bias.is_none())
            throw py::value_error(arg("target_bias").text() + " has no target_weight beside it");
        if (a.ndim() != 2 || a.shape(0) != count || (!by_layer && a.shape(1) != full_shape[1]))
            throw py::value_error(who.text() + " has shape " + shape_text(a) + ", expected [" +
                                  std::to_string(count) + ", " +
                                  (by_layer ? "n]" : std::to_string(full_shape[1]) + "]"));
        if (!by_layer) {
            dense = a;
            place_dense();
            return;
        }
        const py::array w = as_array(options.compared_weight);
        dtype_of(arg("target_weight"), w);
        const std::int64_t of_layer[] = {full_shape[1], std::int64_t(a.shape(1))};
        if (!has_shape(w, 2, of_layer))
            throw py::value_error(arg("target_weight").text() + " has shape " + shape_text(w) +
                                  ", expected " + shape_text(2, of_layer));
        compared[0] = a;
        compared[1] = w;
        similarity.compared.dimensions = of_layer[1];
        place_compared();
        similarity.compared.bias = nullptr;
        if (options.compared_bias.is_none()) return;
        const py::array b = as_array(options.compared_bias);
        dtype_of(arg("target_bias"), b);
        similarity.compared.bias_step = b.ndim() == 1 && b.size() == full_shape[1];
        if (b.size() != 1 && !similarity.compared.bias_step)
            throw py::value_error(arg("target_bias").text() + " has shape " + shape_text(b) +
                                  ", expected a single number or one for each of the " +
                                  std::to_string(full_shape[1]) + " columns");
        compared_bias = b;
        similarity.compared.bias = compared_bias.data();
    }
    void place_compared() {
        const auto lay_out = [&](const char* name, const py::object& o, class_array& to) {
            lay(arg(name), array_in(o), dtype_of(arg(name), array_in(o)), to);
        };
        lay_out("target", compared[0], similarity.compared.rows);
        lay_out("target_weight", compared[1], similarity.compared.columns);
    }

    // The label of each row: as 64-bit integers, or probabilities of the columns.
    void read_labels() {
        job.label.data = nullptr;
        if (options.labels != given) {
            label = py::array_t<std::int64_t>(count);
            std::int64_t* const to = label.mutable_data();
            for (std::int64_t i = 0; i < count; ++i)
                to[i] = options.labels == first      ? 0
                        : options.labels == opposite ? (i + count / 2) % count
                        : options.labels == by_group ? i / similarity.input[0].each
                                                     : i;
            place_label();
            return;
        }
        const argument who = label_arg();
        if (options.label.is_none()) {
            if (info.traits.label) refuse_none(who);
            return;
        }
        const py::array a = as_array(options.label);
        const dtype t = dtype_of(who, a);
        if (is_float(t)) {
            if (!info.traits.dense) refuse_floats(who, a);
            if (!has_shape(a, 2, full_shape))
                throw py::value_error(who.text() + " has shape " + shape_text(a) +
                                      ", expected class probabilities of shape " + shape_text(2, full_shape));
            dense = a;
            place_dense();
            return;
        }
        if (!has_shape(a, 1, shape))
            throw py::value_error(who.text() + " has shape " + shape_text(a) +
                                  ", expected class indices of shape " + shape_text(1, shape));
        label = indices(a);
        place_label();
    }
    void place_dense() {
        const py::array a = array_in(dense);
        lay(label_arg(), a, dtype_of(label_arg(), a), job.in[1]);
        job.inputs = 2;
    }
    void place_label() {
        job.label = {const_cast<std::int64_t*>(label.data()), dtype::int64, {sizeof(std::int64_t)}};
    }

    void check_labels(int threads) {
        // Labels that are compared with those of the columns may be any.
        const std::int64_t valid = options.of_columns[0].is_none() ? full_shape[1] : std::int64_t(1) << 53;
        job.ignores = job.label.data && !options.ignore_index.is_none();
        job.ignore_index = job.ignores ? py::cast<std::int64_t>(options.ignore_index) : 0;
        const double* const weight_of_class = job.class_weight;
        if (options.divides != by_weights || !job.label.data) job.class_weight = nullptr;
        const fusedloss::label_report report = rt::check_labels(job, valid, threads);
        job.class_weight = weight_of_class;
        if (report.first_bad_weight >= 0) refuse_weight(report.first_bad_weight);
        if (report.first_bad >= 0)
            refuse_label(label_arg(), as_array(options.label), report.first_bad, valid, options.ignore_index);
        weights = report.weight;
    }

    // Rows that have positives, or all of their positives.
    void count_positives(const py::object& sample_weight) {
        std::unordered_map<double, std::int64_t> members;
        for (std::int64_t j = 0; j < full_shape[1]; ++j) ++members[of_column[0].data()[j]];
        py::array_t<double, py::array::c_style | py::array::forcecast> given_weight;
        if (!sample_weight.is_none()) given_weight = array_in(weight[0]);
        weights = {0.0, 0.0};
        for (std::int64_t i = 0; i < count; ++i) {
            const auto found = members.find(double(label.data()[i]));
            const std::int64_t positives =
                (found == members.end() ? 0 : found->second) - similarity.exclude_self;
            if (positives <= 0) continue;
            const double times = options.divides == by_pairs ? double(positives) : 1.0;
            const double w =
                sample_weight.is_none() ? 1.0 : given_weight.data()[given_weight.size() == 1 ? 0 : i];
            fusedloss::add_to(weights, times * w);
        }
    }

    void make_outputs(const demands& d) {
        job.total = (d.want & want_value) && d.reduce != none;
        job.value.data = job.hess.rows.data = job.log_sum_exp.data = job.argmax.data = nullptr;
        for (class_array& g : job.grad) g.rows.data = nullptr;
        outputs results(*this, d.out);
        if ((d.want & want_value) && d.reduce == none) {
            const dtype t = d.want & float64_values ? dtype::float64 : value_type();
            value = d.want & value_to_out ? results.next(t, dims, shape)
                                          : py::object(allocate(t, dims, shape, like_bfloat16()));
            place(arg("value"), array_in(value), t, job.value);
        }
        std::vector<py::array> written;
        if (d.want & value_to_out) written.push_back(array_in(value));
        for (int k = 0; k < inputs; ++k) {
            if (!(d.want & want_grad) || !(d.wrt >> k & 1)) continue;
            const py::array x = array_in(input[k]);
            std::int64_t own[max_dims];
            for (int i = 0; i < int(x.ndim()); ++i) own[i] = x.shape(i);
            grad[k] = results.next(grad_type(k), int(x.ndim()), own);
            written.push_back(array_in(grad[k]));
        }
        if (results.complete(written))
            for (const py::array& a : written) separate(a);
        for (int k = 0; k < inputs; ++k) {
            if (!grad[k]) continue;
            similarity_input& in = similarity.input[k];
            job.grad[0].rows.data = this;
            if (in.role == similarity_role::number || in.role == similarity_role::numbers) {
                learned_grad = py::array_t<double>(count);
                job.learned_grad = learned_grad.mutable_data();
            } else if (in.role == similarity_role::scale) {
                similarity.scale_grad = &scale_grad;
            } else if (in.role == similarity_role::bias) {
                bias_grad = py::array_t<double>(array_in(input[k]).size());
                bias_grad[py::ellipsis()] = 0.0;
                similarity.bias_grad = bias_grad.mutable_data();
            } else {
                lay_vectors(arg("out"), array_in(grad[k]), grad_type(k), in.role, in.grad);
            }
        }
    }

    // What is written while it is still read is read from a copy.
    void separate(const py::array& out) {
        for (int k = 0; k < inputs; ++k) {
            if (!overlap(array_in(input[k]), out)) continue;
            input[k] = array_in(input[k]).attr("copy")();
            if (similarity.input[k].data.rows.data)
                lay_vectors(input_arg(k), array_in(input[k]), type[k], similarity.input[k].role,
                            similarity.input[k].data);
        }
        for (int k = 0; k < job.weights; ++k)
            if (overlap(array_in(weight[k]), out)) {
                weight[k] = array_in(weight[k]).attr("copy")();
                place(arg("weight"), array_in(weight[k]), job.weight[k].type, job.weight[k]);
            }
        if (dense && overlap(array_in(dense), out)) {
            dense = array_in(dense).attr("copy")();
            place_dense();
        }
        for (py::object& o : compared)
            if (o && overlap(array_in(o), out)) {
                o = array_in(o).attr("copy")();
                place_compared();
            }
    }

    py::array_t<double> gathered_numbers() const {
        const std::int64_t many = number.size();
        std::vector<fusedloss::sum> totals(std::size_t(many), fusedloss::sum{0.0, 0.0});
        for (std::int64_t i = 0; i < count; ++i)
            fusedloss::add_to(totals[std::size_t(many == 1 ? 0 : label.data()[i])], learned_grad.data()[i]);
        py::array_t<double> gathered(many);
        for (std::int64_t k = 0; k < many; ++k)
            gathered.mutable_data()[k] = fusedloss::rounded(totals[std::size_t(k)]);
        return gathered;
    }

    // Losses that sum terms of which the data decides how many there are.
    void divide_by_terms(const demands& d) {
        weights = terms;
        const double many = fusedloss::rounded(terms);
        if (d.reduce == mean) divisor = many > 0.0 ? many : count ? 1.0 : 0.0;
    }

    void return_numbers() {
        for (int k = 0; k < inputs; ++k) {
            if (!grad[k]) continue;
            py::array to = array_in(grad[k]);
            if (similarity.input[k].role == similarity_role::scale)
                to[py::ellipsis()] = py::float_(options.scale * scale_grad);
            else if (similarity.input[k].role == similarity_role::bias)
                to[py::ellipsis()] = bias_grad.attr("reshape")(to.attr("shape"));
            else if (similarity.input[k].role == similarity_role::number)
                to[py::ellipsis()] = gathered_numbers().attr("reshape")(to.attr("shape"));
            else if (similarity.input[k].role == similarity_role::numbers)
                to[py::ellipsis()] = learned_grad;
            else if (count == 0)
                to[py::ellipsis()] = py::float_(0.0);
        }
    }

    std::int64_t shared = 0;  // columns
    py::object dense, compared[2];
    py::array_t<double, py::array::c_style | py::array::forcecast> number, learned, compared_bias;
    py::array_t<double> learned_grad;
    bool has_number = false;
    fusedloss::sum terms{0.0, 0.0};
};

py::tuple similarity(int loss, py::str name, py::tuple inputs, py::tuple params, py::tuple given_options,
                     py::object sample_weight, py::object cotangent, int reduce, unsigned want, unsigned wrt,
                     py::object out, int threads) {
    if (loss < 0 || loss >= rt::row_loss_count()) throw py::value_error("no such loss");
    demands d{sample_weight, cotangent, reduce, want, wrt, out, threads};
    const similarity_options o(given_options);
    similarity_request r(rt::row_loss_at(loss), name, o);
    for (const py::handle x : inputs) r.add_input(x);
    r.read_shapes();
    if (threads <= 0) d.threads = rt::default_threads();
    double values[32];
    for (std::size_t k = 0; k < params.size(); ++k) values[k] = py::cast<double>(params[k]);
    rows_job& job = r.job;
    job = {};
    job.params = values;
    job.inputs = 1;
    job.dims = 1;
    job.count = job.shape[0] = r.count;
    job.classes = r.full_shape[1];
    job.single = job.in_floats = r.single();
    job.weights = 0;
    job.total_scale = 1.0;
    job.softmax = o.softmax;
    job.mode = fusedloss::hessian_mode::exact;
    job.class_weight = job.class_offset = job.class_margin = nullptr;
    r.read_vectors();
    r.read_columns();
    r.read_labels();
    r.read_compared();
    if (!o.class_weight.is_none()) {
        const argument who = r.arg("weight");
        const py::array a = as_array(o.class_weight);
        dtype_of(who, a);
        if (!has_shape(a, 1, &job.classes))
            throw py::value_error(who.text() + " has shape " + shape_text(a) +
                                  ", expected one number per class: " + shape_text(1, &job.classes));
        r.class_weight = a;
        job.class_weight = r.class_weight.data();
    }
    if (!sample_weight.is_none()) r.add_weight(r.arg("sample_weight"), as_array(sample_weight));
    r.check_labels(d.threads);
    if (o.divides == by_anchors || o.divides == by_pairs) r.count_positives(sample_weight);
    r.read_numbers();
    if (o.divides == by_terms) {
        r.weights = {r.count ? 1.0 : 0.0, 0.0};
        r.similarity.terms = &r.terms;
        r.similarity.mean_of_terms = reduce == mean;
    }
    r.set_scales(d);
    r.make_outputs(d);
    py::tuple result = r.results(d, [&] {
        r.similarity.rows = r.job;
        const fusedloss::sum total = rt::run_similarity(loss, r.similarity, d.threads);
        if (o.divides == by_terms) r.divide_by_terms(d);
        return total;
    });
    r.return_numbers();
    return result;
}

template <class C>
void multiply(const py::array& a, const py::array& b, double alpha, py::array& out, bool accumulate,
              int threads) {
    constexpr std::ptrdiff_t size = sizeof(C);
    const fusedloss::matrix_product<C> p{a.shape(0),
                                         b.shape(1),
                                         a.shape(1),
                                         C(alpha),
                                         static_cast<const C*>(a.data()),
                                         a.strides(0) / size,
                                         a.strides(1) / size,
                                         static_cast<const C*>(b.data()),
                                         b.strides(0) / size,
                                         b.strides(1) / size,
                                         accumulate,
                                         static_cast<C*>(out.mutable_data()),
                                         out.strides(0) / size};
    py::gil_scoped_release release;
    rt::multiply(p, threads > 0 ? threads : rt::default_threads());
}

void gemm(const py::array& a, const py::array& b, py::array out, double alpha, bool accumulate, int threads) {
    const argument who{py::str("gemm"), "a"};
    const dtype type = dtype_of(who, a);
    if (a.ndim() != 2 || b.ndim() != 2 || out.ndim() != 2 || a.shape(1) != b.shape(0) ||
        a.shape(0) != out.shape(0) || b.shape(1) != out.shape(1))
        throw py::value_error("gemm: shapes do not fit a product");
    if ((type != dtype::float32 && type != dtype::float64) || dtype_of(who, b) != type ||
        dtype_of(who, out) != type)
        throw py::type_error("gemm: all three are float32, or all float64");
    if (out.strides(1) != out.itemsize()) throw py::value_error("gemm: out has rows of neighbouring numbers");
    if (type == dtype::float32)
        multiply<float>(a, b, alpha, out, accumulate, threads);
    else
        multiply<double>(a, b, alpha, out, accumulate, threads);
}

}  // namespace
}  // namespace fusedloss_python

void register_similarity(pybind11::module_& m) {
    fusedloss_python::define_family(
        m, "similarity", fusedloss_python::similarity,
        "Runs a loss of rows on the scores of all pairs of vectors; returns (value, "
        "gradients, None, None).");
    m.def("gemm", fusedloss_python::gemm, pybind11::arg("a"), pybind11::arg("b"), pybind11::arg("out"),
          pybind11::arg("alpha"), pybind11::arg("accumulate"), pybind11::arg("threads"),
          "out = alpha a b, or out += alpha a b: the matrix product of the similarity losses, for tests and "
          "benchmarks.");
}
