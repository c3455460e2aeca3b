// What is typed behind `spark`, `spark-group` and `spark-topp`.
#include "compress/options.h"
#include "compress/spark.h"
#include "compress/spark_plus.h"

namespace spark {
namespace {

void ReadRecovery(const StageOptions& options, SparkOptions& spark) {
  constexpr Recovery kRecoveries[] = {Recovery::kMean, Recovery::kZero, Recovery::kSampled,
                                      Recovery::kSampled};
  const size_t choice = options.Choice("recovery", 0, {"mean", "zero", "normal", "exponential"});
  spark.recovery = kRecoveries[choice];
  spark.samples.distribution = choice == 3 ? Distribution::kExponential : Distribution::kNormal;
  spark.samples.seed = options.Size("seed", 1, 0, SIZE_MAX);
  spark.samples.clip =
      options.Choice("clip", 0, {"mean", "threshold"}) == 0 ? Clip::kMean : Clip::kThreshold;
  for (const char* name : {"seed", "clip"}) {
    if (options.Given(name) && spark.recovery != Recovery::kSampled) {
      options.Fail(name, "only recovery=normal and recovery=exponential draw samples,");
    }
  }
}

void ReadValues(const StageOptions& options, SparkOptions& spark) {
  spark.value_ratio = options.Number("values", 0, 0, 1);
  if (spark.value_ratio == 1) options.Fail("values", "allowed a number from 0 to below 1,");
  spark.value_fill =
      options.Choice("fill", 0, {"mean", "zero"}) == 0 ? Recovery::kConstant : Recovery::kZero;
  if (options.Given("fill") && spark.value_ratio == 0) {
    options.Fail("fill", "no value is pruned without values=R,");
  }
}

void ReadStore(const StageOptions& options, SparkOptions& spark) {
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0};
  const size_t choice = options.Choice("store", 0, {"cache", "f32", "f16", "bf16", "q8_0", "q4_0"});
  if (choice > 0) spark.key_type = kTypes[choice - 1];
}

// All but how many channels stay.
SparkOptions CommonOptions(const StageOptions& options) {
  SparkOptions spark;
  spark.window = options.Size("window", spark.window, 1, 4096);
  spark.keep = options.Size("keep", 0, 0, kMostTokens);
  spark.sinks = options.Size("sinks", 0, 0, kMostTokens);
  spark.weights =
      options.Choice("weights", 0, {"norm", "rms"}) == 0 ? WeightNorm::kNorm : WeightNorm::kRms;
  spark.centre = options.Choice("centre", 0, {"none", "mean"}) == 1;
  ReadRecovery(options, spark);
  ReadValues(options, spark);
  ReadStore(options, spark);
  return spark;
}

}  // namespace

std::shared_ptr<const ChannelStage> MakeSparkStage(const StageOptions& options) {
  SparkOptions spark = CommonOptions(options);
  spark.ratio = options.Ratio();
  constexpr KeyLayout kLayouts[] = {KeyLayout::kAuto, KeyLayout::kMask, KeyLayout::kLanes};
  spark.layout = kLayouts[options.Choice("layout", 0, {"auto", "mask", "lanes"})];
  return std::make_shared<SparkStage>(spark);
}

std::shared_ptr<const ChannelStage> MakeSparkPlusStage(const StageOptions& options) {
  SparkOptions spark;
  spark.ratio = options.Ratio();
  spark.window = options.Size("window", spark.window, 1, 4096);
  ReadValues(options, spark);
  return std::make_shared<SparkPlusStage>(spark);
}

std::shared_ptr<const ChannelStage> MakeSparkGroupStage(const StageOptions& options) {
  options.NoArgument();
  SparkOptions spark = CommonOptions(options);
  spark.rule = BudgetRule::kGroup;
  spark.mass = options.Number("threshold", spark.mass, 0, 1);
  return std::make_shared<SparkStage>(spark);
}

std::shared_ptr<const ChannelStage> MakeSparkTopPStage(const StageOptions& options) {
  SparkOptions spark = CommonOptions(options);
  spark.rule = BudgetRule::kTopP;
  spark.mass = options.Mass();
  return std::make_shared<SparkStage>(spark);
}

}  // namespace spark
