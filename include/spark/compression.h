// How a KV cache is made small: the `--kv` language and the methods behind it.
#ifndef SPARK_COMPRESSION_H_
#define SPARK_COMPRESSION_H_

#include <memory>
#include <string>
#include <string_view>

#include "spark/kv_cache.h"

namespace spark {

class ChannelStage;
class TokenStage;
struct ModelInfo;

// Element types that a cache is stored in.
enum class CacheType : uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0 };

// "f16" → kF16. Throws UsageError naming the types there are; `flag` names the flag in the message.
CacheType ParseCacheType(std::string_view name, std::string_view flag);
std::string_view Name(CacheType type);

// A parsed plan: what happens to the cache of a context once a layer has processed it.
//   none | stage[+stage]     stage = name:ratio[option=value,…]
// at most one token stage, then at most one channel stage, e.g.
//   "snapkv:0.5+spark:0.8[keep=32]": half of the tokens go, and 80 % of the key channels of others.
class CompressionPlan {
 public:
  CompressionPlan() = default;  // "none": everything is kept

  // Throws UsageError that points at the character where `text` goes wrong.
  static CompressionPlan Parse(std::string_view text);

  const std::string& text() const { return text_; }  // as given
  size_t window() const;  // how many of the last queries the stages look at; SIZE_MAX: all

  // The stages of a layer, null where there is none. `windowed`: of a layer with a sliding window,
  // which has those stages only whose option `layers` is "all".
  const TokenStage* token_stage(bool windowed = false) const {
    return windowed && !token_in_windows_ ? nullptr : token_.get();
  }
  const ChannelStage* channel_stage(bool windowed = false) const {
    return windowed && !channel_in_windows_ ? nullptr : channel_.get();
  }
  // Whether such a layer is compressed at all, or keeps its window as it is.
  bool compresses_windows() const {
    return token_stage(true) != nullptr || channel_stage(true) != nullptr;
  }

 private:
  std::string text_ = "none";
  std::shared_ptr<const TokenStage> token_;
  std::shared_ptr<const ChannelStage> channel_;
  bool token_in_windows_ = false;
  bool channel_in_windows_ = false;
};

// Every method by name: argument, options with defaults, what it does, paper. For
// --list-kv-methods and the documentation.
std::string ListKvMethods();

// The bytes that the cache of a context of `n_tokens` takes under a plan, by part: heads are packed
// for real, of random data. Methods whose bytes depend on the data are estimated.
// `layers` tells which layers count: all, those that see everything, or those with a window.
enum class CountedLayers : uint8_t { kAll, kGlobal, kWindowed };
KvBytes EstimateKvBytes(const ModelInfo& model, const CompressionPlan& plan, CacheType keys,
                        CacheType values, size_t n_tokens,
                        CountedLayers layers = CountedLayers::kAll);

}  // namespace spark

#endif  // SPARK_COMPRESSION_H_
