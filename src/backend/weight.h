// A weight matrix as a backend sees it: rows of a stored type, somewhere in a mapped file.
#ifndef SPARK_BACKEND_WEIGHT_H_
#define SPARK_BACKEND_WEIGHT_H_

#include <cstddef>

#include "base/dtype.h"

namespace spark {

// Row-major [rows, cols]; a row is RowBytes(type, cols) long and rows follow each other directly.
// `rows` is the output dimension of y = W x. Does not own `data`; no alignment is promised.
struct Weight {
  DType type = DType::kF32;
  size_t rows = 0;
  size_t cols = 0;
  const std::byte* data = nullptr;
};

}  // namespace spark

#endif  // SPARK_BACKEND_WEIGHT_H_
