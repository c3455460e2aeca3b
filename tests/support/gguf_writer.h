// Makes GGUF files in memory for tests; any field can be made wrong.
#ifndef SPARK_TESTS_SUPPORT_GGUF_WRITER_H_
#define SPARK_TESTS_SUPPORT_GGUF_WRITER_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "io/ggml_type.h"
#include "io/gguf_metadata.h"

namespace spark::test {

using Bytes = std::vector<std::byte>;

inline void PutBytes(Bytes& out, std::span<const std::byte> bytes) {
  const size_t at = out.size();
  out.resize(at + bytes.size());
  std::copy(bytes.begin(), bytes.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
}

template <typename T>
void Put(Bytes& out, const T& value) {
  PutBytes(out, std::as_bytes(std::span(&value, 1)));
}

inline void PutString(Bytes& out, std::string_view text) {
  Put(out, uint64_t{text.size()});
  PutBytes(out, std::as_bytes(std::span(text)));
}

class GgufWriter {
 public:
  struct Pair {
    std::string key;
    uint32_t type;
    Bytes value;
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> shape;  // outermost first, as in StoredTensor
    uint32_t type;
    Bytes data;
    std::optional<uint64_t> offset;  // instead of the next free place
    std::optional<uint32_t> dims;    // instead of shape.size()
  };

  // What a test may overwrite before ToBytes().
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> tensor_count, metadata_count;
  uint64_t alignment = 32;  // used for the layout; the key is not added by itself
  std::vector<Pair> pairs;
  std::vector<Tensor> tensors;

  void Remove(std::string_view key) {
    std::erase_if(pairs, [&](const Pair& pair) { return pair.key == key; });
  }
  void RemoveTensor(std::string_view name) {
    std::erase_if(tensors, [&](const Tensor& tensor) { return tensor.name == name; });
  }
  Tensor& At(std::string_view name) {
    for (Tensor& tensor : tensors) {
      if (tensor.name == name) return tensor;
    }
    throw std::out_of_range(std::string(name));
  }

  // Adds a pair, in place of an earlier one of that key.
  void Set(std::string_view key, GgufType type, Bytes value) {
    Remove(key);
    pairs.push_back({std::string(key), static_cast<uint32_t>(type), std::move(value)});
  }
  template <typename T>
  void SetScalar(std::string_view key, GgufType type, T value) {
    Bytes bytes;
    Put(bytes, value);
    Set(key, type, std::move(bytes));
  }
  void SetU32(std::string_view key, uint32_t value) { SetScalar(key, GgufType::kU32, value); }
  void SetI32(std::string_view key, int32_t value) { SetScalar(key, GgufType::kI32, value); }
  void SetF32(std::string_view key, float value) { SetScalar(key, GgufType::kF32, value); }
  void SetBool(std::string_view key, bool value) {
    SetScalar(key, GgufType::kBool, static_cast<uint8_t>(value));
  }
  void SetString(std::string_view key, std::string_view value) {
    Bytes bytes;
    PutString(bytes, value);
    Set(key, GgufType::kString, std::move(bytes));
  }
  template <typename T>
  void SetArray(std::string_view key, GgufType element, std::span<const T> values) {
    Bytes bytes;
    Put(bytes, static_cast<uint32_t>(element));
    Put(bytes, uint64_t{values.size()});
    for (const T& value : values) {
      if constexpr (std::is_arithmetic_v<T>) {
        Put(bytes, value);
      } else {
        PutString(bytes, value);
      }
    }
    Set(key, GgufType::kArray, std::move(bytes));
  }
  void SetStrings(std::string_view key, const std::vector<std::string>& values) {
    SetArray<std::string>(key, GgufType::kString, values);
  }
  void SetFloats(std::string_view key, const std::vector<float>& values) {
    SetArray<float>(key, GgufType::kF32, values);
  }
  void SetInts(std::string_view key, const std::vector<int32_t>& values) {
    SetArray<int32_t>(key, GgufType::kI32, values);
  }

  Tensor& Add(std::string name, DType type, std::vector<uint64_t> shape, Bytes data) {
    return tensors.emplace_back(
        Tensor{std::move(name), std::move(shape), ToGgmlType(type), std::move(data), {}, {}});
  }
  // Zeros of the right size.
  Tensor& AddZeros(std::string name, DType type, std::vector<uint64_t> shape) {
    const uint64_t rows =
        std::accumulate(shape.begin(), shape.end() - 1, uint64_t{1}, std::multiplies<>());
    Bytes data(rows * RowBytes(type, shape.back()).value());
    return Add(std::move(name), type, std::move(shape), std::move(data));
  }
  Tensor& AddFloats(std::string name, std::vector<uint64_t> shape, std::span<const float> values) {
    const auto bytes = std::as_bytes(values);
    return Add(std::move(name), DType::kF32, std::move(shape), Bytes(bytes.begin(), bytes.end()));
  }

  Bytes ToBytes() const {
    Bytes out;
    for (const char c : magic) Put(out, c);
    Put(out, version);
    Put(out, tensor_count.value_or(tensors.size()));
    Put(out, metadata_count.value_or(pairs.size()));
    for (const Pair& pair : pairs) {
      PutString(out, pair.key);
      Put(out, pair.type);
      PutBytes(out, pair.value);
    }
    uint64_t next = 0;
    for (const Tensor& tensor : tensors) {
      PutString(out, tensor.name);
      Put(out, tensor.dims.value_or(static_cast<uint32_t>(tensor.shape.size())));
      for (size_t i = tensor.shape.size(); i-- > 0;) Put(out, tensor.shape[i]);
      Put(out, tensor.type);
      Put(out, tensor.offset.value_or(next));
      next = Aligned(next + tensor.data.size());
    }
    for (const Tensor& tensor : tensors) {
      out.resize(Aligned(out.size()));
      PutBytes(out, tensor.data);
    }
    return out;
  }

 private:
  uint64_t Aligned(uint64_t n) const { return (n + alignment - 1) / alignment * alignment; }
};

}  // namespace spark::test

#endif  // SPARK_TESTS_SUPPORT_GGUF_WRITER_H_
