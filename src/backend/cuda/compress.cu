#include "backend/cuda/compress.cu.h"
#include "backend/cuda/compress.h"
#include "kv/channel_mask.h"
#include "kv/packed_row.h"
#include "kv/store_parts.h"
#include "spark/error.h"

namespace spark::cuda {
namespace {

size_t Aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

bool HasChannels(const CompressInput& input) {
  return input.head_dim > 0 && input.head_dim <= kMostChannels;
}
bool Prunes(const CompressInput& input) {
  return input.n_kept > 0 && input.n_kept < input.head_dim;
}
bool HasType(const CompressInput& input) {
  return input.type == DType::kF32 || input.type == DType::kF16 || input.type == DType::kBF16 ||
         input.type == DType::kQ8_0;
}

void Check(const CompressInput& input) {
  if (!HasChannels(input)) {
    throw Error("keys of more channels than the GPU compresses",
                {.found = std::to_string(input.head_dim),
                 .allowed = "1 to " + std::to_string(kMostChannels)});
  }
  if (!Prunes(input)) {
    throw Error("channels that a token keeps", {.found = std::to_string(input.n_kept)});
  }
  if (!HasType(input)) {
    throw Error("the GPU does not compress keys to this type",
                {.found = std::string(Name(input.type)), .allowed = "f32, f16, bf16, q8_0"});
  }
}

}  // namespace

PackedKeys::Layout::Layout(const CompressInput& input) {
  Check(input);
  const size_t n = input.n_tokens, plane = Aligned(n * MaskBytes(input.head_dim));
  values = 0;
  masks = Aligned(n * PackedRowBytes(input.type, input.n_kept));
  signs = masks + plane;
  scalars = signs + plane;
  fill = scalars + Aligned(n * (input.type == DType::kF32 ? 4 : 2));
  bytes = fill + Aligned(input.head_dim * sizeof(float));
}

PackedKeys::PackedKeys(const CompressInput& input, Stream stream)
    : n_tokens_(input.n_tokens),
      n_heads_(input.n_heads),
      head_dim_(input.head_dim),
      n_kept_(input.n_kept),
      type_(input.type),
      layout_(input),
      memory_(input.n_heads * layout_.bytes, "compressed keys") {
  if (input.n_tokens == 0 || input.n_heads == 0) return;
  const DeviceMemory weights(input.n_heads * input.head_dim * sizeof(float), "channel weights");
  const DeviceMemory scalars(input.n_heads * input.n_tokens * sizeof(float), "recovery scalars");
  const CompressArguments arguments{
      .keys = input.keys,
      .queries = input.queries,
      .token_stride = input.token_stride,
      .head_stride = input.head_stride,
      .n_tokens = static_cast<uint32_t>(input.n_tokens),
      .head_dim = static_cast<uint32_t>(input.head_dim),
      .n_kept = static_cast<uint32_t>(input.n_kept),
      .window = static_cast<uint32_t>(input.window),
      .group = static_cast<uint32_t>(input.group),
      .rms = input.rms,
      .type = input.type,
      .weights = weights.As<float>(),
      .scalars = scalars.As<float>(),
      .packed = memory_.As<uint8_t>(),
      .head_bytes = layout_.bytes,
      .values = layout_.values,
      .masks = layout_.masks,
      .signs = layout_.signs,
      .shares = layout_.scalars,
      .fill = layout_.fill,
      .row_bytes = static_cast<uint32_t>(PackedRowBytes(input.type, input.n_kept))};
  const auto heads = static_cast<unsigned>(input.n_heads);
  const auto blocks = [](size_t n, int each) {
    return static_cast<unsigned>((n + static_cast<size_t>(each) - 1) / static_cast<size_t>(each));
  };
  Launch(ChannelWeights, dim3(blocks(input.head_dim, kWeightThreads), heads), kWeightThreads, 0,
         stream, arguments);
  const dim3 grid(blocks(input.n_tokens, kCompressWarps), heads);
  const auto pack = input.head_dim <= 64    ? PackTokens<2>
                    : input.head_dim <= 128 ? PackTokens<4>
                                            : PackTokens<8>;
  Launch(pack, grid, kCompressWarps * kWarp, 0, stream, arguments);
  Launch(PackScalars, dim3(1, heads), kShareThreads, 0, stream, arguments);
}

StoreView PackedKeys::View(size_t head) const {
  const uint8_t* base = memory_.As<uint8_t>() + head * layout_.bytes;
  StoreView view;
  view.rows = base + layout_.values;
  view.type = type_;
  view.row_bytes = static_cast<uint32_t>(PackedRowBytes(type_, n_kept_));
  view.n_kept = static_cast<uint32_t>(n_kept_);
  view.masks = base + layout_.masks;
  view.mask_stride = static_cast<uint32_t>(MaskBytes(head_dim_));
  view.signs = base + layout_.signs;
  view.scalars = base + layout_.scalars;
  view.scalars_f32 = type_ == DType::kF32;
  view.fill = reinterpret_cast<const float*>(base + layout_.fill);
  return view;
}

std::vector<SparseStore> PackedKeys::ToHost(Staging& staging) const {
  std::vector<std::byte> copy(memory_.bytes());
  staging.Download(memory_.As<void>(), copy.size(), copy.data());
  const size_t plane = n_tokens_ * MaskBytes(head_dim_);
  std::vector<SparseStore> stores;
  for (size_t head = 0; head < n_heads_; ++head) {
    const auto array = [&](size_t at, size_t bytes) {
      return std::span<const std::byte>(copy).subspan(head * layout_.bytes + at, bytes);
    };
    const SparseArrays arrays{
        .values = array(layout_.values, n_tokens_ * PackedRowBytes(type_, n_kept_)),
        .masks = array(layout_.masks, plane),
        .signs = array(layout_.signs, plane),
        .scalars = array(layout_.scalars, n_tokens_ * (type_ == DType::kF32 ? 4 : 2)),
        .fill = array(layout_.fill, head_dim_ * sizeof(float)),
        .centre = {}};
    stores.push_back(SparseStore::FromArrays(arrays, type_, Recovery::kMean, head_dim_, n_tokens_));
  }
  return stores;
}

std::vector<SparseStore> PackKeys(const KvMirror& mirror, const LayerCache& layer,
                                  const KeyPruning& pruning, Stream stream, Staging& staging) {
  const std::optional<KvMirror::ExactKeys> exact = mirror.Exact(layer);
  if (!exact) return {};
  CompressInput input{.keys = exact->rows + pruning.first * layer.head_dim(),
                      .token_stride = layer.head_dim(),
                      .head_stride = exact->capacity * layer.head_dim(),
                      .n_tokens = pruning.n_tokens,
                      .n_heads = layer.heads().size(),
                      .head_dim = layer.head_dim(),
                      .window = pruning.window,
                      .group = pruning.group,
                      .rms = pruning.rms,
                      .n_kept = pruning.n_kept,
                      .type = pruning.type};
  if (!HasChannels(input) || !Prunes(input) || !HasType(input)) return {};
  const std::vector<float> on_host = pruning.queries();
  const size_t bytes = on_host.size() * sizeof(float);
  const DeviceMemory queries(bytes, "window queries");
  staging.Upload(on_host.data(), bytes, queries.As<void>());
  input.queries = queries.As<float>();
  return PackedKeys(input, stream).ToHost(staging);
}

}  // namespace spark::cuda
