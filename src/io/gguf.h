// GGUF, versions 2 and 3, little-endian: header, metadata, tensor table. Untrusted bytes go in; a
// table where every name, type, shape and range has been checked comes out. Tensor data stays where
// it is. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
//
//   u32 magic "GGUF", u32 version, u64 tensor count, u64 metadata count
//   metadata: string key, u32 type, value               string: u64 length, bytes
//   tensors:  string name, u32 dims, u64 shape[dims] (innermost first), u32 type, u64 offset
//   padding to `general.alignment` (default 32), then the data the offsets count from
#ifndef SPARK_IO_GGUF_H_
#define SPARK_IO_GGUF_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "io/gguf_metadata.h"
#include "io/tensor.h"

namespace spark {

class ByteReader;

// Move-only; views and pointers handed out stay valid when it is moved.
class GgufFile {
 public:
  // Both throw Error if the bytes are not a GGUF file that can be used.
  static GgufFile Open(const std::string& path, MapMode mode = MapMode::kMmap);
  // `bytes` outlive the object; `name` stands for the path in messages.
  static GgufFile FromMemory(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  uint32_t version() const { return version_; }
  uint64_t file_bytes() const { return bytes_.size(); }
  const GgufMetadata& metadata() const { return metadata_; }

  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const StoredTensor* Find(std::string_view name) const;  // null if there is none

 private:
  GgufFile() = default;
  void Parse();
  // Reads the table, except where the data is: that is returned, in bytes from where data begins.
  std::vector<uint64_t> ReadTensors(ByteReader& reader, uint64_t count);
  void PlaceTensors(ByteReader& reader, uint64_t alignment, const std::vector<uint64_t>& offsets);

  std::optional<MappedFile> mapped_;
  std::string name_;
  std::span<const std::byte> bytes_;
  uint32_t version_ = 0;
  GgufMetadata metadata_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string_view, size_t> index_;  // the names' bytes are in the file
};

}  // namespace spark

#endif  // SPARK_IO_GGUF_H_
