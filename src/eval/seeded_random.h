// Random choices that are the same on every machine. The distributions of <random> are left to each
// standard library, so there are none of them here.
#ifndef SPARK_EVAL_SEEDED_RANDOM_H_
#define SPARK_EVAL_SEEDED_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hash.h"

namespace spark {

// SplitMix64 (Steele, Lea, Flood 2014): a counter and a mixing function.
class SeededRandom {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  // A stream of its own for each name and number, whatever is drawn from others.
  SeededRandom(uint64_t seed, std::string_view name, uint64_t number) : state_(0) {
    Fnv1a hash;
    hash.Add(name);
    hash.Add(seed);
    hash.Add(number);
    state_ = hash.value();
  }

  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  // Uniform in [0, n); n > 0. Draws again where 2^64 is no multiple of n.
  size_t Below(size_t n) {
    const uint64_t bound = n;
    const uint64_t unfair = (0 - bound) % bound;  // 2^64 mod n
    uint64_t drawn = Next();
    while (drawn < unfair) drawn = Next();
    return static_cast<size_t>(drawn % bound);
  }

  bool Chance(size_t parts, size_t of) { return Below(of) < parts; }

  template <typename List>
  const auto& Choose(const List& list) {
    return list[Below(std::size(list))];
  }

  template <typename T>
  void Shuffle(std::vector<T>& list) {
    for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[Below(i)]);
  }

  // `count` different ones of `list`, in random order; count <= list's size.
  template <typename List>
  auto Sample(const List& list, size_t count) {
    std::vector rest(std::begin(list), std::end(list));
    for (size_t i = 0; i < count; ++i) std::swap(rest[i], rest[i + Below(rest.size() - i)]);
    rest.resize(count);
    return rest;
  }

 private:
  uint64_t state_;
};

}  // namespace spark

#endif  // SPARK_EVAL_SEEDED_RANDOM_H_
