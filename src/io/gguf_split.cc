// How a path becomes a GgufFile: one file, or the parts that make one up.
#include <fmt/format.h>

#include <filesystem>
#include <iterator>
#include <optional>
#include <utility>

#include "io/byte_reader.h"
#include "io/gguf.h"
#include "spark/error.h"

namespace spark {
namespace {

constexpr std::string_view kNumber = "split.no";
constexpr std::string_view kCount = "split.count";
constexpr std::string_view kTensors = "split.tensors.count";
constexpr uint64_t kMaxParts = 65535;  // the key has 16 bits

// "models/NAME-00002-of-00003.gguf" is part 2 of 3 with the prefix "models/NAME".
struct PartName {
  std::string prefix;
  uint64_t number = 0;  // from 1
  uint64_t count = 0;

  std::string Path(uint64_t part) const {
    return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, part, count);
  }
};

std::optional<PartName> ParsePartName(const std::string& path) {
  constexpr std::string_view kShape = "-00000-of-00000.gguf";  // 0 stands for any digit
  if (path.size() <= kShape.size()) return std::nullopt;
  const std::string_view end = std::string_view(path).substr(path.size() - kShape.size());
  PartName name{.prefix = path.substr(0, path.size() - kShape.size())};
  for (size_t i = 0; i < kShape.size(); ++i) {
    if (kShape[i] != '0') {
      if (end[i] != kShape[i]) return std::nullopt;
      continue;
    }
    if (end[i] < '0' || end[i] > '9') return std::nullopt;
    uint64_t& number = i < kShape.size() / 2 ? name.number : name.count;
    number = 10 * number + static_cast<uint64_t>(end[i] - '0');
  }
  return name;
}

uint64_t CountParts(const GgufMetadata& metadata) {
  return metadata.FindUint(kCount, 0, kMaxParts).value_or(1);
}

// A part must say of itself what its name says.
void CheckPart(const GgufMetadata& metadata, const PartName& name, uint64_t number) {
  const auto check = [&](std::string_view key, uint64_t expected) {
    if (const uint64_t found = metadata.GetUint(key); found != expected) {
      metadata.Fail(key, "does not fit the name of the file", std::to_string(found),
                    std::to_string(expected));
    }
  };
  check(kCount, name.count);
  check(kNumber, number - 1);
}

bool Exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

GgufFile GgufFile::Open(const std::string& path, MapMode mode) {
  GgufFile opened = OpenPart(path, mode);
  if (CountParts(opened.metadata_) <= 1) return opened;

  const auto name = ParsePartName(path);
  if (!name) {
    opened.metadata_.Fail(kCount, "this is a part of a split file, and has not the name of one",
                          std::filesystem::path(path).filename().string(),
                          "NAME-00001-of-00002.gguf, NAME-00002-of-00002.gguf, …");
  }
  CheckPart(opened.metadata_, *name, name->number);
  std::optional<GgufFile> whole;
  for (uint64_t i = 1; i <= name->count; ++i) {
    const std::string part_path = name->Path(i);
    if (i != name->number && !Exists(part_path)) {
      throw Error("part of a split file is missing", ErrorContext{.file = part_path});
    }
    GgufFile part = i == name->number ? std::move(opened) : OpenPart(part_path, mode);
    CheckPart(part.metadata_, *name, i);
    if (whole) {
      whole->Join(std::move(part));
    } else {
      whole = std::move(part);
    }
  }
  const uint64_t expected = whole->metadata_.GetUint(kTensors);
  if (whole->tensors_.size() != expected) {
    whole->metadata_.Fail(kTensors, "does not match the parts",
                          fmt::format("{}, and {} in the parts", expected, whole->tensors_.size()));
  }
  return std::move(*whole);
}

GgufFile GgufFile::FromMemory(std::span<const std::byte> bytes, std::string name) {
  GgufFile file;
  file.name_ = std::move(name);
  file.Parse(bytes);
  if (CountParts(file.metadata_) > 1) {
    file.metadata_.Fail(kCount, "part of a split file: a model in memory must be whole");
  }
  return file;
}

// Adds the tensors of the next part.
void GgufFile::Join(GgufFile part) {
  const uint64_t total = metadata_.GetUint(kTensors);
  if (const uint64_t found = part.metadata_.GetUint(kTensors); found != total) {
    part.metadata_.Fail(kTensors, "the parts are not of one file: the first has another number",
                        std::to_string(found), std::to_string(total));
  }
  for (const auto& [name, i] : part.index_) {
    if (!index_.emplace(name, tensors_.size() + i).second) {
      throw Error("tensor is in an earlier part too",
                  ErrorContext{.file = part.name_, .field = "tensor " + Quoted(name)});
    }
  }
  tensors_.insert(tensors_.end(), std::make_move_iterator(part.tensors_.begin()),
                  std::make_move_iterator(part.tensors_.end()));
  mapped_.insert(mapped_.end(), std::make_move_iterator(part.mapped_.begin()),
                 std::make_move_iterator(part.mapped_.end()));
  file_bytes_ += part.file_bytes_;
}

}  // namespace spark
