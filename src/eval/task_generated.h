// Tasks whose samples are generated from a seed.
#ifndef SPARK_EVAL_TASK_GENERATED_H_
#define SPARK_EVAL_TASK_GENERATED_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eval/seeded_random.h"
#include "eval/task.h"

namespace spark {

// What one sample is made from.
struct SampleSetting {
  std::string_view task;  // for messages
  const Tokenizer& tokenizer;
  size_t context_tokens;
  double depth;       // where the fact that is asked for shall stand
  bool stories_only;  // see KnowsStoriesOnly()
};

// One sample; draws from `random` alone.
using MakeSample = Sample (*)(const SampleSetting& setting, SeededRandom& random);

// tasks_needle.cc, in the manner of RULER's niah_single, niah_multikey, niah_multivalue and
// niah_multiquery, and of the passkey test.
Sample MakeNeedle(const SampleSetting& setting, SeededRandom& random);
Sample MakeMultikey(const SampleSetting& setting, SeededRandom& random);
Sample MakeMultivalue(const SampleSetting& setting, SeededRandom& random);
Sample MakeMultiquery(const SampleSetting& setting, SeededRandom& random);
Sample MakePasskey(const SampleSetting& setting, SeededRandom& random);
// tasks_tracking.cc: RULER's variable tracking.
Sample MakeVariableTracking(const SampleSetting& setting, SeededRandom& random);
// tasks_words.cc: RULER's common and frequent words extraction.
Sample MakeCommonWords(const SampleSetting& setting, SeededRandom& random);
Sample MakeFrequentWords(const SampleSetting& setting, SeededRandom& random);
// tasks_fewshot.cc: classification by examples, as LongBench's trec.
Sample MakeFewshot(const SampleSetting& setting, SeededRandom& random);

// tasks_jsonl.cc: `text` is "FILE" or "FILE[metric=NAME]"; `name` the whole name as typed.
std::unique_ptr<Task> MakeJsonlTask(std::string_view name, std::string_view text);

// The depth of sample i of n: multiples of 0.1 from 0 to 1, each as often as the others where n
// allows it, in rising order.
double EvenDepth(size_t i, size_t n);

}  // namespace spark

#endif  // SPARK_EVAL_TASK_GENERATED_H_
