// The type numbers of GGUF tensors (enum ggml_type).
#ifndef SPARK_IO_GGML_TYPE_H_
#define SPARK_IO_GGML_TYPE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "base/dtype.h"

namespace spark {

// Nothing if the type is not supported.
std::optional<DType> FromGgmlType(uint32_t number);
uint32_t ToGgmlType(DType type);

// "IQ3_S (type 21)", or "type 99" if nobody knows it.
std::string GgmlTypeName(uint32_t number);

// "F32, F16, …": for error messages.
std::string SupportedGgmlTypes();

}  // namespace spark

#endif  // SPARK_IO_GGML_TYPE_H_
