#include "text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "spark/error.h"
#include "text/utf8.h"

namespace spark {
namespace {

// The patterns are those of the models' own files: `pre_tokenizer` in tokenizer.json ("ByteLevel"
// with `use_regex` is GPT-2's; "Digits" with `individual_digits` is \p{N}), or tiktoken's
// `pat_str`. All of them match every character, and none backtracks over more than one run of equal
// class, so time is linear: what looks nested, such as \s*[\r\n]+, costs one more pass over a run.
constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Family {
  std::array<std::string_view, 5> names;     // unused ones are empty
  std::array<std::string_view, 2> patterns;  // likewise
  bool whole_pieces_first;                   // `ignore_merges` in tokenizer.json
};

constexpr Family kFamilies[] = {
    {{"gpt-2", "phi-2", "olmo", "mpt"}, {kGpt2}, false},
    {{"smollm", "starcoder", "refact", "command-r", "codeshell"}, {kDigit, kGpt2}, false},
    {{"llama-bpe", "llama3", "llama-v3", "falcon3"}, {kLlama3}, true},
    {{"dbrx", "smaug-bpe"}, {kLlama3}, false},
    {{"qwen2", "stablelm2", "deepseek-r1-qwen"}, {kQwen2}, false},
    {{"tekken"}, {kTekken}, true},
    {{"gpt-4o", "llama4"}, {kGpt4o}, false},
};

// The models' regular expressions take \s to be Unicode's White_Space; PCRE2 counts U+180E too. So
// that class is spelt out.
std::string WithUnicodeSpaces(std::string_view pattern) {
  constexpr std::string_view kSpaces =
      R"(\x09-\x0d\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '[' || c == ']') in_class = c == '[';
    if (c != '\\') {
      out += c;
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's') {
      out += in_class ? fmt::format("{}", kSpaces) : fmt::format("[{}]", kSpaces);
    } else if (escaped == 'S') {
      out += fmt::format("[^{}]", kSpaces);  // no pattern has it inside a class
    } else {
      out += {c, escaped};
    }
  }
  return out;
}

const Family& FindFamily(std::string_view name) {
  for (const Family& family : kFamilies) {
    if (!name.empty() && std::ranges::find(family.names, name) != family.names.end()) return family;
  }
  throw Error("unknown pre-tokenizer",
              {.field = "tokenizer.ggml.pre",
               .found = name.empty() ? "none" : fmt::format("\"{}\"", name.substr(0, 64)),
               .allowed = fmt::format("{}", fmt::join(PreTokenizerNames(), ", "))});
}

// What a match needs besides the compiled pattern, which threads share.
class MatchScratch {
 public:
  explicit MatchScratch(size_t text_size)
      : data_(pcre2_match_data_create(1, nullptr), &pcre2_match_data_free),
        context_(pcre2_match_context_create(nullptr), &pcre2_match_context_free),
        stack_(nullptr, &pcre2_jit_stack_free) {
    if (!data_ || !context_) throw std::bad_alloc();
    // A handful of steps a character is what the patterns need; this stops only a runaway.
    const size_t limit = 1'000'000 + 100 * std::min<size_t>(text_size, 10'000'000);
    pcre2_set_match_limit(context_.get(), static_cast<uint32_t>(limit));
  }

  // The first 32 KiB are on the caller's stack and have always been enough. False if that is all.
  bool GrowStack() {
    if (stack_) return false;
    stack_.reset(pcre2_jit_stack_create(32 << 10, 8 << 20, nullptr));
    if (stack_) pcre2_jit_stack_assign(context_.get(), nullptr, stack_.get());
    return stack_ != nullptr;
  }

  pcre2_match_data* data() { return data_.get(); }
  pcre2_match_context* context() { return context_.get(); }

 private:
  template <typename T>
  using Handle = std::unique_ptr<T, void (*)(T*)>;
  Handle<pcre2_match_data> data_;
  Handle<pcre2_match_context> context_;
  Handle<pcre2_jit_stack> stack_;
};

// Calls visit(run, is_valid) for the longest valid runs of `text` and the runs of bytes between
// them.
template <typename Visit>
void ForEachRun(std::string_view text, Visit visit) {
  size_t begin = 0;
  bool valid = true;
  for (size_t i = 0; i < text.size();) {
    const Utf8Step step = NextUtf8(text.substr(i));
    const bool is_character = step.kind == Utf8Step::Kind::kCharacter;
    if (is_character != valid) {
      if (i > begin) visit(text.substr(begin, i - begin), valid);
      begin = i;
      valid = is_character;
    }
    i += step.size;
  }
  if (text.size() > begin) visit(text.substr(begin), valid);
}

}  // namespace

class PreTokenizer::Pattern {
 public:
  explicit Pattern(std::string_view pattern) : code_(nullptr, &pcre2_code_free) {
    const std::string text = WithUnicodeSpaces(pattern);
    int error = 0;
    size_t offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                              nullptr));
    if (!code_) throw Error(fmt::format("PCRE2 error {} at {} of {}", error, offset, text));
    // Without JIT (some platforms refuse executable memory) matching is slower, not different.
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
  }

  // Cuts `run`, which is valid UTF-8.
  void Split(std::string_view run, MatchScratch& scratch,
             std::vector<std::string_view>& pieces) const {
    size_t done = 0;
    while (done < run.size()) {
      const auto match = Find(run, done, scratch);
      if (!match) break;
      const auto [begin, end] = *match;
      if (begin > done) pieces.push_back(run.substr(done, begin - done));
      pieces.push_back(run.substr(begin, end - begin));
      done = end;
    }
    if (done < run.size()) pieces.push_back(run.substr(done));
  }

 private:
  // The first match from `start` on; nothing if there is none, or if it takes too much.
  std::optional<std::pair<size_t, size_t>> Find(std::string_view run, size_t start,
                                                MatchScratch& scratch) const {
    const auto match = [&](uint32_t options) {
      return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(run.data()), run.size(), start,
                         options | PCRE2_NO_UTF_CHECK, scratch.data(), scratch.context());
    };
    int result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT && scratch.GrowStack()) result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    if (result < 0) return std::nullopt;
    const size_t* bounds = pcre2_get_ovector_pointer(scratch.data());
    if (bounds[1] <= bounds[0]) return std::nullopt;  // no pattern matches nothing
    return std::pair(bounds[0], bounds[1]);
  }

  std::unique_ptr<pcre2_code, void (*)(pcre2_code*)> code_;
};

PreTokenizer::PreTokenizer(std::string_view name) {
  const Family& family = FindFamily(name);
  for (const std::string_view pattern : family.patterns) {
    if (!pattern.empty()) patterns_.emplace_back(pattern);
  }
  whole_pieces_first_ = family.whole_pieces_first;
}

PreTokenizer::~PreTokenizer() = default;

void PreTokenizer::Split(std::string_view text, std::vector<std::string_view>& pieces) const {
  if (text.empty()) return;
  MatchScratch scratch(text.size());
  std::vector<std::string_view> from;
  std::vector<std::string_view> to;
  ForEachRun(text, [&](std::string_view run, bool is_valid) {
    if (!is_valid) {
      pieces.push_back(run);
      return;
    }
    to.assign(1, run);
    for (const Pattern& pattern : patterns_) {
      std::swap(from, to);
      to.clear();
      for (const std::string_view piece : from) pattern.Split(piece, scratch, to);
    }
    pieces.insert(pieces.end(), to.begin(), to.end());
  });
}

std::vector<std::string_view> PreTokenizerNames() {
  std::vector<std::string_view> names;
  for (const Family& family : kFamilies) {
    for (const std::string_view name : family.names) {
      if (!name.empty()) names.push_back(name);
    }
  }
  return names;
}

}  // namespace spark
