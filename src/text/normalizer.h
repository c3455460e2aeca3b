// What happens to text before it is cut into pieces.
#ifndef SPARK_TEXT_NORMALIZER_H_
#define SPARK_TEXT_NORMALIZER_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"
#include "text/unicode.h"

namespace spark {

inline constexpr std::string_view kSpaceMark = "\u2581";  // ▁, SentencePiece's way to write a space

class Normalizer {
 public:
  enum class Kind : uint8_t {
    kForm,                // to `form`
    kLowercase,           //
    kStrip,               // white space at the ends: left if `from` holds 'l', right if 'r'
    kReplace,             // `from`, or matches of `regex`, by `to`
    kPrepend,             // `to`
    kPrependIfMissing,    // `to`, unless the text begins with it
    kPrependToFirstPart,  // likewise, and only where the whole text begins
  };
  struct Step {
    Kind kind;
    NormalForm form = NormalForm::kNfc;
    std::string from{};
    std::string to{};
    std::optional<Regex> regex{};
  };

  void Add(Step step) { steps_.push_back(std::move(step)); }
  bool empty() const { return steps_.empty(); }

  // `is_first`: nothing of the text comes before this part of it. Nothing is done to an empty part.
  // Bytes that belong to no character stay as they are.
  std::string Apply(std::string_view part, bool is_first) const;

 private:
  std::vector<Step> steps_;
};

}  // namespace spark

#endif  // SPARK_TEXT_NORMALIZER_H_
