// Regular expressions of tokenizers, by PCRE2: Unicode, compiled once, bounded in time.
#ifndef SPARK_TEXT_REGEX_H_
#define SPARK_TEXT_REGEX_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "spark/error.h"

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

  // Begin and end of the first match from `start` on in `text`, which is valid UTF-8; they may be
  // equal. Nothing if there is none, or if it takes too much time or memory to tell.
  std::optional<std::pair<size_t, size_t>> Find(std::string_view text, size_t start,
                                                Scratch& scratch) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace spark

#endif  // SPARK_TEXT_REGEX_H_
