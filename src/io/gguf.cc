#include "io/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/checked.h"
#include "io/byte_reader.h"
#include "io/ggml_type.h"
#include "spark/error.h"

namespace spark {
namespace {

constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr uint64_t kDefaultAlignment = 32;
// The shortest entry: name length, 1 byte of name, dimension count, 1 dimension, type, offset.
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

void ReadMagic(ByteReader& reader) {
  if (reader.size() == 0) reader.Fail("file is empty", 0, "");
  const std::byte* magic = reader.Skip(4, "magic");
  if (std::memcmp(magic, "GGUF", 4) != 0) {
    std::string found;
    for (size_t i = 0; i < 4; ++i) {
      found += fmt::format("{}{:02x}", i == 0 ? "" : " ", std::to_integer<unsigned>(magic[i]));
    }
    reader.Fail("not a GGUF file", 0, "magic", found, "47 47 55 46");
  }
}

uint32_t ReadVersion(ByteReader& reader) {
  const uint64_t start = reader.offset();
  const auto version = reader.Read<uint32_t>("version");
  if (version == 2 || version == 3) return version;
  const uint32_t swapped =
      (version << 24) | ((version & 0xFF00u) << 8) | ((version >> 8) & 0xFF00u) | (version >> 24);
  if (swapped >= 1 && swapped <= 3) {
    reader.Fail("file is big-endian, which is not supported", start, "version",
                fmt::format("{:#010x}", version), "2 or 3, little-endian");
  }
  reader.Fail("unsupported version", start, "version", std::to_string(version), "2 or 3");
}

uint64_t ReadAlignment(const GgufMetadata& metadata) {
  const uint64_t alignment = metadata.FindUint(kAlignmentKey).value_or(kDefaultAlignment);
  if (!std::has_single_bit(alignment)) {
    metadata.Fail(kAlignmentKey, "bad alignment", std::to_string(alignment), "a power of two");
  }
  return alignment;
}

std::string_view ReadTensorName(ByteReader& reader) {
  const uint64_t start = reader.offset();
  const std::string_view name = reader.ReadString("tensor name");
  if (name.empty()) reader.Fail("name is empty", start, "tensor name");
  if (name.find('\0') != name.npos) {
    reader.Fail("name holds a zero byte", start, "tensor name", Quoted(name));
  }
  return name;
}

// Outermost first. The product fits int64_t, as in ggml.
std::vector<uint64_t> ReadShape(ByteReader& reader, const std::string& field) {
  constexpr uint32_t kMaxDims = 4;
  const uint64_t start = reader.offset();
  const auto dims = reader.Read<uint32_t>(field);
  if (dims < 1 || dims > kMaxDims) {
    reader.Fail("bad number of dimensions", start, field, std::to_string(dims), "1 to 4");
  }
  std::vector<uint64_t> shape(dims);
  uint64_t product = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    const uint64_t at = reader.offset();
    const auto n = reader.Read<uint64_t>(field);
    if (n == 0) reader.Fail("dimension is zero", at, field);
    const auto next = CheckedMul(product, n);
    if (!next || *next > uint64_t{INT64_MAX}) {
      reader.Fail("too many elements", at, field, fmt::format("{} × {}", product, n),
                  "at most 2^63 - 1");
    }
    product = *next;
    shape[dims - 1 - i] = n;
  }
  return shape;
}

DType ReadTensorType(ByteReader& reader, const std::string& field) {
  const uint64_t start = reader.offset();
  const auto number = reader.Read<uint32_t>(field);
  const auto type = FromGgmlType(number);
  if (!type) {
    reader.Fail("tensor type is not supported", start, field, GgmlTypeName(number),
                SupportedGgmlTypes());
  }
  return *type;
}

uint64_t TensorBytes(const ByteReader& reader, const StoredTensor& tensor, uint64_t entry,
                     const std::string& field) {
  const uint64_t row = tensor.shape.back();
  const auto row_bytes = RowBytes(tensor.type, row);
  if (row % Traits(tensor.type).block_elements != 0) {
    reader.Fail(fmt::format("row is not made of whole {} blocks", Name(tensor.type)), entry, field,
                fmt::format("{} elements", row),
                fmt::format("a multiple of {}", Traits(tensor.type).block_elements));
  }
  const auto bytes = row_bytes ? CheckedMul(*row_bytes, tensor.elements() / row) : std::nullopt;
  if (!bytes) {
    reader.Fail("tensor size overflows 64 bits", entry, field,
                fmt::format("{} elements of {}", tensor.elements(), Name(tensor.type)));
  }
  return *bytes;
}

}  // namespace

GgufFile GgufFile::OpenPart(const std::string& path, MapMode mode) {
  GgufFile file;
  file.name_ = path;
  file.Parse(file.mapped_.emplace_back(MappedFile::Open(path, mode)).bytes());
  return file;
}

const StoredTensor* GgufFile::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void GgufFile::Parse(std::span<const std::byte> bytes) {
  file_bytes_ = bytes.size();
  ByteReader reader(bytes, name_);
  ReadMagic(reader);
  version_ = ReadVersion(reader);
  const uint64_t count_offset = reader.offset();
  const auto tensor_count = reader.Read<uint64_t>("tensor count");
  const auto metadata_count = reader.Read<uint64_t>("metadata count");
  const uint64_t most = reader.remaining() / kMinTensorBytes;
  if (tensor_count > most) {
    reader.Fail("more tensors than the file can hold", count_offset, "tensor count",
                std::to_string(tensor_count), fmt::format("at most {}", most));
  }
  metadata_ = GgufMetadata::Read(reader, metadata_count);
  const uint64_t alignment = ReadAlignment(metadata_);
  const std::vector<uint64_t> offsets = ReadTensors(reader, tensor_count);
  if (tensor_count > 0) PlaceTensors(reader, alignment, offsets);
}

std::vector<uint64_t> GgufFile::ReadTensors(ByteReader& reader, uint64_t count) {
  std::vector<uint64_t> offsets;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t entry = reader.offset();
    const std::string_view name = ReadTensorName(reader);
    if (!index_.emplace(name, tensors_.size()).second) {
      reader.Fail("duplicate tensor", entry, "tensor name", Quoted(name));
    }
    const std::string field = "tensor " + Quoted(name);
    StoredTensor tensor;
    tensor.name = name;
    tensor.shape = ReadShape(reader, field);
    tensor.type = ReadTensorType(reader, field);
    tensor.bytes = TensorBytes(reader, tensor, entry, field);
    offsets.push_back(reader.Read<uint64_t>(field));
    tensors_.push_back(std::move(tensor));
  }
  return offsets;
}

void GgufFile::PlaceTensors(ByteReader& reader, uint64_t alignment,
                            const std::vector<uint64_t>& offsets) {
  reader.Skip((alignment - reader.offset() % alignment) % alignment, "padding before the data");
  const uint64_t data_start = reader.offset();
  const uint64_t data_bytes = reader.remaining();
  const std::byte* data = reader.Skip(0, "data");

  for (size_t i = 0; i < offsets.size(); ++i) {
    StoredTensor& tensor = tensors_[i];
    const std::string field = "tensor " + Quoted(tensor.name);
    if (offsets[i] % alignment != 0) {
      reader.Fail("tensor data is not aligned", data_start, field,
                  fmt::format("offset {} in the data", offsets[i]),
                  fmt::format("a multiple of {}", alignment));
    }
    const auto end = CheckedAdd(offsets[i], tensor.bytes);
    if (!end || *end > data_bytes) {
      reader.Fail("tensor data goes past the end of the file", data_start, field,
                  fmt::format("{} bytes at offset {} in the data", tensor.bytes, offsets[i]),
                  fmt::format("{} bytes of data", data_bytes));
    }
    tensor.data = data + offsets[i];
  }

  std::vector<size_t> order(offsets.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return offsets[a] < offsets[b]; });
  for (size_t i = 1; i < order.size(); ++i) {
    const size_t before = order[i - 1];
    const size_t after = order[i];
    if (offsets[before] + tensors_[before].bytes > offsets[after]) {
      reader.Fail(fmt::format("tensor data overlaps that of {}", Quoted(tensors_[before].name)),
                  data_start + offsets[after], "tensor " + Quoted(tensors_[after].name));
    }
  }
}

}  // namespace spark
