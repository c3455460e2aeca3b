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

  const std::string& text() const { return text_; }                     // as given
  const TokenStage* token_stage() const { return token_.get(); }        // null: none
  const ChannelStage* channel_stage() const { return channel_.get(); }  // null: none
  size_t window() const;  // how many of the last queries the stages look at; SIZE_MAX: all

 private:
  std::string text_ = "none";
  std::shared_ptr<const TokenStage> token_;
  std::shared_ptr<const ChannelStage> channel_;
};

// Every method by name: argument, options with defaults, what it does, paper. For
// --list-kv-methods and the documentation.
std::string ListKvMethods();

// The bytes that the cache of a context of `n_tokens` takes under a plan, by part: heads are packed
// for real, of random data. Methods whose bytes depend on the data are estimated.
KvBytes EstimateKvBytes(const ModelInfo& model, const CompressionPlan& plan, CacheType keys,
                        CacheType values, size_t n_tokens);

}  // namespace spark

#endif  // SPARK_COMPRESSION_H_
