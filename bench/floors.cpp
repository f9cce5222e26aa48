// What memory allows: read R arrays and write W, in one pass over the same number of threads as a loss.
// Knows bytes only, so that it serves every dtype. Compiled by floors.py.
#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

constexpr int max_reads = 5, max_writes = 5;
constexpr std::ptrdiff_t line_bytes = 64, unroll = 4;

// A cache line at any address, of any type.
typedef float line __attribute__((vector_size(64), aligned(4), may_alias));

inline void store_past_caches(char* p, line v) {
#if defined(__AVX512F__)
    _mm512_stream_ps(reinterpret_cast<float*>(p), (__m512)v);
#elif defined(__SSE2__)
    __m128 part[4];
    __builtin_memcpy(part, &v, sizeof v);
    for (int i = 0; i < 4; ++i) _mm_stream_ps(reinterpret_cast<float*>(p) + 4 * i, part[i]);
#elif defined(__clang__)
    __builtin_nontemporal_store(v, reinterpret_cast<line*>(p));
#else
    *reinterpret_cast<line*>(p) = v;
#endif
}

// Lines [begin, end); returns something that depends on every byte read.
template <int Reads, int Writes, bool Stream>
float pass(const char* const* in, char* const* out, std::ptrdiff_t begin, std::ptrdiff_t end) {
    line total[unroll] = {};
    for (std::ptrdiff_t i = begin; i < end; i += unroll) {
        for (int u = 0; u < unroll; ++u) {
            const std::ptrdiff_t at = (i + u) * line_bytes;
            line v = *reinterpret_cast<const line*>(in[0] + at);
            for (int k = 1; k < Reads; ++k) v += *reinterpret_cast<const line*>(in[k] + at);
            for (int k = 0; k < Writes; ++k) {
                if (Stream)
                    store_past_caches(out[k] + at, v);
                else
                    *reinterpret_cast<line*>(out[k] + at) = v;
            }
            total[u] += v;
        }
    }
    const line sum = (total[0] + total[1]) + (total[2] + total[3]);
    float result = 0;
    for (int i = 0; i < 16; ++i) result += sum[i];
    return result;
}

using pass_function = float (*)(const char* const*, char* const*, std::ptrdiff_t, std::ptrdiff_t);

template <int... I>
pass_function find(int reads, int writes, bool stream, std::integer_sequence<int, I...>) {
    static constexpr pass_function passes[2][sizeof...(I)] = {
        {pass<I / (max_writes + 1) + 1, I % (max_writes + 1), false>...},
        {pass<I / (max_writes + 1) + 1, I % (max_writes + 1), true>...}};
    return passes[stream][(reads - 1) * (max_writes + 1) + writes];
}

}  // namespace

// Whole groups of four lines only, at most 255 bytes less than asked for. Returns the bytes passed of one array, or -1.
extern "C" std::int64_t fusedloss_floor(const char* const* in, int reads, char* const* out, int writes,
                                        std::int64_t bytes, int stream, int threads, float* checksum) {
    if (reads < 1 || reads > max_reads || writes < 0 || writes > max_writes) return -1;
    const pass_function run =
        find(reads, writes, stream != 0, std::make_integer_sequence<int, max_reads*(max_writes + 1)>());
    const std::ptrdiff_t groups = bytes / (line_bytes * unroll);
    float total = 0;
    if (threads == 1) {
        total = run(in, out, 0, groups * unroll);
    } else {
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : total)
        for (int t = 0; t < threads; ++t)
            total += run(in, out, groups * t / threads * unroll, groups * (t + 1) / threads * unroll);
    }
#if defined(__SSE2__)
    if (stream) _mm_sfence();
#endif
    *checksum = total;
    return groups * line_bytes * unroll;
}
