// The elementwise family: l(input, target, ...) of up to five arrays of one (broadcast) shape.
//
// A formula is instantiated as block kernels that know nothing but contiguous packs. Everything a
// user may ask around it - storage types, strides, weights, scaling, reduction, streaming - happens
// here, once, on chunks that stay in the first-level cache.
#pragma once

#include "../core/reduction.hpp"
#include "../core/views.hpp"
#include "../losses/terms.hpp"
#include "../simd/extended.hpp"

FUSEDLOSS_BEGIN

// ---- from a formula to a kernel ---------------------------------------------------------------

template <class T>
struct number;  // how a number type lies in memory
template <class S>
struct number<pack<S>> {
    using scalar = S;
    static FUSEDLOSS_INLINE pack<S> read(const void* p, std::size_t i) {
        return load(static_cast<const S*>(p) + i * pack<S>::lanes);
    }
    static FUSEDLOSS_INLINE pack<S> rounded(pack<S> a) { return a; }
};
template <>
struct number<extended> {
    using scalar = double;
    static FUSEDLOSS_INLINE extended read(const void* p, std::size_t i) {
        return number<pack<double>>::read(p, i);
    }
    static FUSEDLOSS_INLINE pack<double> rounded(extended a) { return round_to_double(a); }
};
template <>
struct number<pack<wide_float>> {
    using scalar = double;
    static FUSEDLOSS_INLINE pack<wide_float> read(const void* p, std::size_t i) {
        return as_wide_float(number<pack<double>>::read(p, i));
    }
    static FUSEDLOSS_INLINE pack<double> rounded(pack<wide_float> a) { return as_double(a); }
};

template <class T>
inline constexpr bool is_extended = false;
template <>
inline constexpr bool is_extended<extended> = true;

// Whether kernels of this arithmetic can write past the caches themselves: those fast enough to gain by it.
template <class S>
inline constexpr bool streams = sizeof(S) == sizeof(float) && !FUSEDLOSS_COMPACT;

// Pack i of input k.
template <class T>
FUSEDLOSS_INLINE T read_input(const kernel_call& call, int k, std::size_t i) {
    if constexpr (spare_digits<typename T::scalar>) {
        if (call.float_inputs >> k & 1)
            return as_wide_float(load_widened(static_cast<const float*>(call.in[k]) + i * T::lanes));
    }
    return number<T>::read(call.in[k], i);
}
// Pack i of a derivative.
template <class T, bool Stream>
FUSEDLOSS_INLINE void write_result(const kernel_call& call, void* to, std::size_t i, T result) {
    using N = number<T>;
    using S = typename N::scalar;
    const pack<S> a = N::rounded(result) * pack<S>(call.scale);
    if constexpr (spare_digits<typename T::scalar>) {
        if (call.float_results) return store_narrowed(static_cast<float*>(to) + i * T::lanes, a);
    }
    S* const place = static_cast<S*>(to) + i * pack<S>::lanes;
    Stream ? store_stream(place, a) : store(place, a);
}

template <class T, class Loss>
FUSEDLOSS_INLINE auto eval_at(const Loss& loss, const kernel_call& call, std::size_t i) {
    constexpr int inputs = Loss::traits.inputs;
    const auto in = [&](int k) { return read_input<T>(call, k, i); };
    if constexpr (inputs == 1)
        return eval(loss, in(0));
    else if constexpr (inputs == 2)
        return eval(loss, in(0), in(1));
    else if constexpr (inputs == 3)
        return eval(loss, in(0), in(1), in(2));
    else if constexpr (inputs == 4)
        return eval(loss, in(0), in(1), in(2), in(3));
    else
        return eval(loss, in(0), in(1), in(2), in(3), in(4));
}

template <class Loss, class T, kernel_outputs Outputs, bool Stream = false>
FUSEDLOSS_INLINE void run_pack(const Loss& loss, const kernel_call& call, std::size_t i) {
    using N = number<T>;
    using S = typename N::scalar;
    const auto r = eval_at<T>(loss, call, i);
    if constexpr (Outputs != want_grad_hess)
        store(static_cast<S*>(call.value) + i * pack<S>::lanes, N::rounded(r.value));
    if constexpr (Outputs != want_value) {
        if constexpr (Loss::traits.differentiable == 1) {
            write_result<T, Stream>(call, call.grad[0], i, r.grad[0]);
        } else {
            for (int k = 0; k < Loss::traits.inputs; ++k)
                if ((Loss::traits.differentiable >> k & 1) && call.grad[k])
                    write_result<T, Stream>(call, call.grad[k], i, r.grad[k]);
        }
    }
    if constexpr (Outputs == want_grad_hess) write_result<T, Stream>(call, call.hess, i, r.hess);
}

// The shorter way: calls amid its loop would cost it the registers, so packs that may not take it get a loop
// of their own.
template <class Loss, class T, kernel_outputs Outputs>
bool run_shortcut(const kernel_call& arguments) {
    using way = shortcut<Loss, T>;
    const kernel_call call = arguments;
    Loss loss;
    std::memcpy(static_cast<void*>(&loss), call.params, sizeof loss);
    if (!way::applies(loss)) return false;
    const typename way::quick quick{loss};
    const typename way::careful careful{loss};
    const auto may = [&](std::size_t i) {
        return way::applies(read_input<T>(call, 0, i), read_input<T>(call, 1, i));
    };
    std::size_t begin = 0;
    while (begin < call.packs) {
        std::size_t end = begin;
        while (end < call.packs && may(end)) ++end;
        for (std::size_t i = begin; i < end; ++i) run_pack<typename way::quick, T, Outputs>(quick, call, i);
        begin = end;
        for (; begin < call.packs && !may(begin); ++begin)
            run_pack<typename way::careful, T, Outputs>(careful, call, begin);
    }
    return true;
}

template <class Loss, class T, kernel_outputs Outputs>
void run_block(const kernel_call& arguments) {
    if constexpr (shortcut<Loss, T>::exists) {
        if (run_shortcut<Loss, T, Outputs>(arguments)) return;
    }
    const kernel_call call = arguments;  // a copy that no store can reach stays in registers
    Loss loss;
    std::memcpy(static_cast<void*>(&loss), call.params, sizeof loss);
    if constexpr (sizeof(typename number<T>::scalar) == sizeof(float)) {
        // Two at a time halves the cost of the loop itself; the longer kernels of doubles do not notice it.
        if (streams<typename number<T>::scalar> && Outputs != want_value && call.stream) {
            for (std::size_t i = 0; i < call.packs; i += 2) {
                run_pack<Loss, T, Outputs, true>(loss, call, i);
                run_pack<Loss, T, Outputs, true>(loss, call, i + 1);
            }
            return;
        }
        for (std::size_t i = 0; i < call.packs; i += 2) {
            run_pack<Loss, T, Outputs>(loss, call, i);
            run_pack<Loss, T, Outputs>(loss, call, i + 1);
        }
    } else {
        for (std::size_t i = 0; i < call.packs; ++i) run_pack<Loss, T, Outputs>(loss, call, i);
    }
}

template <class Loss, class T>
constexpr void fill_kernels(block_kernel* run) {
    // Double-double code is long: its value-only calls share the kernel that also computes the gradient.
    constexpr kernel_outputs value_outputs =
        is_extended<T> || FUSEDLOSS_COMPACT ? want_value_grad : want_value;
    run[want_value] = run_block<Loss, T, value_outputs>;
    run[want_value_grad] = run_block<Loss, T, want_value_grad>;
    if constexpr (Loss::traits.hessian) run[want_grad_hess] = run_block<Loss, T, want_grad_hess>;
}

// The kernels of one loss; null where its arithmetic does not call for one.
template <class Loss>
constexpr kernel_entry make_kernels() {
    kernel_entry entry{};
    if constexpr (Loss::traits.compute == arithmetic::working)
        fill_kernels<Loss, pack<float>>(entry.run[in_float]);
    // Where float64 data have a kernel of their own, this one serves float32 data alone.
    constexpr bool own = Loss::traits.compute == arithmetic::extended;
    entry.widens = own && !FUSEDLOSS_COMPACT;
    if constexpr (own && !FUSEDLOSS_COMPACT)
        fill_kernels<Loss, pack<wide_float>>(entry.run[in_double]);
    else
        fill_kernels<Loss, pack<double>>(entry.run[in_double]);
    if constexpr (own) fill_kernels<Loss, extended>(entry.run[in_extended]);
    return entry;
}

// ---- around a kernel: one chunk after another ---------------------------------------------------

template <class C>
inline constexpr int chunk_elements = chunk_bytes / int(sizeof(C));
template <class C>
inline constexpr int unit = unit_bytes / int(sizeof(C));
template <class C>
FUSEDLOSS_INLINE std::size_t units_of(int n) {
    return std::size_t(n + unit<C> - 1) / unit<C>;
}

template <class C>
FUSEDLOSS_INLINE C* element(const strided& a, std::int64_t index) {
    return reinterpret_cast<C*>(static_cast<char*>(a.data) + index * std::int64_t(sizeof(C)));
}

// Elements [begin, begin + n) as contiguous numbers, whole units of them: the array itself where it
// already is that, else a copy in `buffer` whose last unit repeats the last element.
template <class C>
FUSEDLOSS_SHARED const C* fetch(const elementwise_job& job, const strided& a, std::int64_t begin, int n,
                                C* buffer) {
    if (a.type == dtype_of<C> && contiguous(job.dims, a) && n % unit<C> == 0) return element<C>(a, begin);
    for_each_run(job.dims, job.shape, a, begin, n,
                 [&](const char* p, std::int64_t stride, int offset, int run) {
                     gather_run(a.type, buffer + offset, p, stride, run);
                 });
    for (int i = n; i % unit<C> != 0; ++i) buffer[i] = buffer[n - 1];
    return buffer;
}

// values *= weights, and exactly 0 where the weight is 0.
template <class C>
FUSEDLOSS_SHARED void apply_weights(C* values, const C* weights, int n) {
    for (C *v = values, *end = values + units_of<C>(n) * unit<C>; v < end; v += pack<C>::lanes) {
        const pack<C> w = load(weights + (v - values));
        store(v, select(w == pack<C>(0.0), pack<C>(0.0), w * load(v)));
    }
}
// The product of the job's weights.
template <class C>
FUSEDLOSS_SHARED const C* fetch_weights(const elementwise_job& job, std::int64_t begin, int n, C* product,
                                        C* other) {
    const C* w = fetch(job, job.weight[0], begin, n, product);
    for (int k = 1; k < job.weights; ++k) {
        if (w != product) std::memcpy(product, w, std::size_t(n) * sizeof(C));
        apply_weights(product, fetch(job, job.weight[k], begin, n, other), n);
        w = product;
    }
    return w;
}

template <class C>
FUSEDLOSS_SHARED void emit(const elementwise_job& job, const strided& out, std::int64_t begin, int n,
                           const C* values) {
    C* const direct = element<C>(out, begin);
    if (values == direct) return;
    const bool plain = out.type == dtype_of<C> && contiguous(job.dims, out) &&
                       reinterpret_cast<std::uintptr_t>(out.data) % sizeof(C) == 0;
    if (plain && job.stream) return stream_out(direct, values, n);
    for_each_run(job.dims, job.shape, out, begin, n, [&](char* p, std::int64_t stride, int offset, int run) {
        scatter_run(out.type, values + offset, p, stride, run);
    });
}

// Streamed outputs go straight from the kernel to memory if a whole number of elements after `begin` all
// of them reach a 64-byte boundary: that number, or -1. (Staged in a buffer and streamed from there, the
// writes come in bursts during which nothing is read.)
template <class C>
FUSEDLOSS_INLINE int stream_offset(const elementwise_job& job, std::int64_t begin) {
    int offset = -1;
    const auto consider = [&](const strided& a) {
        if (!a.data) return true;
        const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(element<C>(a, begin));
        const int own = int((64 - address % 64) % 64) / int(sizeof(C));
        if (a.type != dtype_of<C> || !contiguous(job.dims, a) || address % sizeof(C) != 0) return false;
        if (offset >= 0 && own != offset) return false;
        offset = own;
        return true;
    };
    bool possible = job.stream && streams<C> && job.weights == 0 && consider(job.hess);
    for (int k = 0; k < job.inputs; ++k) possible = possible && consider(job.grad[k]);
    return possible ? offset : -1;
}

// Whether a kernel of wide_float can use an array of float32 itself: whole units of contiguous elements.
template <class C>
FUSEDLOSS_INLINE bool used_as_floats(const elementwise_job& job, const strided& a, int n) {
    return job.widens && a.type == dtype::float32 && contiguous(job.dims, a) && n % unit<C> == 0 &&
           reinterpret_cast<std::uintptr_t>(a.data) % sizeof(float) == 0;
}

// Where the kernel may write its result: straight into the caller's array when nothing is left to do
// with it afterwards, else into `buffer`.
template <class C>
FUSEDLOSS_INLINE C* destination(const elementwise_job& job, const strided& out, std::int64_t begin, int n,
                                bool streamed, C* buffer) {
    const bool direct = out.type == dtype_of<C> && contiguous(job.dims, out) && (!job.stream || streamed) &&
                        job.weights == 0 && n % unit<C> == 0;
    return direct ? element<C>(out, begin) : buffer;
}

// Elements [begin, end) of a job with one kernel; returns the sum of the values if the job wants it.
template <class C>
inline sum process(const elementwise_job& job, block_kernel kernel, std::int64_t begin, std::int64_t end) {
    constexpr int chunk = chunk_elements<C>;
    alignas(64) C inputs[max_inputs][chunk];
    alignas(64) C weights[2][chunk];
    alignas(64) C values[chunk + unit<C>], grads[max_inputs][chunk], hess[chunk];
    accumulator<C> total;
    bool fixed[max_inputs];  // broadcast scalars: one copy serves every chunk
    for (int k = 0; k < job.inputs; ++k) {
        fixed[k] = uniform(job.dims, job.in[k]);
        if (fixed[k])
            gather_run(job.in[k].type, inputs[k], static_cast<const char*>(job.in[k].data), 0, chunk);
    }
    const int offset = stream_offset<C>(job, begin);

    int n;
    for (std::int64_t at = begin; at < end; at += n) {
        n = at == begin && offset > 0 ? offset : chunk;
        if (end - at < n) n = int(end - at);

        kernel_call call;
        call.params = job.params;
        call.scale = job.grad_scale;
        call.packs = units_of<C>(n) * (unit_bytes / FUSEDLOSS_PACK_BYTES);
        call.stream = offset >= 0 && n % unit<C> == 0;
        call.float_inputs = 0;
        call.float_results = job.widens && !job.weights && !job.stream;
        for (int k = 0; k < job.inputs; ++k) {
            if (!fixed[k] && used_as_floats<C>(job, job.in[k], n)) {
                call.in[k] = element<float>(job.in[k], at);
                call.float_inputs |= 1u << k;
            } else {
                call.in[k] = fixed[k] ? inputs[k] : fetch(job, job.in[k], at, n, inputs[k]);
            }
            if (job.grad[k].data && !used_as_floats<C>(job, job.grad[k], n)) call.float_results = false;
        }
        if (job.hess.data && !used_as_floats<C>(job, job.hess, n)) call.float_results = false;
        // The sum wants element i in lane i of its unit, wherever the chunk begins.
        const int lane = int((at - begin) % unit<C>);
        C* const staged = values + lane;
        C* const value =
            job.value.data && !job.total ? destination(job, job.value, at, n, false, staged) : staged;
        call.value = value;
        call.grad[0] = grads[0];  // a kernel may compute it unasked
        for (int k = 0; k < job.inputs; ++k)
            if (job.grad[k].data)
                call.grad[k] = destination(job, job.grad[k], at, n, call.stream, grads[k]);
            else if (k > 0)
                call.grad[k] = nullptr;
        call.hess = job.hess.data ? destination(job, job.hess, at, n, call.stream, hess) : nullptr;
        if (call.float_results) {
            for (int k = 0; k < job.inputs; ++k)
                if (job.grad[k].data) call.grad[k] = element<float>(job.grad[k], at);
            if (job.hess.data) call.hess = element<float>(job.hess, at);
        }
        kernel(call);

        if (job.weights) {
            const C* w = fetch_weights(job, at, n, weights[0], weights[1]);
            if (job.total || job.value.data) apply_weights(value, w, n);
            for (int k = 0; k < job.inputs; ++k)
                if (job.grad[k].data) apply_weights(grads[k], w, n);
            if (job.hess.data) apply_weights(hess, w, n);
        }
        if (job.total) {
            // Zeros before the chunk's first element and after its last.
            for (int i = 0; i < lane; ++i) values[i] = C(0);
            for (int i = n; (lane + i) % unit<C> != 0; ++i) value[i] = C(0);
            total.add(values, units_of<C>(lane + n), job.total_scale);
        }
        if (job.value.data) emit(job, job.value, at, n, value);
        if (call.float_results) continue;
        for (int k = 0; k < job.inputs; ++k)
            if (job.grad[k].data) emit(job, job.grad[k], at, n, static_cast<const C*>(call.grad[k]));
        if (job.hess.data) emit(job, job.hess, at, n, static_cast<const C*>(call.hess));
    }
    if (job.stream) stream_fence();
    return total.fold();
}

FUSEDLOSS_INLINE bool valid_weight(double w) { return w >= 0.0 && w - w == 0.0; }
FUSEDLOSS_SHARED bool all_weights_valid(const double* w, int n) {
    bool valid = true;
    for (int i = 0; i < n; ++i) valid &= valid_weight(w[i]);
    return valid;
}

// The sum of the job's weights over [begin, end), and the first that is negative or not finite.
inline weight_sum process_weights(const elementwise_job& job, std::int64_t begin, std::int64_t end) {
    constexpr int chunk = chunk_elements<double>;
    alignas(64) double buffer[2][chunk];
    accumulator<double> total;
    weight_sum r{{0.0, 0.0}, -1};
    for (std::int64_t at = begin; at < end; at += chunk) {
        const int n = end - at < chunk ? int(end - at) : chunk;
        const double* w = fetch_weights(job, at, n, buffer[0], buffer[1]);
        if (r.first_bad < 0 && !all_weights_valid(w, n))
            for (int i = 0; i < n; ++i)
                if (!valid_weight(w[i])) {
                    r.first_bad = at + i;
                    break;
                }
        for (int i = n; i % unit<double> != 0; ++i) buffer[0][i] = 0.0;
        total.add(w, units_of<double>(n));
    }
    r.total = total.fold();
    return r;
}

FUSEDLOSS_END
