#include <fmt/format.h>

#include "generate/context_file.h"
#include "kv/store_parts.h"

namespace spark {
namespace {

using Entry = SafetensorsWriter::Entry;

// All segments of a cache, as the file describes and holds them.
struct Pieces {
  std::vector<int32_t> table;  // [n, 9]
  std::vector<Entry> entries;
  std::vector<std::span<const std::byte>> arrays;  // of the entries
};

void AddStore(const StoreParts& parts, const std::string& name, Pieces& pieces) {
  pieces.table.insert(pieces.table.end(),
                      {static_cast<int32_t>(parts.form), static_cast<int32_t>(parts.type),
                       static_cast<int32_t>(parts.recovery)});
  for (const StoreParts::Array& array : parts.arrays) {
    pieces.entries.push_back(
        {fmt::format("{}.{}", name, array.name), SafetensorsType::kU8, {array.bytes.size()}});
    pieces.arrays.push_back(array.bytes);
  }
}

Pieces TakeApart(const KvCache& cache) {
  Pieces pieces;
  size_t n = 0;
  for (size_t layer = 0; layer < cache.layers().size(); ++layer) {
    const std::vector<HeadCache>& heads = cache.layers()[layer].heads();
    for (size_t head = 0; head < heads.size(); ++head) {
      for (const SegmentPtr& segment : heads[head].context) {
        for (const size_t number : {layer, head, segment->size()}) {
          pieces.table.push_back(static_cast<int32_t>(number));
        }
        AddStore(TakeApart(segment->keys), fmt::format("{}.keys", n), pieces);
        AddStore(TakeApart(segment->values), fmt::format("{}.values", n), pieces);
        ++n;
      }
    }
  }
  return pieces;
}

}  // namespace

void WriteContext(const std::string& path, const Model& model, const SessionOptions& options,
                  std::span<const TokenId> ids, std::span<const float> hidden,
                  const KvCache& cache) {
  const Pieces pieces = TakeApart(cache);
  std::vector<Entry> layout = {
      {"ids", SafetensorsType::kI32, {ids.size()}},
      {"hidden", SafetensorsType::kF32, {hidden.size()}},
      {"segments", SafetensorsType::kI32, {pieces.table.size() / 9, 9}},
  };
  layout.insert(layout.end(), pieces.entries.begin(), pieces.entries.end());
  layout.push_back({"checksum", SafetensorsType::kU8, {sizeof(uint64_t)}});

  SafetensorsWriter writer(path, layout,
                           {{"format", std::string(kContextFormat)},
                            {"version", std::string(kContextVersion)},
                            {"model", model.info().name},
                            {"fingerprint", model.fingerprint()},
                            {"plan", options.plan.text()},
                            {"cache_type_k", std::string(Name(options.cache_type_k))},
                            {"cache_type_v", std::string(Name(options.cache_type_v))},
                            {"tokens", std::to_string(ids.size())}});
  writer.Append(std::as_bytes(ids));
  writer.Append(std::as_bytes(hidden));
  writer.Append(std::as_bytes(std::span(pieces.table)));
  for (const std::span<const std::byte> array : pieces.arrays) writer.Append(array);
  const uint64_t checksum = writer.checksum();
  writer.Append(std::as_bytes(std::span(&checksum, 1)));
  writer.Finish();
}

}  // namespace spark
