#include "io/gguf_metadata.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/checked.h"
#include "io/byte_reader.h"
#include "spark/error.h"

namespace spark {
namespace {

// The shortest pair: 8 bytes of key length, 1 of key, 4 of type, 1 of value.
constexpr uint64_t kMinPairBytes = 14;

struct TypeTraits {
  std::string_view name;
  uint64_t bytes;  // of a value; for strings and arrays of the shortest one
};

constexpr TypeTraits kTypes[] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},    {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 8}, {"array", 12}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

const TypeTraits& Traits(GgufType type) { return kTypes[static_cast<size_t>(type)]; }

GgufType ReadType(ByteReader& reader, std::string_view key) {
  const uint64_t start = reader.offset();
  const auto number = reader.Read<uint32_t>(key);
  if (number >= std::size(kTypes)) {
    reader.Fail("unknown value type", start, key, std::to_string(number), "0 to 12");
  }
  return static_cast<GgufType>(number);
}

std::string_view ReadKey(ByteReader& reader) {
  constexpr uint64_t kMaxKeyBytes = 65535;  // GGUF specification
  const uint64_t start = reader.offset();
  const std::string_view key = reader.ReadString("metadata key");
  if (key.empty()) reader.Fail("key is empty", start, "metadata key");
  if (key.find('\0') != key.npos) {
    reader.Fail("key holds a zero byte", start, "metadata key", Quoted(key));
  }
  if (key.size() > kMaxKeyBytes) {
    reader.Fail("key is too long", start, "metadata key", std::to_string(key.size()) + " bytes",
                "at most " + std::to_string(kMaxKeyBytes));
  }
  return key;
}

void CheckBools(const ByteReader& reader, std::string_view key, const GgufValue& value) {
  for (uint64_t i = 0; i < value.count; ++i) {
    const auto byte = std::to_integer<unsigned>(value.data[i]);
    if (byte > 1) {
      reader.Fail("not a boolean", value.offset + i, key, std::to_string(byte), "0 or 1");
    }
  }
}

// Moves past all elements of `value`, whose type and count are known.
void ReadElements(ByteReader& reader, std::string_view key, GgufValue& value) {
  value.offset = reader.offset();
  const uint64_t most = reader.remaining() / Traits(value.type).bytes;
  if (value.count > most) {
    reader.Fail(value.is_array ? "array is longer than the file" : "file ends too early",
                value.offset, key, fmt::format("{} × {}", value.count, Traits(value.type).name),
                fmt::format("at most {}", most));
  }
  value.data = reader.Skip(0, key);
  if (value.type == GgufType::kString) {
    for (uint64_t i = 0; i < value.count; ++i) reader.ReadString(key);
    return;
  }
  reader.Skip(value.count * Traits(value.type).bytes, key);
  if (value.type == GgufType::kBool) CheckBools(reader, key, value);
}

GgufValue ReadValue(ByteReader& reader, std::string_view key) {
  GgufValue value;
  value.type = ReadType(reader, key);
  if (value.type == GgufType::kArray) {
    const uint64_t start = reader.offset();
    value.is_array = true;
    value.type = ReadType(reader, key);
    if (value.type == GgufType::kArray) {
      reader.Fail("arrays of arrays are not supported", start, key);
    }
    value.count = reader.Read<uint64_t>(key);
  }
  ReadElements(reader, key, value);
  return value;
}

// An integer as sign and magnitude, so that u64 and i64 both fit.
struct Integer {
  bool negative;
  uint64_t bits;  // two's complement if negative
};

template <typename T>
Integer LoadInteger(const std::byte* data) {
  const T value = LoadAs<T>(data);
  const auto wide = static_cast<int64_t>(value);  // NOLINT(bugprone-signed-char-misuse)
  return {wide < 0, static_cast<uint64_t>(wide)};
}

// Element `i` of an integer value; nothing if the type is not an integer's.
std::optional<Integer> IntegerAt(const GgufValue& value, uint64_t i) {
  const std::byte* data = value.data + i * Traits(value.type).bytes;
  switch (value.type) {
    case GgufType::kU8:
      return LoadInteger<uint8_t>(data);
    case GgufType::kI8:
      return LoadInteger<int8_t>(data);
    case GgufType::kU16:
      return LoadInteger<uint16_t>(data);
    case GgufType::kI16:
      return LoadInteger<int16_t>(data);
    case GgufType::kU32:
      return LoadInteger<uint32_t>(data);
    case GgufType::kI32:
      return LoadInteger<int32_t>(data);
    case GgufType::kI64:
      return LoadInteger<int64_t>(data);
    case GgufType::kU64:
      return Integer{false, LoadAs<uint64_t>(data)};
    default:
      return std::nullopt;
  }
}

std::string ToString(Integer value) {
  return value.negative ? std::to_string(static_cast<int64_t>(value.bits))
                        : std::to_string(value.bits);
}

bool IsFloat(GgufType type) { return type == GgufType::kF32 || type == GgufType::kF64; }

float FloatAt(const GgufValue& value, uint64_t i) {
  if (value.type == GgufType::kF32) return LoadAs<float>(value.data + 4 * i);
  return static_cast<float>(LoadAs<double>(value.data + 8 * i));
}

}  // namespace

GgufMetadata GgufMetadata::Read(ByteReader& reader, uint64_t count) {
  const uint64_t most = reader.remaining() / kMinPairBytes;
  if (count > most) {
    reader.Fail("more pairs than the file can hold", reader.offset(), "metadata count",
                std::to_string(count), "at most " + std::to_string(most));
  }
  GgufMetadata metadata;
  metadata.file_ = reader.file();
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t start = reader.offset();
    const std::string_view key = ReadKey(reader);
    const GgufValue value = ReadValue(reader, key);
    if (!metadata.values_.emplace(key, value).second) {
      reader.Fail("duplicate key", start, "metadata key", Quoted(key));
    }
  }
  return metadata;
}

const GgufValue* GgufMetadata::Find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

void GgufMetadata::Fail(std::string_view key, const std::string& message, std::string found,
                        std::string allowed) const {
  ErrorContext context{.file = file_,
                       .offset = std::nullopt,
                       .field = std::string(key),
                       .found = std::move(found),
                       .allowed = std::move(allowed)};
  if (const GgufValue* value = Find(key)) context.offset = value->offset;
  throw Error(message, std::move(context));
}

void GgufMetadata::FailType(std::string_view key, const GgufValue& value,
                            std::string allowed) const {
  const std::string_view name = Traits(value.type).name;
  Fail(key, "wrong type",
       value.is_array ? fmt::format("an array of {} × {}", value.count, name) : std::string(name),
       std::move(allowed));
}

std::optional<uint64_t> GgufMetadata::FindUint(std::string_view key, uint64_t min,
                                               uint64_t max) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const auto integer = value->is_array ? std::nullopt : IntegerAt(*value, 0);
  if (!integer) FailType(key, *value, "an integer");
  if (integer->negative || integer->bits < min || integer->bits > max) {
    Fail(key, "out of range", ToString(*integer),
         max == kNoLimit ? fmt::format("at least {}", min) : fmt::format("{} to {}", min, max));
  }
  return integer->bits;
}

std::optional<float> GgufMetadata::FindFloat(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || !IsFloat(value->type)) FailType(key, *value, "a float");
  const float x = FloatAt(*value, 0);
  if (!std::isfinite(x)) Fail(key, "out of range", std::to_string(x), "a finite number");
  return x;
}

std::optional<bool> GgufMetadata::FindBool(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GgufType::kBool) FailType(key, *value, "a boolean");
  return value->data[0] != std::byte{0};
}

std::optional<std::string_view> GgufMetadata::FindString(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GgufType::kString) FailType(key, *value, "a string");
  return std::string_view(reinterpret_cast<const char*>(value->data + 8),
                          LoadAs<uint64_t>(value->data));
}

std::optional<uint64_t> GgufMetadata::FindCount(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array) FailType(key, *value, "an array");
  return value->count;
}

std::optional<std::vector<std::string_view>> GgufMetadata::FindStrings(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array || value->type != GgufType::kString) {
    FailType(key, *value, "an array of strings");
  }
  std::vector<std::string_view> strings;
  strings.reserve(value->count);
  const std::byte* data = value->data;
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto length = LoadAs<uint64_t>(data);
    strings.emplace_back(reinterpret_cast<const char*>(data + 8), length);
    data += 8 + length;
  }
  return strings;
}

std::optional<std::vector<int64_t>> GgufMetadata::FindInts(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  std::vector<int64_t> ints;
  if (value->is_array) ints.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto integer = value->is_array ? IntegerAt(*value, i) : std::nullopt;
    if (!integer) FailType(key, *value, "an array of integers");
    if (!integer->negative && integer->bits > uint64_t{INT64_MAX}) {
      Fail(key, "out of range", ToString(*integer), "at most 2^63 - 1");
    }
    ints.push_back(static_cast<int64_t>(integer->bits));
  }
  return ints;
}

std::optional<std::vector<float>> GgufMetadata::FindFloats(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array || !IsFloat(value->type)) FailType(key, *value, "an array of floats");
  std::vector<float> floats(value->count);
  for (uint64_t i = 0; i < value->count; ++i) floats[i] = FloatAt(*value, i);
  return floats;
}

uint64_t GgufMetadata::GetUint(std::string_view key, uint64_t min, uint64_t max) const {
  const auto value = FindUint(key, min, max);
  if (!value) Fail(key, "key is missing");
  return *value;
}

float GgufMetadata::GetFloat(std::string_view key) const {
  const auto value = FindFloat(key);
  if (!value) Fail(key, "key is missing");
  return *value;
}

std::string_view GgufMetadata::GetString(std::string_view key) const {
  const auto value = FindString(key);
  if (!value) Fail(key, "key is missing");
  return *value;
}

}  // namespace spark
