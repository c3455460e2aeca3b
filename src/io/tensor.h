// A tensor as a file stores it: checked, not copied.
#ifndef SPARK_IO_TENSOR_H_
#define SPARK_IO_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace spark {

// Row-major; `shape` is outermost first, so the last dimension is the one whose elements (or
// blocks) follow each other. `bytes` is exactly the size that type and shape imply, and `data`
// points at that many bytes of the file, which outlives the tensor. No alignment is promised.
struct StoredTensor {
  std::string name;
  DType type = DType::kF32;
  std::vector<uint64_t> shape;
  const std::byte* data = nullptr;
  uint64_t bytes = 0;

  // The product of `shape`; whoever made the tensor has checked that it fits.
  uint64_t elements() const {
    uint64_t product = 1;
    for (const uint64_t n : shape) product *= n;
    return product;
  }
};

}  // namespace spark

#endif  // SPARK_IO_TENSOR_H_
