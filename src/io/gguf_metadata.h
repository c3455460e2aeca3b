// GGUF's key-value pairs: checked when the file is opened, decoded when they are asked for.
#ifndef SPARK_IO_GGUF_METADATA_H_
#define SPARK_IO_GGUF_METADATA_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spark {

class ByteReader;

// Value types by their numbers in the file (enum gguf_metadata_value_type).
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// One value, or an array of values of one type, still as bytes of the file.
struct GgufValue {
  GgufType type = GgufType::kU8;  // of the elements, for an array
  bool is_array = false;
  uint64_t count = 1;               // elements
  uint64_t offset = 0;              // of the first element, from the start of the file
  const std::byte* data = nullptr;  // the first element
};

// Keys and strings are views into the file, which outlives this table.
//
// Find… returns nothing if the key is absent, Get… throws; both throw Error, naming file, offset,
// key, what was found and what is allowed, if the value has another type or lies out of range.
class GgufMetadata {
 public:
  static constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

  bool Has(std::string_view key) const { return values_.contains(key); }

  // Any integer type will do, whatever its width and sign.
  std::optional<uint64_t> FindUint(std::string_view key, uint64_t min = 0,
                                   uint64_t max = kNoLimit) const;
  uint64_t GetUint(std::string_view key, uint64_t min = 0, uint64_t max = kNoLimit) const;

  // f32 or f64; never NaN or infinite.
  std::optional<float> FindFloat(std::string_view key) const;
  float GetFloat(std::string_view key) const;

  std::optional<bool> FindBool(std::string_view key) const;
  std::optional<std::string_view> FindString(std::string_view key) const;
  std::string_view GetString(std::string_view key) const;

  // Arrays. Integers of any type that fit int64_t; floats as they are stored.
  std::optional<uint64_t> FindCount(std::string_view key) const;  // how many elements
  std::optional<std::vector<std::string_view>> FindStrings(std::string_view key) const;
  std::optional<std::vector<int64_t>> FindInts(std::string_view key) const;
  std::optional<std::vector<float>> FindFloats(std::string_view key) const;

  const std::map<std::string_view, GgufValue>& values() const { return values_; }

  // Throws Error about the value of `key`, which need not be present.
  [[noreturn]] void Fail(std::string_view key, const std::string& message, std::string found = {},
                         std::string allowed = {}) const;

  // Used by GgufFile: reads and checks `count` pairs.
  static GgufMetadata Read(ByteReader& reader, uint64_t count);

 private:
  const GgufValue* Find(std::string_view key) const;
  [[noreturn]] void FailType(std::string_view key, const GgufValue& value,
                             std::string allowed) const;

  std::string file_;
  std::map<std::string_view, GgufValue> values_;
};

}  // namespace spark

#endif  // SPARK_IO_GGUF_METADATA_H_
