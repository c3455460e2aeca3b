// Safetensors: a JSON table and raw little-endian tensors. Reading checks everything the format
// promises; writing takes data as it comes and leaves either the whole file or what was there.
// Format: https://github.com/huggingface/safetensors#format
//
//   u64 header bytes; header: {"__metadata__": {"KEY": "TEXT", …}, "NAME": {"dtype", "shape",
//   "data_offsets": [begin, end]}, …}; data
//   offsets count from the end of the header; together the tensors cover the data without holes.
#ifndef SPARK_IO_SAFETENSORS_H_
#define SPARK_IO_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "io/tensor.h"

namespace spark {

// The element types read here. Integers occur in test fixtures and `--logits-out`, not in weights.
enum class SafetensorsType : uint8_t { kF32, kF16, kBF16, kI32, kI64, kU8 };

std::string_view Name(SafetensorsType type);  // as in the file: "F32", …
uint64_t ElementBytes(SafetensorsType type);

struct SafetensorsTensor {
  std::string name;
  SafetensorsType type = SafetensorsType::kF32;
  std::vector<uint64_t> shape;  // outermost first; empty for a scalar
  const std::byte* data = nullptr;
  uint64_t bytes = 0;
};

using SafetensorsMetadata = std::map<std::string, std::string, std::less<>>;

// Move-only; pointers handed out stay valid when it is moved.
class SafetensorsFile {
 public:
  // Both throw Error if the bytes are not a safetensors file that can be used.
  static SafetensorsFile Open(const std::string& path, MapMode mode = MapMode::kMmap);
  // `bytes` outlive the object; `name` stands for the path in messages.
  static SafetensorsFile FromMemory(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  uint64_t file_bytes() const { return bytes_.size(); }
  std::span<const std::byte> bytes() const { return bytes_; }  // the whole file

  const SafetensorsMetadata& metadata() const { return metadata_; }

  const std::map<std::string, SafetensorsTensor, std::less<>>& tensors() const { return tensors_; }
  const SafetensorsTensor* Find(std::string_view name) const;  // null if there is none
  const SafetensorsTensor& Get(std::string_view name) const;   // throws Error if there is none

  // As a weight; throws Error for integers.
  StoredTensor AsWeight(const SafetensorsTensor& tensor) const;

  // Copies, converted. Throw Error if there is no such tensor, or for the other kind of number.
  std::vector<float> ReadFloats(std::string_view name) const;
  std::vector<int64_t> ReadInts(std::string_view name) const;

 private:
  SafetensorsFile() = default;
  void Parse();
  void CheckCoverage(uint64_t data_start) const;

  std::optional<MappedFile> mapped_;
  std::string name_;
  std::span<const std::byte> bytes_;
  SafetensorsMetadata metadata_;
  std::map<std::string, SafetensorsTensor, std::less<>> tensors_;
};

// Writes tensors in the order of `layout`; their data may come in pieces of any size:
//
//   SafetensorsWriter writer(path, {{"ids", kI32, {n}}, {"logits", kF32, {n, vocab}}});
//   writer.Append(std::as_bytes(ids));
//   for (…) writer.Append(std::as_bytes(row));
//   writer.Finish();
//
// Writes a new file beside `path` and renames it at the end, so an interrupted or failed run leaves
// an existing file alone; if `path` is something else than a file (/dev/full, a pipe), writes there
// directly. Throws Error, naming `path` and the system's reason, when a write fails.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    SafetensorsType type = SafetensorsType::kF32;
    std::vector<uint64_t> shape;
  };

  SafetensorsWriter(const std::string& path, const std::vector<Entry>& layout,
                    const SafetensorsMetadata& metadata = {});
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;
  // Without Finish(): removes what was written.
  ~SafetensorsWriter() = default;

  void Append(std::span<const std::byte> data);
  // A checksum of all that the file holds so far, its header included.
  uint64_t checksum() const { return checksum_.value(); }
  void Finish();  // throws Error if not all data was given

 private:
  // Removes the file at the end, unless it was renamed. Empty when writing directly.
  struct Temporary {
    std::string path;
    Temporary() = default;
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
    ~Temporary();
  };
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void Write(std::span<const std::byte> data);
  [[noreturn]] void Fail(const std::string& message) const;

  std::string path_;    // as given, for messages
  std::string target_;  // with links followed
  Temporary temporary_;
  std::unique_ptr<std::FILE, Close> file_;
  uint64_t expected_ = 0;  // bytes of data still to come
  Fnv1a checksum_;
};

}  // namespace spark

#endif  // SPARK_IO_SAFETENSORS_H_
