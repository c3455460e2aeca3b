// Element types of stored tensors. Quantised types come in blocks along a row; layouts are those of
// ggml's `block_*` structures (gguf specification, "tensor types").
#ifndef SPARK_BASE_DTYPE_H_
#define SPARK_BASE_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace spark {

// Context files hold these numbers (generate/context_file.h): new types go to the end.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ2_K,
  kQ3_K,
  kQ8_K,
  kIQ4_NL,
  kIQ4_XS
};
inline constexpr DType kAllDTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16,   DType::kQ8_0,
                                       DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,
                                       DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,   DType::kQ2_K,
                                       DType::kQ3_K, DType::kQ8_K, DType::kIQ4_NL, DType::kIQ4_XS};

struct DTypeTraits {
  std::string_view name;  // as users type it: "f16", "q4_K", …
  size_t block_elements;  // 1 for plain floats
  size_t block_bytes;
};

const DTypeTraits& Traits(DType type);
inline std::string_view Name(DType type) { return Traits(type).name; }
inline bool IsQuantized(DType type) { return Traits(type).block_elements > 1; }

// Bytes of a row of `n` elements; nothing if `n` is not a multiple of the block, or on overflow.
std::optional<uint64_t> RowBytes(DType type, uint64_t n);

}  // namespace spark

#endif  // SPARK_BASE_DTYPE_H_
