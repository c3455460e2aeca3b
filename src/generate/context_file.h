// The file of a saved context: safetensors, so that other programs can look into it.
//
//   __metadata__  format "spark context", version "4", model (name), fingerprint, plan,
//                 cache_type_k, cache_type_v, tokens; all text
//   ids           I32 [tokens]
//   hidden        F32 [hidden_size]  of the last token, behind the last layer
//   segments      I32 [n, 10]  of every segment: layer, head, tokens, position of the first (where
//                              it is known, else -1), then form, type and recovery of keys and of
//                              values: the numbers of StoreForm, DType and Recovery
//   N.positions   I32 [tokens]  of segment N, if there are gaps between them
//   N.keys.ARRAY, N.values.ARRAY     U8  segment N's arrays as they lie in memory (store_parts.h);
//                                    empty ones are left out
//   checksum      U8 [8]  64-bit FNV-1a over all bytes of the file before it, little-endian
//
// A layer with a window that is not compressed has its tail saved, as the one segment of each head.
// Another layout, and other numbers in an enumeration, are another version. What versions 2 and 3
// could say means the same in later ones: version 3 added StoreForm::kLanes, version 4 the order of
// its channels.
#ifndef SPARK_GENERATE_CONTEXT_FILE_H_
#define SPARK_GENERATE_CONTEXT_FILE_H_

#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "kv/kv_cache.h"
#include "spark/model.h"
#include "spark/saved_context.h"
#include "spark/session.h"

namespace spark {

inline constexpr std::string_view kContextFormat = "spark context";
inline constexpr std::string_view kContextVersion = "4";
inline constexpr std::string_view kOlderContextVersions[] = {"2", "3"};  // are read as well

struct SavedContext::Impl {
  SafetensorsFile file;
  std::string fingerprint;
  std::string model_name;
  CompressionPlan plan;
  CacheType cache_type_k = CacheType::kF16;
  CacheType cache_type_v = CacheType::kF16;
  std::vector<TokenId> ids;
  std::vector<float> hidden;
};

// Closed segments of every head: [n_layers][n_kv_heads].
using SavedSegments = std::vector<std::vector<std::vector<SegmentPtr>>>;

void WriteContext(const std::string& path, const Model& model, const SessionOptions& options,
                  std::span<const TokenId> ids, std::span<const float> hidden,
                  const KvCache& cache);

// Throw Error, naming file and field, if the file is not one of this model and these options, or
// says what cannot be.
void CheckMatches(const SavedContext::Impl& saved, const Model& model,
                  const SessionOptions& options);
SavedSegments ReadSegments(const SavedContext::Impl& saved, const ModelConfig& config);

}  // namespace spark

#endif  // SPARK_GENERATE_CONTEXT_FILE_H_
