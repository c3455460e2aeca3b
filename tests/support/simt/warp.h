// Barriers and warp collectives by CUDA's names. Types of up to eight bytes.
#ifndef SPARK_TESTS_SUPPORT_SIMT_WARP_H_
#define SPARK_TESTS_SUPPORT_SIMT_WARP_H_

#include <cstring>
#include <type_traits>

#include "simt/machine.h"

namespace spark::simt {

inline unsigned Lane() {
  return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % kWarpSize;
}

template <typename T>
uint64_t ToBits(T value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T FromBits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

// `source` is a lane of the warp. Lanes outside its segment of `width` give their own value.
template <typename T>
T Shuffle(const char* name, unsigned mask, T value, int source, int width, const Where& where) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    Machine::Get().Raise(std::string(name) + " with a width of " + std::to_string(width), where);
  }
  return FromBits<T>(Machine::Get().Collective({.op = WarpOp::kShuffle,
                                                .name = name,
                                                .mask = mask,
                                                .value = ToBits(value),
                                                .source = static_cast<unsigned>(source)},
                                               where));
}

template <typename T>
T Reduce(const char* name, unsigned mask, T value, Fold fold, const Where& where) {
  return FromBits<T>(Machine::Get().Collective(
      {.op = WarpOp::kReduce, .name = name, .mask = mask, .value = ToBits(value), .fold = fold},
      where));
}

inline unsigned Ballot(const char* name, unsigned mask, bool predicate, const Where& where) {
  return static_cast<unsigned>(Machine::Get().Collective(
      {.op = WarpOp::kBallot, .name = name, .mask = mask, .value = predicate}, where));
}

}  // namespace spark::simt

inline void __syncthreads(spark::simt::Where where = spark::simt::Where::current()) {
  spark::simt::Machine::Get().Barrier(false, where);
}
inline int __syncthreads_count(int predicate,
                               spark::simt::Where where = spark::simt::Where::current()) {
  return spark::simt::Machine::Get().Barrier(predicate != 0, where).count;
}
inline int __syncthreads_and(int predicate,
                             spark::simt::Where where = spark::simt::Where::current()) {
  return spark::simt::Machine::Get().Barrier(predicate != 0, where).all;
}
inline int __syncthreads_or(int predicate,
                            spark::simt::Where where = spark::simt::Where::current()) {
  return spark::simt::Machine::Get().Barrier(predicate != 0, where).any;
}

inline void __syncwarp(unsigned mask = spark::simt::kFullMask,
                       spark::simt::Where where = spark::simt::Where::current()) {
  spark::simt::Machine::Get().Collective(
      {.op = spark::simt::WarpOp::kSync, .name = "__syncwarp", .mask = mask}, where);
}
inline unsigned __activemask() { return spark::simt::Machine::Get().LiveLanes(); }

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              spark::simt::Where where = spark::simt::Where::current()) {
  const int lane = static_cast<int>(spark::simt::Lane());
  return spark::simt::Shuffle("__shfl_sync", mask, value,
                              (lane & ~(width - 1)) | (source & (width - 1)), width, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  spark::simt::Where where = spark::simt::Where::current()) {
  const int lane = static_cast<int>(spark::simt::Lane()), from = lane ^ lane_mask;
  const bool inside = from < (lane & ~(width - 1)) + width;
  return spark::simt::Shuffle("__shfl_xor_sync", mask, value, inside ? from : lane, width, where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 spark::simt::Where where = spark::simt::Where::current()) {
  const int lane = static_cast<int>(spark::simt::Lane()), from = lane - static_cast<int>(delta);
  const bool inside = from >= (lane & ~(width - 1));
  return spark::simt::Shuffle("__shfl_up_sync", mask, value, inside ? from : lane, width, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   spark::simt::Where where = spark::simt::Where::current()) {
  const int lane = static_cast<int>(spark::simt::Lane()), from = lane + static_cast<int>(delta);
  const bool inside = from < (lane & ~(width - 1)) + width;
  return spark::simt::Shuffle("__shfl_down_sync", mask, value, inside ? from : lane, width, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              spark::simt::Where where = spark::simt::Where::current()) {
  return spark::simt::Ballot("__ballot_sync", mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate,
                      spark::simt::Where where = spark::simt::Where::current()) {
  return spark::simt::Ballot("__any_sync", mask, predicate != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      spark::simt::Where where = spark::simt::Where::current()) {
  return spark::simt::Ballot("__all_sync", mask, predicate != 0, where) == mask;
}
template <typename T>
unsigned __match_any_sync(unsigned mask, T value,
                          spark::simt::Where where = spark::simt::Where::current()) {
  return static_cast<unsigned>(
      spark::simt::Machine::Get().Collective({.op = spark::simt::WarpOp::kMatchAny,
                                              .name = "__match_any_sync",
                                              .mask = mask,
                                              .value = spark::simt::ToBits(value)},
                                             where));
}

// CUDA has these for int and unsigned, and those of bits for unsigned.
#define SPARK_SIMT_REDUCE(function, T, expression)                                      \
  inline T function(unsigned mask, T value,                                             \
                    spark::simt::Where where = spark::simt::Where::current()) {         \
    constexpr auto fold = [](uint64_t x, uint64_t y) {                                  \
      const T a = spark::simt::FromBits<T>(x), b = spark::simt::FromBits<T>(y);         \
      return spark::simt::ToBits(static_cast<T>(expression));                           \
    };                                                                                  \
    return spark::simt::Reduce(#function, mask, value, spark::simt::Fold{fold}, where); \
  }
SPARK_SIMT_REDUCE(__reduce_add_sync, int, static_cast<unsigned>(a) + static_cast<unsigned>(b))
SPARK_SIMT_REDUCE(__reduce_add_sync, unsigned, a + b)
SPARK_SIMT_REDUCE(__reduce_min_sync, int, a < b ? a : b)
SPARK_SIMT_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
SPARK_SIMT_REDUCE(__reduce_max_sync, int, a < b ? b : a)
SPARK_SIMT_REDUCE(__reduce_max_sync, unsigned, a < b ? b : a)
SPARK_SIMT_REDUCE(__reduce_and_sync, unsigned, a& b)
SPARK_SIMT_REDUCE(__reduce_or_sync, unsigned, a | b)
SPARK_SIMT_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
#undef SPARK_SIMT_REDUCE

#endif  // SPARK_TESTS_SUPPORT_SIMT_WARP_H_
