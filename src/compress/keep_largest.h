// The choice of a token's channels in vectors.
#ifndef SPARK_COMPRESS_KEEP_LARGEST_H_
#define SPARK_COMPRESS_KEEP_LARGEST_H_

#include <cstddef>
#include <cstdint>

namespace spark {

// Sets the bits of the n_kept largest of n numbers in `mask`, [MaskBytes(n)], of equal ones those
// of the lower index, and clears the others: the choice of KeepLargest() (channel_selection.h).
// Returns the sum of the others. 1 <= n_kept <= n <= 1024; no number is negative.
float KeepLargestOf(const float* x, size_t n, size_t n_kept, uint8_t* mask);

inline constexpr size_t kMostNumbers = 1024;

}  // namespace spark

#endif  // SPARK_COMPRESS_KEEP_LARGEST_H_
