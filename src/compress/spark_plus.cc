#include "compress/spark_plus.h"

#include <algorithm>

namespace spark {
namespace {

// Sinks cost a dense key each; one in 128 tokens is what the budget can bear.
constexpr size_t kMostSinks = 4;
constexpr size_t kTokensPerSink = 128;

// A mean of fewer tokens is not worth its bytes; and centred segments do not merge (kv/merge.h),
// as those of passes over generated tokens should.
constexpr size_t kLeastCentred = kMostSinks * kTokensPerSink;

// A token's kept values, mask, signs and 16-bit scalar.
size_t TokenBytes(DType type, size_t n_kept, size_t dim) {
  return PackedRowBytes(type, n_kept) + 2 * MaskBytes(dim) + 2;
}

// The most channels that `n` tokens can keep in `type` within `bytes`; 0: not even one.
size_t MostKept(DType type, size_t n, size_t dim, size_t bytes) {
  size_t n_kept = dim;
  while (n_kept > 0 && n * TokenBytes(type, n_kept, dim) > bytes) --n_kept;
  return n_kept;
}

}  // namespace

PlusForm ChoosePlusForm(double ratio, size_t n_tokens, size_t head_dim, DType cache_type,
                        bool begins) {
  const size_t paper_kept = KeptChannels(ratio, head_dim);
  const PlusForm paper{cache_type, paper_kept, 0, false};
  PlusForm form = paper;
  form.sinks = begins ? std::min(kMostSinks, n_tokens / kTokensPerSink) : 0;
  form.centre = n_tokens >= kLeastCentred;
  const size_t fixed = form.sinks * PackedRowBytes(cache_type, head_dim) +
                       (form.centre ? head_dim * sizeof(float) : 0);
  const size_t budget = n_tokens * TokenBytes(cache_type, paper_kept, head_dim);
  if (fixed >= budget) return paper;
  for (const DType type : {DType::kQ8_0, DType::kQ4_0}) {
    form.key_type = type;
    form.n_kept = MostKept(type, n_tokens - form.sinks, head_dim, budget - fixed);
    const size_t least = type == DType::kQ8_0 ? std::max(paper_kept, head_dim / 4) : paper_kept;
    if (form.n_kept >= least && type != cache_type) return form;
  }
  return paper;
}

std::vector<Segment> SparkPlusStage::Compress(const HeadContext& head) const {
  const PlusForm form =
      ChoosePlusForm(options_.ratio, head.n_tokens, head.head_dim, head.types.keys, head.begins);
  SparkOptions options = options_;
  options.ratio = 1 - static_cast<double>(form.n_kept) / static_cast<double>(head.head_dim);
  options.key_type = form.key_type;
  options.sinks = form.sinks;
  options.centre = form.centre;
  options.weights = WeightNorm::kRms;
  options.layout = KeyLayout::kMask;  // the bytes were counted so
  return SparkStage(options).Compress(head);
}

}  // namespace spark
