// Walking a strided array in logical (C) order, a chunk at a time.
#pragma once

#include "convert.hpp"

FUSEDLOSS_BEGIN

template <class C>
inline constexpr dtype dtype_of = sizeof(C) == 4 ? dtype::float32 : dtype::float64;

// Merges neighbouring dimensions that every array crosses in one step, so that ordinary arrays are
// one-dimensional by the time a kernel sees them. Dimensions of length 1 vanish.
inline void coalesce(int& dims, std::int64_t* shape, strided* const* arrays, int count) {
    int kept = 0;
    for (int d = 0; d < dims; ++d) {
        if (shape[d] == 1) continue;
        bool mergeable = kept > 0;
        for (int a = 0; a < count && mergeable; ++a)
            mergeable = arrays[a]->stride[kept - 1] == arrays[a]->stride[d] * shape[d];
        if (mergeable)
            shape[kept - 1] *= shape[d];
        else
            shape[kept++] = shape[d];
        for (int a = 0; a < count; ++a) arrays[a]->stride[kept - 1] = arrays[a]->stride[d];
    }
    dims = kept;
}

// Calls run(pointer, stride, offset, n) for each stretch of elements [begin, begin + n) along the last
// dimension.
template <class Run>
FUSEDLOSS_INLINE void for_each_run(int dims, const std::int64_t* shape, const strided& a, std::int64_t begin,
                                   int n, Run run) {
    char* const base = static_cast<char*>(a.data);
    if (dims == 0) return run(base, std::int64_t(0), 0, n);
    if (dims == 1) return run(base + begin * a.stride[0], a.stride[0], 0, n);
    const std::int64_t inner = shape[dims - 1];
    std::int64_t row = begin / inner, column = begin % inner;
    for (int done = 0; done < n;) {
        std::int64_t rest = row;
        char* p = base + column * a.stride[dims - 1];
        for (int d = dims - 2; d >= 0; --d) {
            p += (d == 0 ? rest : rest % shape[d]) * a.stride[d];
            rest /= shape[d];
        }
        const std::int64_t left = inner - column;
        const int step = left < n - done ? int(left) : n - done;
        run(p, a.stride[dims - 1], done, step);
        done += step;
        ++row;
        column = 0;
    }
}

// One value broadcast to the whole shape.
FUSEDLOSS_INLINE bool uniform(int dims, const strided& a) {
    for (int d = 0; d < dims; ++d)
        if (a.stride[d] != 0) return false;
    return true;
}

FUSEDLOSS_INLINE bool contiguous(int dims, const strided& a) {
    return dims == 1 && a.stride[0] == item_size(a.type);
}

// A finished chunk into a contiguous array, past the caches: the stretch of whole aligned packs with
// non-temporal stores, the few elements around it with ordinary ones.
template <class C>
FUSEDLOSS_SHARED void stream_out(C* dst, const C* values, int n) {
    constexpr int lanes = pack<C>::lanes;
    const int offset = int((64 - reinterpret_cast<std::uintptr_t>(dst) % 64) % 64) / int(sizeof(C));
    const int head = offset < n ? offset : n;
    for (int i = 0; i < head; ++i) dst[i] = values[i];
    int i = head;
    for (; i + lanes <= n; i += lanes) store_stream(dst + i, load(values + i));
    for (; i < n; ++i) dst[i] = values[i];
}

// The same for n numbers of another type that is written contiguously: up to a line's boundary, whole lines,
// and what is left.
template <class C>
FUSEDLOSS_SHARED void stream_out(dtype type, char* dst, const C* values, std::int64_t n) {
    constexpr int line = 64;
    const int size = item_size(type), shift = size == 2 ? 1 : size == 4 ? 2 : 3;
    alignas(64) char items[chunk_bytes];
    for (int step; n > 0; n -= step, values += step, dst += step << shift) {
        const int head = int(-reinterpret_cast<std::uintptr_t>(dst) % line) >> shift;
        const int most = head > 0 ? head : chunk_bytes >> shift,
                  whole = (most < n ? most : int(n)) & -(line >> shift);
        const bool lines = head == 0 && whole > 0;
        step = lines ? whole : most < n ? most : int(n);
        convert_out(type, items, values, step);
        if (!lines)
            std::memcpy(dst, items, std::size_t(step) << shift);
        else
            for (int i = 0; i < step << shift; i += FUSEDLOSS_PACK_BYTES)
                store_stream(reinterpret_cast<float*>(dst + i),
                             load(reinterpret_cast<const float*>(items + i)));
    }
}

FUSEDLOSS_END
