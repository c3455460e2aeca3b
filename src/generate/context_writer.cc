#include <fmt/format.h>

#include "generate/context_file.h"
#include "kv/store_parts.h"

namespace spark {
namespace {

using Entry = SafetensorsWriter::Entry;

// All segments of a cache, as the file describes and holds them.
struct Pieces {
  std::vector<int32_t> table;  // [n, 10]
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

// `n`: how many segments there are already.
void AddSegment(const Segment& segment, size_t layer, size_t head, size_t n, Pieces& pieces) {
  const TokenPositions& positions = segment.positions;
  const int32_t first = positions.known() ? static_cast<int32_t>(positions.first()) : -1;
  pieces.table.insert(pieces.table.end(), {static_cast<int32_t>(layer), static_cast<int32_t>(head),
                                           static_cast<int32_t>(segment.size()), first});
  if (!positions.all().empty()) {
    pieces.entries.push_back(
        {fmt::format("{}.positions", n), SafetensorsType::kI32, {positions.all().size()}});
    pieces.arrays.push_back(std::as_bytes(positions.all()));
  }
  AddStore(TakeApart(segment.keys), fmt::format("{}.keys", n), pieces);
  AddStore(TakeApart(segment.values), fmt::format("{}.values", n), pieces);
}

Pieces TakeApart(const KvCache& cache, std::vector<SegmentPtr>& tails) {
  Pieces pieces;
  size_t n = 0;
  for (size_t layer = 0; layer < cache.layers().size(); ++layer) {
    const std::vector<HeadCache>& heads = cache.layers()[layer].heads();
    for (size_t head = 0; head < heads.size(); ++head) {
      for (const SegmentPtr& segment : heads[head].context) {
        AddSegment(*segment, layer, head, n++, pieces);
      }
      if (heads[head].tail.size() == 0) continue;  // only a window's holds context
      Tail tail = heads[head].tail.Slice(0, heads[head].tail.size());
      tails.push_back(
          std::make_shared<const Segment>(Segment{std::move(tail.keys), std::move(tail.values)}));
      AddSegment(*tails.back(), layer, head, n++, pieces);
    }
  }
  return pieces;
}

}  // namespace

void WriteContext(const std::string& path, const Model& model, const SessionOptions& options,
                  std::span<const TokenId> ids, std::span<const float> hidden,
                  const KvCache& cache) {
  std::vector<SegmentPtr> tails;  // copies, as segments
  const Pieces pieces = TakeApart(cache, tails);
  std::vector<Entry> layout = {
      {"ids", SafetensorsType::kI32, {ids.size()}},
      {"hidden", SafetensorsType::kF32, {hidden.size()}},
      {"segments", SafetensorsType::kI32, {pieces.table.size() / 10, 10}},
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
