// The element types of a cache, by name.
#include "compress/compressor.h"
#include "spark/compression.h"
#include "spark/error.h"

namespace spark {

DType ToDType(CacheType type) {
  switch (type) {
    case CacheType::kF32:
      return DType::kF32;
    case CacheType::kF16:
      return DType::kF16;
    case CacheType::kBF16:
      return DType::kBF16;
    case CacheType::kQ8_0:
      return DType::kQ8_0;
    case CacheType::kQ4_0:
      return DType::kQ4_0;
  }
  throw Error("unknown cache type");
}

CacheType ParseCacheType(std::string_view name, std::string_view flag) {
  for (const CacheType type :
       {CacheType::kF32, CacheType::kF16, CacheType::kBF16, CacheType::kQ8_0, CacheType::kQ4_0}) {
    if (name == Name(type)) return type;
  }
  throw UsageError("unknown cache type", {.field = std::string(flag),
                                          .found = std::string(name),
                                          .allowed = "f32, f16, bf16, q8_0, q4_0"});
}

std::string_view Name(CacheType type) { return Name(ToDType(type)); }

}  // namespace spark
