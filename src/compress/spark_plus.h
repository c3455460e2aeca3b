// `spark-plus:R`: the bytes of `spark:R`, spent better. Found by the search that docs/results.md
// describes.
#ifndef SPARK_COMPRESS_SPARK_PLUS_H_
#define SPARK_COMPRESS_SPARK_PLUS_H_

#include <memory>

#include "compress/options.h"
#include "compress/spark.h"
#include "compress/stage.h"

namespace spark {

// How the keys of a head are stored.
struct PlusForm {
  DType key_type;  // of kept values
  size_t n_kept;   // channels a token
  size_t sinks;    // first tokens left whole
  bool centre;     // the mean key is stored once, and tokens as their difference from it
};

// The most kept channels for which n tokens take no more bytes than `spark:ratio` takes with kept
// values of `cache_type`: in q8_0 if that leaves a quarter of the channels, else in q4_0; never
// fewer than spark:ratio keeps.
PlusForm ChoosePlusForm(double ratio, size_t n_tokens, size_t head_dim, DType cache_type,
                        bool begins);

class SparkPlusStage : public ChannelStage {
 public:
  // `options`: its ratio is R; key_type, sinks, weights and centre are chosen here.
  explicit SparkPlusStage(const SparkOptions& options) : options_(options) {}

  size_t window() const override { return options_.window; }
  size_t keep() const override { return options_.keep; }
  std::vector<Segment> Compress(const HeadContext& head) const override;

 private:
  SparkOptions options_;
};

std::shared_ptr<const ChannelStage> MakeSparkPlusStage(const StageOptions& options);

}  // namespace spark

#endif  // SPARK_COMPRESS_SPARK_PLUS_H_
