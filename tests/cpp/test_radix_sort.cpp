// Sorting keys with their places: against a stable sort, for both sizes of key, at lengths around those where
// counts and passes change, and keys alike in some digits or in all.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "fusedloss/core/radix_sort.hpp"
#include "level.hpp"

using namespace fusedloss;

namespace {

int failures = 0;

void expect(bool good, const char* what, std::size_t n, int bits) {
    if (good) return;
    ++failures;
    std::printf("%s: %zu keys of %d bits\n", what, n, bits);
}

template <class Key>
bool same(const keyed<Key>& a, const keyed<Key>& b) {
    return a.key == b.key && a.index == b.index;
}

template <class Key>
void sorts(std::vector<keyed<Key>> items, const char* what) {
    const std::size_t n = items.size();
    std::vector<keyed<Key>> expected = items, other(n);
    std::stable_sort(expected.begin(), expected.end(),
                     [](const keyed<Key>& a, const keyed<Key>& b) { return a.key < b.key; });
    const keyed<Key>* const sorted = radix_sort(items.data(), other.data(), n);
    expect(sorted == items.data() || sorted == other.data(), "result elsewhere", n, 8 * int(sizeof(Key)));
    expect(std::equal(expected.begin(), expected.end(), sorted, same<Key>), what, n, 8 * int(sizeof(Key)));
}

// Keys from `make`, numbered in order.
template <class Key, class Make>
void sorts_keys(std::size_t n, const char* what, Make make) {
    std::vector<keyed<Key>> items(n);
    for (std::size_t i = 0; i < n; ++i) items[i] = {make(i), Key(i)};
    sorts(items, what);
}

template <class Key>
void all_lengths() {
    constexpr int bits = 8 * int(sizeof(Key));
    std::uint64_t state = 1;
    const auto random = [&](std::size_t) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return Key(state >> (64 - bits) ^ state >> 17);
    };
    std::vector<std::size_t> lengths = {0, 1, 2, 3};
    for (std::size_t power = 4; power <= 1 << 17; power *= 2)
        for (const std::size_t n : {power - 1, power, power + 1}) lengths.push_back(n);
    for (const std::size_t n : lengths) {
        sorts_keys<Key>(n, "random", random);
        sorts_keys<Key>(n, "few different", [&](std::size_t i) { return Key(random(i) % 3); });
        sorts_keys<Key>(n, "all alike", [](std::size_t) { return Key(~Key(0)); });
        sorts_keys<Key>(n, "falling", [n](std::size_t i) { return Key(n - i); });
        // Different in a single digit of the passes, the first, one in the middle, and the last.
        for (const int shift : {0, 11, bits / 2, bits - 4})
            sorts_keys<Key>(n, "one digit", [&](std::size_t i) { return Key((random(i) % 11) << shift); });
    }
}

// Numbers that are not negative have the order of their bits: so do zero, subnormals, infinity and, last,
// NaN.
template <class Key, class Float>
void bits_of_numbers() {
    const Float special[] = {Float(NAN),      Float(INFINITY), Float(1), Float(0),
                             Float(5e-324),   Float(1e-40),    Float(0), Float(3.5),
                             Float(INFINITY), Float(1e30),     Float(1)};
    const std::size_t n = sizeof special / sizeof special[0];
    std::vector<keyed<Key>> items(n), other(n);
    for (std::size_t i = 0; i < n; ++i) {
        std::memcpy(&items[i].key, special + i, sizeof(Key));
        items[i].index = Key(i);
    }
    const keyed<Key>* const sorted = radix_sort(items.data(), other.data(), n);
    bool good = std::isnan(special[sorted[n - 1].index]);
    for (std::size_t i = 1; i + 1 < n; ++i) {
        const Float before = special[sorted[i - 1].index], own = special[sorted[i].index];
        good = good && (before < own || (before == own && sorted[i - 1].index < sorted[i].index));
    }
    expect(good, "bits of numbers", n, 8 * int(sizeof(Key)));
}

}  // namespace

int main() {
    if (!level_runs_here()) return skipped;
    all_lengths<std::uint32_t>();
    all_lengths<std::uint64_t>();
    bits_of_numbers<std::uint32_t, float>();
    bits_of_numbers<std::uint64_t, double>();
    if (failures) std::printf("%d failures\n", failures);
    return failures != 0;
}
