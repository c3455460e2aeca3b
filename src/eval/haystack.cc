#include "eval/haystack.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "spark/error.h"
#include "spark/prompt.h"

namespace spark {
namespace {

struct Sentence {
  std::string text;
  bool opens_paragraph = false;
  size_t tokens = 0;  // counted alone: an estimate, as tokens could join across the space
};

class HaystackBuilder {
 public:
  HaystackBuilder(const Tokenizer& tokenizer, size_t n_tokens, const HaystackParts& parts,
                  SeededRandom& random)
      : tokenizer_(tokenizer), n_tokens_(n_tokens), parts_(parts), random_(random) {
    const size_t empty = CountTokens(tokenizer_, "x") - TokensAlone("x", true);
    used_ = empty + TokensAlone(parts_.elastic(0), true);
    if (!parts_.intro.empty()) used_ += TokensAlone(parts_.intro, true);
    for (const PlacedFact& fact : parts_.facts) used_ += TokensAlone(fact.text, true);
  }

  // What facts and the elastic sentence take, by estimate.
  size_t used() const { return used_; }

  std::string Build() {
    Fill();
    elastic_position_ = random_.Below(filler_.size() + 1);
    while (fact_in_line_.size() < parts_.facts.size()) {
      fact_in_line_.push_back(parts_.facts_in_lines || random_.Chance(7, 20));
    }
    while (Count(0) > n_tokens_) {  // tokens were underestimated
      if (filler_.empty()) return {};
      filler_.pop_back();
      elastic_position_ = std::min(elastic_position_, filler_.size());
    }
    size_t steps = 0;
    for (size_t stride = 16; stride > 0; stride /= 2) {
      while (Count(steps + stride) <= n_tokens_) steps += stride;
    }
    return Compose(steps);
  }

 private:
  size_t TokensAlone(const std::string& text, bool opens_paragraph) const {
    return tokenizer_.Encode((opens_paragraph ? "\n" : " ") + text, Tokenizer::Special::kPlain)
        .size();
  }

  size_t Count(size_t steps) const { return CountTokens(tokenizer_, Compose(steps)); }

  // Whole sentences, up to the first one that does not fit.
  void Fill() {
    for (size_t left = n_tokens_ - used_;;) {
      bool opens_paragraph = true;
      for (const std::string& text : parts_.filler(random_)) {
        const size_t tokens = TokensAlone(text, opens_paragraph);
        if (tokens > left) return;
        left -= tokens;
        filler_.push_back({text, opens_paragraph, tokens});
        opens_paragraph = false;
      }
    }
  }

  std::string Compose(size_t steps) const {
    std::vector<Sentence> sentences = filler_;
    const bool opens = elastic_position_ == sentences.size() ||
                       sentences[elastic_position_].opens_paragraph || elastic_position_ == 0;
    const std::string elastic = parts_.elastic(steps);
    sentences.insert(sentences.begin() + static_cast<ptrdiff_t>(elastic_position_),
                     {elastic, opens, TokensAlone(elastic, opens)});
    size_t total = 0;
    for (const Sentence& sentence : sentences) total += sentence.tokens;

    // Each fact in front of the sentence whose beginning is closest to its depth.
    std::vector<std::vector<size_t>> before(sentences.size() + 1);
    for (size_t f = 0; f < parts_.facts.size(); ++f) {
      before[Boundary(sentences, parts_.facts[f].depth * static_cast<double>(total))].push_back(f);
    }
    std::string text = parts_.intro;
    bool line_ends = !text.empty();
    const auto add = [&](const std::string& more, bool opens_paragraph) {
      if (!text.empty()) text += opens_paragraph || line_ends ? '\n' : ' ';
      text += more;
      line_ends = false;
    };
    for (size_t s = 0; s <= sentences.size(); ++s) {
      for (const size_t f : before[s]) {
        add(parts_.facts[f].text, fact_in_line_[f]);
        line_ends = fact_in_line_[f];
      }
      if (s < sentences.size()) add(sentences[s].text, sentences[s].opens_paragraph);
    }
    return text;
  }

  static size_t Boundary(const std::vector<Sentence>& sentences, double target) {
    double begin = 0;
    for (size_t s = 0; s < sentences.size(); ++s) {
      const double end = begin + static_cast<double>(sentences[s].tokens);
      if (target < end) return target - begin <= end - target ? s : s + 1;
      begin = end;
    }
    return sentences.size();
  }

  const Tokenizer& tokenizer_;
  size_t n_tokens_;
  const HaystackParts& parts_;
  SeededRandom& random_;
  size_t used_ = 0;
  std::vector<Sentence> filler_;
  size_t elastic_position_ = 0;
  std::vector<bool> fact_in_line_;
};

}  // namespace

size_t CountTokens(const Tokenizer& tokenizer, std::string_view text) {
  return EncodeContext(tokenizer, text).size();
}

void FailTooShort(std::string_view task, size_t n_tokens, size_t needed) {
  throw Error("the context is too short for this task",
              {.field = std::string(task),
               .found = fmt::format("{} tokens", n_tokens),
               .allowed = fmt::format("about {} and more", needed)});
}

std::string MakeHaystack(std::string_view task, const Tokenizer& tokenizer, size_t n_tokens,
                         const HaystackParts& parts, SeededRandom& random) {
  HaystackBuilder builder(tokenizer, n_tokens, parts, random);
  const size_t needed = builder.used() + parts.least_filler;
  if (n_tokens < needed) FailTooShort(task, n_tokens, needed);
  std::string text = builder.Build();
  if (text.empty()) FailTooShort(task, n_tokens, needed);
  return text;
}

size_t LargestThatFits(std::string_view task, const Tokenizer& tokenizer, size_t n_tokens,
                       size_t least, size_t most, const std::function<std::string(size_t)>& text) {
  const auto fits = [&](size_t n) { return CountTokens(tokenizer, text(n)) <= n_tokens; };
  if (!fits(least)) FailTooShort(task, n_tokens, CountTokens(tokenizer, text(least)));
  // Doubling first: `most` may be a text far larger than the one looked for.
  size_t low = least;
  size_t high = least;
  while (high < most) {
    high = std::min(most, high * 2 + 1);
    if (!fits(high)) break;
    low = high;
  }
  if (low == high) return low;
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace spark
