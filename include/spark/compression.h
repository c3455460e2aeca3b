// How a KV cache is made small: the `--kv` language and the methods behind it.
#ifndef SPARK_COMPRESSION_H_
#define SPARK_COMPRESSION_H_

#include <memory>
#include <string>
#include <string_view>

#include "spark/kv_cache.h"

namespace spark {

class ChannelStage;
struct ModelInfo;

// Element types that a cache is stored in.
enum class CacheType : uint8_t { kF32, kF16, kBF16 };

// "f16" → kF16. Throws UsageError naming the types there are; `flag` names the flag in the message.
CacheType ParseCacheType(std::string_view name, std::string_view flag);
std::string_view Name(CacheType type);

// A parsed plan: what happens to the cache of a context once a layer has processed it.
//   none | stage[+stage…]     stage = name:ratio[option=value,…]
// e.g. "spark:0.8[recovery=zero,keep=32]": 80 % of each key's channels are removed, none recovered.
class CompressionPlan {
 public:
  CompressionPlan() = default;  // "none": everything is kept

  // Throws UsageError that points at the character where `text` goes wrong.
  static CompressionPlan Parse(std::string_view text);

  const std::string& text() const { return text_; }                     // as given
  const ChannelStage* channel_stage() const { return channel_.get(); }  // null: none

 private:
  std::string text_ = "none";
  std::shared_ptr<const ChannelStage> channel_;
};

// Every method by name: argument, options with defaults, what it does, paper. For
// --list-kv-methods and the documentation.
std::string ListKvMethods();

// The bytes that the cache of a context of `n_tokens` takes under a plan, by part: one head is
// packed for real, and counted for all.
KvBytes EstimateKvBytes(const ModelInfo& model, const CompressionPlan& plan, CacheType keys,
                        CacheType values, size_t n_tokens);

}  // namespace spark

#endif  // SPARK_COMPRESSION_H_
