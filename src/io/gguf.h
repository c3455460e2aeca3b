// GGUF, versions 2 and 3, little-endian: header, metadata, tensor table. Untrusted bytes go in; a
// table where every name, type, shape and range has been checked comes out. Tensor data stays where
// it is. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
//
//   u32 magic "GGUF", u32 version, u64 tensor count, u64 metadata count
//   metadata: string key, u32 type, value               string: u64 length, bytes
//   tensors:  string name, u32 dims, u64 shape[dims] (innermost first), u32 type, u64 offset
//   padding to `general.alignment` (default 32), then the data the offsets count from
//
// A large model may be split into NAME-00001-of-0000N.gguf, NAME-00002-of-0000N.gguf, …: each a
// GGUF file with the keys split.no (from 0), split.count and split.tensors.count (of all parts).
// The other metadata are those of the first, which may hold no tensors at all.
#ifndef SPARK_IO_GGUF_H_
#define SPARK_IO_GGUF_H_

#include <cstddef>
#include <cstdint>
#include <map>
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
  // Opens a file, or all parts of a split one when `path` is any of them. Throws Error if the bytes
  // are not a GGUF file that can be used, if a part is missing (it is named), and if the parts are
  // not those of one file.
  static GgufFile Open(const std::string& path, MapMode mode = MapMode::kMmap);
  // `bytes` outlive the object; `name` stands for the path in messages. Throws Error like Open(),
  // and for a part of a split file.
  static GgufFile FromMemory(std::span<const std::byte> bytes, std::string name);

  // All but file_bytes() and tensors are those of the first part.
  const std::string& name() const { return name_; }
  uint32_t version() const { return version_; }
  uint64_t file_bytes() const { return file_bytes_; }
  const GgufMetadata& metadata() const { return metadata_; }

  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const StoredTensor* Find(std::string_view name) const;  // null if there is none

 private:
  GgufFile() = default;
  static GgufFile OpenPart(const std::string& path, MapMode mode);
  void Join(GgufFile part);
  void Parse(std::span<const std::byte> bytes);
  // Reads the table, except where the data is: that is returned, in bytes from where data begins.
  std::vector<uint64_t> ReadTensors(ByteReader& reader, uint64_t count);
  void PlaceTensors(ByteReader& reader, uint64_t alignment, const std::vector<uint64_t>& offsets);

  std::vector<MappedFile> mapped_;
  std::string name_;
  uint64_t file_bytes_ = 0;  // of all parts
  uint32_t version_ = 0;
  GgufMetadata metadata_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string_view, size_t> index_;  // the names' bytes are in the files
};

}  // namespace spark

#endif  // SPARK_IO_GGUF_H_
