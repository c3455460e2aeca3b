// Texts as metrics see them.
#ifndef SPARK_EVAL_METRIC_TEXT_H_
#define SPARK_EVAL_METRIC_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spark {

// The words of a text as SQuAD's evaluation leaves them: lower case, ASCII punctuation taken out
// (so "don't" is "dont"), "a", "an" and "the" left out, split at white space.
std::vector<std::string> NormalizedWords(std::string_view text);

// Runs of letters, marks and digits in lower case; anything else, "_" too, separates them.
std::vector<std::string> LetterRuns(std::string_view text);

// Code points, and bytes that belong to none as 0x110000 + byte.
std::vector<uint32_t> CodePoints(std::string_view text);

// The first line that holds no "`", "#" or "//" (LongBench: models explain code around it);
// empty when there is none. Line breaks in front don't count as lines.
std::string_view FirstCodeLine(std::string_view text);

// Length of the longest sequence that both hold in this order. Memory: the shorter length.
template <typename T>
size_t LongestCommonSubsequence(std::span<const T> a, std::span<const T> b) {
  if (a.size() < b.size()) std::swap(a, b);
  std::vector<size_t> best(b.size() + 1, 0);  // [j]: of what was seen of `a`, and b[0, j)
  for (const T& item : a) {
    size_t diagonal = 0;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = best[j + 1];
      if (item == b[j]) {
        best[j + 1] = diagonal + 1;
      } else if (best[j] > above) {
        best[j + 1] = best[j];
      }
      diagonal = above;
    }
  }
  return best.back();
}

}  // namespace spark

#endif  // SPARK_EVAL_METRIC_TEXT_H_
