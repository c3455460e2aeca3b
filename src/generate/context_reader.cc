#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/hash.h"
#include "generate/context_file.h"
#include "kv/packed_row.h"
#include "kv/store_parts.h"
#include "model/config.h"
#include "spark/error.h"

namespace spark {
namespace {

constexpr size_t kColumns = 10;  // of `segments`

[[noreturn]] void Fail(const SafetensorsFile& file, const std::string& message, std::string field,
                       std::string found = {}, std::string allowed = {}) {
  throw Error(message, {.file = file.name(),
                        .field = std::move(field),
                        .found = std::move(found),
                        .allowed = std::move(allowed)});
}

const std::string& Metadata(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) Fail(file, "missing", "__metadata__: " + key);
  return found->second;
}

// Before anything else is believed.
void CheckFormat(const SafetensorsFile& file) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kContextFormat) {
    Fail(file, "not a saved context", "__metadata__: format",
         format == file.metadata().end() ? "none" : format->second, std::string(kContextFormat));
  }
  const std::string& version = Metadata(file, "version");
  if (version != kContextVersion && std::ranges::count(kOlderContextVersions, version) == 0) {
    Fail(file, "another version of the format", "__metadata__: version", version,
         fmt::format("{} or {}", fmt::join(kOlderContextVersions, ", "), kContextVersion));
  }
}

void CheckChecksum(const SafetensorsFile& file) {
  const SafetensorsTensor& tensor = file.Get("checksum");
  const std::span<const std::byte> bytes = file.bytes();
  uint64_t stored = 0;
  if (tensor.bytes != sizeof(stored) || tensor.data + tensor.bytes != bytes.data() + bytes.size()) {
    Fail(file, "not the last 8 bytes of the file", "checksum");
  }
  std::memcpy(&stored, tensor.data, sizeof(stored));
  Fnv1a hash;
  hash.Add(bytes.first(bytes.size() - sizeof(stored)));
  if (hash.value() != stored) {
    Fail(file, "the file is damaged", "checksum", fmt::format("{:016x}", hash.value()),
         fmt::format("{:016x}", stored));
  }
}

CacheType ReadCacheType(const SafetensorsFile& file, const std::string& key) {
  try {
    return ParseCacheType(Metadata(file, key), key);
  } catch (const UsageError& error) {
    Fail(file, error.what(), "__metadata__: " + key);
  }
}

CompressionPlan ReadPlan(const SafetensorsFile& file) {
  try {
    return CompressionPlan::Parse(Metadata(file, "plan"));
  } catch (const UsageError& error) {
    Fail(file, error.what(), "__metadata__: plan");
  }
}

const SafetensorsTensor& Typed(const SafetensorsFile& file, std::string_view name,
                               SafetensorsType type, size_t dimensions) {
  const SafetensorsTensor& tensor = file.Get(name);
  if (tensor.type != type || tensor.shape.size() != dimensions) {
    Fail(file, "wrong type or shape", fmt::format("tensor {}", name),
         fmt::format("{} of {} dimensions", Name(tensor.type), tensor.shape.size()),
         fmt::format("{} of {}", Name(type), dimensions));
  }
  return tensor;
}

template <typename T>
std::vector<T> ReadVector(const SafetensorsTensor& tensor) {
  std::vector<T> values(tensor.bytes / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.data, values.size() * sizeof(T));
  return values;
}

// Rows of the table of segments, each number checked when it is taken.
class SegmentReader {
 public:
  SegmentReader(const SavedContext::Impl& saved, const ModelConfig& config)
      : file_(saved.file),
        config_(config),
        n_tokens_(saved.ids.size()),
        segments_(config.n_layers, std::vector<std::vector<SegmentPtr>>(config.n_kv_heads)) {}

  SavedSegments Read() {
    const SafetensorsTensor& table = Typed(file_, "segments", SafetensorsType::kI32, 2);
    if (table.shape[1] != kColumns) {
      Fail(file_, "wrong shape", "tensor segments", std::to_string(table.shape[1]),
           std::to_string(kColumns));
    }
    numbers_ = ReadVector<int32_t>(table);
    for (row_ = 0; row_ < table.shape[0]; ++row_) {
      column_ = 0;
      ReadRow();
    }
    if (arrays_ + 4 != file_.tensors().size()) {
      Fail(file_, "tensors that belong to no segment", "tensors",
           std::to_string(file_.tensors().size()), std::to_string(arrays_ + 4));
    }
    return std::move(segments_);
  }

 private:
  void ReadRow() {
    const size_t layer = Take("layer", 0, config_.n_layers - 1);
    const size_t head = Take("head", 0, config_.n_kv_heads - 1);
    std::vector<SegmentPtr>& segments = segments_[layer][head];
    size_t before = 0;
    for (const SegmentPtr& segment : segments) before += segment->size();
    if (before == n_tokens_) Fail(file_, "a head has more tokens than the context", Where("head"));
    const size_t tokens = Take("tokens", 1, n_tokens_ - before);
    TokenPositions positions = TakePositions(tokens);
    const StoreParts keys = TakeStore("keys", StoreForm::kLanes);
    const StoreParts values = TakeStore("values", StoreForm::kSparse);
    const auto make = [&](const char* what, const auto& maker, const StoreParts& parts) {
      try {
        return maker(parts, config_.head_dim, tokens);
      } catch (const Error& error) {
        Fail(file_, error.what(), Where(what));
      }
    };
    segments.push_back(std::make_shared<const Segment>(
        Segment{make("keys", MakeKeyStore, keys), make("values", MakeValueStore, values), 0,
                std::move(positions)}));
  }

  TokenPositions TakePositions(size_t tokens) {
    const int64_t first = numbers_[row_ * kColumns + column_++];
    const auto last = static_cast<int64_t>(n_tokens_) - 1;
    if (first < -1 || first > last) {
      Fail(file_, "out of range", Where("first position"), std::to_string(first),
           fmt::format("-1 to {}", last));
    }
    if (first < 0) return {};
    std::vector<uint32_t> positions(tokens);
    std::iota(positions.begin(), positions.end(), static_cast<uint32_t>(first));
    const std::string name = fmt::format("{}.positions", row_);
    if (file_.Find(name) != nullptr) {
      positions = ReadVector<uint32_t>(Typed(file_, name, SafetensorsType::kI32, 1));
      ++arrays_;
    }
    const auto not_after = [](uint32_t a, uint32_t b) { return b <= a; };
    if (positions.size() != tokens || static_cast<int64_t>(positions.back()) > last ||
        std::adjacent_find(positions.begin(), positions.end(), not_after) != positions.end()) {
      Fail(file_, "not the ascending positions of its tokens", Where("positions"));
    }
    return TokenPositions(std::move(positions));
  }

  StoreParts TakeStore(const std::string& what, StoreForm last_form) {
    StoreParts parts;
    parts.form = static_cast<StoreForm>(Take(what + " form", 0, static_cast<size_t>(last_form)));
    parts.type = static_cast<DType>(Take(what + " type", 0, static_cast<size_t>(DType::kQ4_0)));
    parts.recovery = static_cast<Recovery>(
        Take(what + " recovery", 0, static_cast<size_t>(Recovery::kConstant)));
    for (const std::string_view array : ArrayNames(parts.form)) {
      const std::string name = fmt::format("{}.{}.{}", row_, what, array);
      if (file_.Find(name) == nullptr) continue;  // empty: the store says whether it may be
      const SafetensorsTensor& tensor = Typed(file_, name, SafetensorsType::kU8, 1);
      parts.arrays.push_back({array, {tensor.data, tensor.bytes}});
      ++arrays_;
    }
    return parts;
  }

  size_t Take(const std::string& what, size_t least, size_t most) {
    const int64_t number = numbers_[row_ * kColumns + column_++];
    if (number < static_cast<int64_t>(least) || number > static_cast<int64_t>(most)) {
      Fail(file_, "out of range", Where(what), std::to_string(number),
           fmt::format("{} to {}", least, most));
    }
    return static_cast<size_t>(number);
  }

  std::string Where(const std::string& what) const {
    return fmt::format("segment {}: {}", row_, what);
  }

  const SafetensorsFile& file_;
  const ModelConfig& config_;
  size_t n_tokens_;
  SavedSegments segments_;
  std::vector<int32_t> numbers_;
  size_t row_ = 0;
  size_t column_ = 0;
  size_t arrays_ = 0;
};

}  // namespace

SavedContext SavedContext::Open(const std::string& path) {
  auto impl = std::make_unique<Impl>(Impl{.file = SafetensorsFile::Open(path),
                                          .fingerprint = {},
                                          .model_name = {},
                                          .plan = {},
                                          .ids = {},
                                          .hidden = {}});
  const SafetensorsFile& file = impl->file;
  CheckFormat(file);
  CheckChecksum(file);
  impl->fingerprint = Metadata(file, "fingerprint");
  impl->model_name = Metadata(file, "model");
  impl->plan = ReadPlan(file);
  impl->cache_type_k = ReadCacheType(file, "cache_type_k");
  impl->cache_type_v = ReadCacheType(file, "cache_type_v");
  impl->ids = ReadVector<TokenId>(Typed(file, "ids", SafetensorsType::kI32, 1));
  impl->hidden = ReadVector<float>(Typed(file, "hidden", SafetensorsType::kF32, 1));
  const std::string& tokens = Metadata(file, "tokens");
  if (impl->ids.empty() || tokens != std::to_string(impl->ids.size())) {
    Fail(file, "wrong number of tokens", "tensor ids", std::to_string(impl->ids.size()), tokens);
  }
  const auto finite = [](float x) { return std::isfinite(x); };
  if (!std::all_of(impl->hidden.begin(), impl->hidden.end(), finite)) {
    Fail(file, "a number is not finite", "tensor hidden");
  }
  return SavedContext(std::move(impl));
}

SavedContext::SavedContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SavedContext::SavedContext(SavedContext&&) noexcept = default;
SavedContext& SavedContext::operator=(SavedContext&&) noexcept = default;
SavedContext::~SavedContext() = default;

const std::string& SavedContext::model_fingerprint() const { return impl_->fingerprint; }
const CompressionPlan& SavedContext::plan() const { return impl_->plan; }
CacheType SavedContext::cache_type_k() const { return impl_->cache_type_k; }
CacheType SavedContext::cache_type_v() const { return impl_->cache_type_v; }
const std::vector<TokenId>& SavedContext::ids() const { return impl_->ids; }

void CheckMatches(const SavedContext::Impl& saved, const Model& model,
                  const SessionOptions& options) {
  const auto same = [&](const std::string& what, std::string_view found, std::string_view allowed) {
    if (found == allowed) return;
    Fail(saved.file, "the context was saved with another " + what, what, std::string(found),
         std::string(allowed));
  };
  if (saved.fingerprint != model.fingerprint()) {
    Fail(saved.file, "the context was saved by another model", "fingerprint",
         fmt::format("{} ({})", saved.fingerprint, saved.model_name),
         fmt::format("{} ({})", model.fingerprint(), model.info().name));
  }
  same("plan", saved.plan.text(), options.plan.text());
  same("cache type of keys", Name(saved.cache_type_k), Name(options.cache_type_k));
  same("cache type of values", Name(saved.cache_type_v), Name(options.cache_type_v));
  const size_t width = model.config().hidden_size;
  if (saved.hidden.size() != width) {
    Fail(saved.file, "wrong length", "tensor hidden", std::to_string(saved.hidden.size()),
         std::to_string(width));
  }
}

SavedSegments ReadSegments(const SavedContext::Impl& saved, const ModelConfig& config) {
  return SegmentReader(saved, config).Read();
}

}  // namespace spark
