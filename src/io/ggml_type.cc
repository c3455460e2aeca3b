#include "io/ggml_type.h"

#include <fmt/format.h>

#include <string_view>

namespace spark {
namespace {

struct GgmlType {
  uint32_t number;
  std::optional<DType> type;  // empty: known, but not supported
  std::string_view name;
};

// Numbers that are missing were given up by ggml (4, 5, 31-33, 36-38) or never given out.
constexpr GgmlType kGgmlTypes[] = {
    {0, DType::kF32, "F32"},
    {1, DType::kF16, "F16"},
    {2, DType::kQ4_0, "Q4_0"},
    {3, DType::kQ4_1, "Q4_1"},
    {6, DType::kQ5_0, "Q5_0"},
    {7, DType::kQ5_1, "Q5_1"},
    {8, DType::kQ8_0, "Q8_0"},
    {9, {}, "Q8_1"},
    {10, DType::kQ2_K, "Q2_K"},
    {11, DType::kQ3_K, "Q3_K"},
    {12, DType::kQ4_K, "Q4_K"},
    {13, DType::kQ5_K, "Q5_K"},
    {14, DType::kQ6_K, "Q6_K"},
    {15, DType::kQ8_K, "Q8_K"},
    {16, {}, "IQ2_XXS"},
    {17, {}, "IQ2_XS"},
    {18, {}, "IQ3_XXS"},
    {19, {}, "IQ1_S"},
    {20, DType::kIQ4_NL, "IQ4_NL"},
    {21, {}, "IQ3_S"},
    {22, {}, "IQ2_S"},
    {23, DType::kIQ4_XS, "IQ4_XS"},
    {24, {}, "I8"},
    {25, {}, "I16"},
    {26, {}, "I32"},
    {27, {}, "I64"},
    {28, {}, "F64"},
    {29, {}, "IQ1_M"},
    {30, DType::kBF16, "BF16"},
    {34, {}, "TQ1_0"},
    {35, {}, "TQ2_0"},
    {39, {}, "MXFP4"},
};

}  // namespace

std::optional<DType> FromGgmlType(uint32_t number) {
  for (const GgmlType& known : kGgmlTypes) {
    if (known.number == number) return known.type;
  }
  return std::nullopt;
}

uint32_t ToGgmlType(DType type) {
  for (const GgmlType& known : kGgmlTypes) {
    if (known.type == type) return known.number;
  }
  return UINT32_MAX;  // not reached: every DType stands in the table (see the tests)
}

std::string GgmlTypeName(uint32_t number) {
  for (const GgmlType& known : kGgmlTypes) {
    if (known.number == number) return fmt::format("{} (type {})", known.name, number);
  }
  return fmt::format("type {}", number);
}

std::string SupportedGgmlTypes() {
  std::string list;
  for (const GgmlType& known : kGgmlTypes) {
    if (known.type) list += fmt::format("{}{}", list.empty() ? "" : ", ", known.name);
  }
  return list;
}

}  // namespace spark
