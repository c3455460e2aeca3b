// Lists in which some words stand more often than others.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "eval/haystack.h"
#include "eval/story_tables.h"
#include "eval/task_generated.h"

namespace spark {
namespace {

constexpr size_t kMostCommon = 10;  // cwe: asked for in long lists
constexpr size_t kTimes = 8;        // cwe: a common word, for once of any other
constexpr size_t kLeastLetters = 4;
constexpr size_t kAskedFrequent = 3;
constexpr size_t kCodedWords = 40;  // fwe: different words

// Words that aren't part of others, or of usual words ("hat" of "what"): an answer is looked for as
// text.
std::vector<std::string_view> DistinctWords(SeededRandom& random) {
  std::vector<std::string_view> words;
  for (const story::List list :
       {story::kAnimals, story::kThings, story::kPlaces, story::kOutdoors}) {
    std::ranges::copy_if(list, std::back_inserter(words),
                         [](std::string_view word) { return word.size() >= kLeastLetters; });
  }
  const std::vector<std::string_view> all = words;
  std::erase_if(words, [&all](std::string_view word) {
    return std::ranges::any_of(all, [word](std::string_view other) {
      return other != word && other.find(word) != other.npos;
    });
  });
  random.Shuffle(words);
  return words;
}

// How the words of a list of n are shared out: `common` words stand kTimes times, others so often
// that they come in turn.
struct Shares {
  size_t common;
  size_t times;
};
Shares CommonShares(size_t n) {
  const size_t common = std::clamp(n / (2 * kTimes), size_t{3}, kMostCommon);
  return {common, std::max(n * 3 / 5 / common, size_t{2})};
}

std::string NumberedList(std::span<const std::string_view> words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    text += fmt::format("{}{}. {}", i == 0 ? "" : " ", i + 1, words[i]);
  }
  return text;
}

}  // namespace

Sample MakeCommonWords(const SampleSetting& setting, SeededRandom& random) {
  const std::vector<std::string_view> words = DistinctWords(random);
  const SeededRandom order = random;
  const auto list = [&](size_t n) {
    const Shares shares = CommonShares(n);
    std::vector<std::string_view> entries;
    for (size_t i = 0; i < shares.common * shares.times; ++i) {
      entries.push_back(words[i % shares.common]);
    }
    const size_t others = words.size() - shares.common;
    for (size_t i = 0; entries.size() < n; ++i)
      entries.push_back(words[shares.common + i % others]);
    SeededRandom shuffle = order;
    shuffle.Shuffle(entries);
    return "Below is a numbered list of words. Some of them stand there more often than others.\n" +
           NumberedList(entries);
  };
  const size_t n = LargestThatFits(setting.task, setting.tokenizer, setting.context_tokens, 12,
                                   setting.context_tokens, list);
  const size_t asked = CommonShares(n).common;
  Sample sample;
  sample.context = list(n);
  sample.question = fmt::format(
      "\nQuestion: What are the {0} most common words in the list above?\nAnswer: The {0} most "
      "common words in the list are:",
      asked);
  sample.answers.assign(words.begin(), words.begin() + static_cast<ptrdiff_t>(asked));
  sample.max_new_tokens = 6 * asked + 8;
  sample.stops = {"\n\n"};
  return sample;
}

namespace {

std::string CodedWord(SeededRandom& random) {
  constexpr std::string_view kConsonants = "bdfgklmnprstvz";
  constexpr std::string_view kVowels = "aeiou";
  std::string word;
  for (size_t i = 0; i < 3; ++i) {
    word += random.Choose(kConsonants);
    word += random.Choose(kVowels);
  }
  return word;
}

// How often each word stands in a text of n: word k (from 1) in proportion to 1/k^2, a zeta
// distribution with RULER's alpha = 2; what rounding leaves goes to the first. In integers, so that
// no machine rounds otherwise. From kLeastCoded words on the first three differ from all others.
constexpr size_t kLeastCoded = 34;
std::vector<size_t> ZetaCounts(size_t n) {
  constexpr size_t kScale = 1'000'000;
  size_t total = 0;
  for (size_t k = 1; k <= kCodedWords; ++k) total += kScale / (k * k);
  std::vector<size_t> counts;
  size_t left = n;
  for (size_t k = 1; k <= kCodedWords; ++k) {
    counts.push_back(n * (kScale / (k * k)) / total);
    left -= counts.back();
  }
  counts[0] += left;
  return counts;
}

}  // namespace

Sample MakeFrequentWords(const SampleSetting& setting, SeededRandom& random) {
  std::vector<std::string> words;
  while (words.size() < kCodedWords) {
    std::string word = CodedWord(random);
    if (std::ranges::find(words, word) == words.end()) words.push_back(std::move(word));
  }
  const SeededRandom order = random;
  const auto text = [&](size_t n) {
    const std::vector<size_t> counts = ZetaCounts(n);
    std::vector<std::string_view> entries;
    for (size_t k = 0; k < counts.size(); ++k) entries.insert(entries.end(), counts[k], words[k]);
    SeededRandom shuffle = order;
    shuffle.Shuffle(entries);
    return fmt::format("Below is a text in coded words.\n{}", fmt::join(entries, " "));
  };
  const size_t n = LargestThatFits(setting.task, setting.tokenizer, setting.context_tokens,
                                   kLeastCoded, setting.context_tokens, text);
  Sample sample;
  sample.context = text(n);
  sample.question =
      "\nQuestion: Which three words stand most often in the coded text above?\nAnswer: The three "
      "most frequent words in the coded text are:";
  sample.answers.assign(words.begin(), words.begin() + kAskedFrequent);
  sample.max_new_tokens = 32;
  sample.stops = {"\n\n"};
  return sample;
}

}  // namespace spark
