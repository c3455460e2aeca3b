// Regular expressions of tokenizers, by PCRE2: Unicode, compiled once, bounded in time.
#ifndef SPARK_TEXT_REGEX_H_
#define SPARK_TEXT_REGEX_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "spark/error.h"
#include "text/utf8.h"

namespace spark {

class Regex {
 public:
  enum class Syntax : uint8_t { kPattern, kLiteral };

  // Throws Error, with `context` and what is wrong, for what does not compile.
  explicit Regex(std::string_view pattern, Syntax syntax = Syntax::kPattern,
                 ErrorContext context = {});
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // What matching needs besides the expression. Of one thread, for any number of expressions and
  // for texts of up to `text_size` bytes.
  class Scratch {
   public:
    explicit Scratch(size_t text_size);
    ~Scratch();

   private:
    friend class Regex;
    struct Impl;
    std::unique_ptr<Impl> impl_;
  };

  // Calls visit(begin, end) for each match in `text`, which is valid UTF-8, from left to right.
  // Some may be empty, but not where the match before ends. Stops where it takes too much time or
  // memory to tell whether there is another.
  template <typename Visit>
  void ForEachMatch(std::string_view text, Scratch& scratch, Visit visit) const {
    size_t done = std::string_view::npos;  // the end of the match before
    for (size_t from = 0; from <= text.size();) {
      const auto match = Find(text, from, scratch);
      if (!match) break;
      const auto [begin, end] = *match;
      if (begin < end || end != done) visit(begin, end);
      done = end;
      from = end;
      if (begin == end) from += end < text.size() ? NextUtf8(text.substr(end)).size : 1;
    }
  }

 private:
  // The first match from `start` on.
  std::optional<std::pair<size_t, size_t>> Find(std::string_view text, size_t start,
                                                Scratch& scratch) const;

  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace spark

#endif  // SPARK_TEXT_REGEX_H_
