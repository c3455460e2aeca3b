#include "io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

#include "base/checked.h"
#include "base/half.h"
#include "io/byte_reader.h"
#include "io/json.h"
#include "spark/error.h"

namespace spark {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the same as the format's own library

struct ElementTraits {
  std::string_view name;
  uint64_t bytes;
};
constexpr ElementTraits kElements[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2},
                                       {"I32", 4}, {"I64", 8}, {"U8", 1}};

const ElementTraits& Traits(SafetensorsType type) { return kElements[static_cast<size_t>(type)]; }

// Turns one member of the header into a tensor. Offsets in errors are those of the header.
class EntryParser {
 public:
  EntryParser(const std::string& file, const std::string& tensor, std::span<const std::byte> data)
      : file_(file), tensor_(tensor), data_(data) {}

  SafetensorsTensor Parse(const Json& entry) const {
    if (!entry.is_object()) Fail("not an object", {}, entry.type_name());
    for (const auto& [key, value] : entry.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        Fail("unknown key", {}, Quoted(key), "dtype, shape, data_offsets");
      }
    }
    SafetensorsTensor tensor;
    tensor.name = tensor_;
    tensor.type = ParseType(Member(entry, "dtype"));
    tensor.shape = ParseUints(Member(entry, "shape"), "shape");
    const auto offsets = ParseUints(Member(entry, "data_offsets"), "data_offsets");
    Place(tensor, offsets);
    return tensor;
  }

 private:
  const Json& Member(const Json& entry, const char* key) const {
    const auto found = entry.find(key);
    if (found == entry.end()) Fail("key is missing", key);
    return *found;
  }

  SafetensorsType ParseType(const Json& value) const {
    if (!value.is_string()) Fail("wrong type", "dtype", value.type_name(), "a string");
    const auto& name = value.get_ref<const std::string&>();
    for (size_t i = 0; i < std::size(kElements); ++i) {
      if (kElements[i].name == name) return static_cast<SafetensorsType>(i);
    }
    Fail("element type is not supported", "dtype", Quoted(name), "F32, F16, BF16, I32, I64, U8");
  }

  std::vector<uint64_t> ParseUints(const Json& value, const char* key) const {
    constexpr size_t kMaxValues = 8;  // dimensions
    if (!value.is_array()) Fail("wrong type", key, value.type_name(), "an array of integers");
    if (value.size() > kMaxValues) {
      Fail("too many numbers", key, std::to_string(value.size()),
           fmt::format("at most {}", kMaxValues));
    }
    std::vector<uint64_t> numbers;
    for (const Json& number : value) {
      if (!number.is_number_unsigned()) {
        Fail("not an unsigned integer", key, Quoted(number.dump()), "0 to 2^64 - 1");
      }
      numbers.push_back(number.get<uint64_t>());
    }
    return numbers;
  }

  void Place(SafetensorsTensor& tensor, const std::vector<uint64_t>& offsets) const {
    if (offsets.size() != 2) {
      Fail("wrong length", "data_offsets", std::to_string(offsets.size()), "2: begin, end");
    }
    const auto [begin, end] = std::pair(offsets[0], offsets[1]);
    if (begin > end) {
      Fail("begin is behind end", "data_offsets", fmt::format("[{}, {}]", begin, end));
    }
    if (end > data_.size()) {
      Fail("tensor data goes past the end of the file", "data_offsets", std::to_string(end),
           fmt::format("at most {}", data_.size()));
    }
    std::optional<uint64_t> bytes = Traits(tensor.type).bytes;
    for (const uint64_t n : tensor.shape) bytes = bytes ? CheckedMul(*bytes, n) : bytes;
    if (!bytes) Fail("tensor size overflows 64 bits", "shape");
    if (*bytes != end - begin) {
      Fail("length does not match shape and dtype", "data_offsets",
           fmt::format("{} bytes", end - begin), std::to_string(*bytes));
    }
    tensor.data = data_.data() + begin;
    tensor.bytes = *bytes;
  }

  [[noreturn]] void Fail(const std::string& message, const char* key, std::string found = {},
                         std::string allowed = {}) const {
    throw Error(message,
                ErrorContext{.file = file_,
                             .field = fmt::format("tensor {}{}{}", Quoted(tensor_),
                                                  key == nullptr ? "" : ": ", key ? key : ""),
                             .found = std::move(found),
                             .allowed = std::move(allowed)});
  }

  const std::string& file_;
  const std::string& tensor_;
  std::span<const std::byte> data_;
};

void CheckMetadata(const ByteReader& reader, const Json& metadata) {
  constexpr const char* kField = "__metadata__";
  if (!metadata.is_object()) {
    reader.Fail("wrong type", 8, kField, metadata.type_name(), "an object of strings");
  }
  for (const auto& [key, value] : metadata.items()) {
    if (!value.is_string()) {
      reader.Fail("wrong type", 8, kField, fmt::format("{} for {}", value.type_name(), Quoted(key)),
                  "a string");
    }
  }
}

}  // namespace

std::string_view Name(SafetensorsType type) { return Traits(type).name; }
uint64_t ElementBytes(SafetensorsType type) { return Traits(type).bytes; }

SafetensorsFile SafetensorsFile::Open(const std::string& path, MapMode mode) {
  SafetensorsFile file;
  file.mapped_ = MappedFile::Open(path, mode);
  file.name_ = path;
  file.bytes_ = file.mapped_->bytes();
  file.Parse();
  return file;
}

SafetensorsFile SafetensorsFile::FromMemory(std::span<const std::byte> bytes, std::string name) {
  SafetensorsFile file;
  file.name_ = std::move(name);
  file.bytes_ = bytes;
  file.Parse();
  return file;
}

void SafetensorsFile::Parse() {
  ByteReader reader(bytes_, name_);
  const auto header_bytes = reader.Read<uint64_t>("header length");
  const uint64_t most = std::min(reader.remaining(), kMaxHeaderBytes);
  if (header_bytes > most) {
    reader.Fail(
        header_bytes > kMaxHeaderBytes ? "header is too long" : "header is longer than the file", 0,
        "header length", std::to_string(header_bytes), fmt::format("at most {}", most));
  }
  const std::byte* header = reader.Skip(header_bytes, "header");
  if (header_bytes == 0 || *header != std::byte{'{'}) {
    reader.Fail("not a safetensors file", 8, "header", {}, "JSON that begins with {");
  }
  const Json table =
      ParseJson({reinterpret_cast<const char*>(header), header_bytes}, name_, sizeof(uint64_t));
  const std::span<const std::byte> data = bytes_.subspan(reader.offset());
  for (const auto& [name, entry] : table.items()) {
    if (name == "__metadata__") {
      CheckMetadata(reader, entry);
      metadata_ = entry.get<SafetensorsMetadata>();
    } else {
      tensors_.emplace(name, EntryParser(name_, name, data).Parse(entry));
    }
  }
  CheckCoverage(reader.offset());
}

// The data is covered exactly: no overlap, no hole, nothing behind the last tensor.
void SafetensorsFile::CheckCoverage(uint64_t data_start) const {
  std::vector<const SafetensorsTensor*> order;
  for (const auto& [name, tensor] : tensors_) order.push_back(&tensor);
  const std::less<const std::byte*> before;
  std::sort(order.begin(), order.end(), [&](const auto* a, const auto* b) {
    return a->data == b->data ? a->bytes < b->bytes : before(a->data, b->data);
  });
  uint64_t covered = data_start;
  const auto fail = [&](const std::string& message, std::string field) {
    throw Error(message, ErrorContext{.file = name_, .offset = covered, .field = std::move(field)});
  };
  for (const SafetensorsTensor* tensor : order) {
    const auto begin = static_cast<uint64_t>(tensor->data - bytes_.data());
    const std::string field = "tensor " + Quoted(tensor->name);
    if (begin < covered) fail("tensor data overlaps that of another tensor", field);
    if (begin > covered) fail("hole in front of the tensor's data", field);
    covered = begin + tensor->bytes;
  }
  if (covered != bytes_.size()) {
    fail(fmt::format("{} bytes behind the last tensor", bytes_.size() - covered), "data");
  }
}

const SafetensorsTensor* SafetensorsFile::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const SafetensorsTensor& SafetensorsFile::Get(std::string_view name) const {
  const SafetensorsTensor* tensor = Find(name);
  if (tensor == nullptr) {
    throw Error("tensor is missing",
                ErrorContext{.file = name_, .field = "tensor " + Quoted(name)});
  }
  return *tensor;
}

StoredTensor SafetensorsFile::AsWeight(const SafetensorsTensor& tensor) const {
  DType type = DType::kF32;
  if (tensor.type == SafetensorsType::kF16) {
    type = DType::kF16;
  } else if (tensor.type == SafetensorsType::kBF16) {
    type = DType::kBF16;
  } else if (tensor.type != SafetensorsType::kF32) {
    throw Error("a weight cannot have this type",
                ErrorContext{.file = name_,
                             .field = "tensor " + Quoted(tensor.name),
                             .found = std::string(Name(tensor.type)),
                             .allowed = "F32, F16, BF16"});
  }
  return {tensor.name, type, tensor.shape, tensor.data, tensor.bytes};
}

std::vector<float> SafetensorsFile::ReadFloats(std::string_view name) const {
  const StoredTensor tensor = AsWeight(Get(name));
  std::vector<float> floats(tensor.elements());
  for (size_t i = 0; i < floats.size(); ++i) {
    switch (tensor.type) {
      case DType::kF16:
        floats[i] = ToFloat(static_cast<F16>(LoadAs<uint16_t>(tensor.data + 2 * i)));
        break;
      case DType::kBF16:
        floats[i] = ToFloat(static_cast<BF16>(LoadAs<uint16_t>(tensor.data + 2 * i)));
        break;
      default:
        floats[i] = LoadAs<float>(tensor.data + 4 * i);
    }
  }
  return floats;
}

std::vector<int64_t> SafetensorsFile::ReadInts(std::string_view name) const {
  const SafetensorsTensor& tensor = Get(name);
  const uint64_t width = ElementBytes(tensor.type);
  std::vector<int64_t> ints(tensor.bytes / width);
  for (size_t i = 0; i < ints.size(); ++i) {
    const std::byte* data = tensor.data + i * width;
    switch (tensor.type) {
      case SafetensorsType::kI32:
        ints[i] = LoadAs<int32_t>(data);
        break;
      case SafetensorsType::kI64:
        ints[i] = LoadAs<int64_t>(data);
        break;
      case SafetensorsType::kU8:
        ints[i] = LoadAs<uint8_t>(data);
        break;
      default:
        throw Error("not a tensor of integers",
                    ErrorContext{.file = name_,
                                 .field = "tensor " + Quoted(name),
                                 .found = std::string(Name(tensor.type)),
                                 .allowed = "I32, I64, U8"});
    }
  }
  return ints;
}

}  // namespace spark
