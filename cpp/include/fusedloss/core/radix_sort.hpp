// Sorting numbers together with where they came from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "../simd/isa.hpp"

FUSEDLOSS_BEGIN

// A number as an unsigned key, in an order of its own, and its place.
template <class Key>
struct keyed {
    Key key, index;
};

// Sorts by key, smallest first; equal keys stay in order. `other` has room for as many items; the result is
// in one of the two.
template <class Key>
inline keyed<Key>* radix_sort(keyed<Key>* items, keyed<Key>* other, std::size_t n) {
    constexpr int bits = 11, buckets = 1 << bits, passes = (8 * int(sizeof(Key)) + bits - 1) / bits;
    std::size_t count[passes][buckets];
    std::memset(count, 0, sizeof count);
    for (std::size_t i = 0; i < n; ++i)
        for (int pass = 0; pass < passes; ++pass) ++count[pass][(items[i].key >> (bits * pass)) % buckets];
    for (int pass = 0; pass < passes; ++pass) {
        std::size_t* const place = count[pass];
        const int shift = bits * pass;
        if (n == 0 || place[(items[0].key >> shift) % buckets] == n) continue;  // all alike here
        std::size_t sum = 0;
        for (int b = 0; b < buckets; ++b) {
            const std::size_t own = place[b];
            place[b] = sum;
            sum += own;
        }
        for (std::size_t i = 0; i < n; ++i) other[place[(items[i].key >> shift) % buckets]++] = items[i];
        keyed<Key>* const sorted = other;
        other = items;
        items = sorted;
    }
    return items;
}

FUSEDLOSS_END
