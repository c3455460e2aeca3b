#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <string>

#include "base/quoted.h"

namespace spark {
namespace {

template <typename T>
using Handle = std::unique_ptr<T, void (*)(T*)>;

// The models' regular expressions take \s to be Unicode's White_Space; PCRE2 counts U+180E too. So
// that class is spelt out, but for \S inside a class, which cannot be.
std::string WithUnicodeSpaces(std::string_view pattern) {
  constexpr std::string_view kSpaces =
      R"(\x09-\x0d\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '[' || c == ']') in_class = c == '[';
    if (c != '\\' || i + 1 == pattern.size()) {
      out += c;
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's') {
      out += in_class ? fmt::format("{}", kSpaces) : fmt::format("[{}]", kSpaces);
    } else if (escaped == 'S' && !in_class) {
      out += fmt::format("[^{}]", kSpaces);
    } else {
      out += {c, escaped};
    }
  }
  return out;
}

}  // namespace

struct Regex::Code {
  Handle<pcre2_code> handle{nullptr, &pcre2_code_free};
};

struct Regex::Scratch::Impl {
  Handle<pcre2_match_data> data{pcre2_match_data_create(1, nullptr), &pcre2_match_data_free};
  Handle<pcre2_match_context> context{pcre2_match_context_create(nullptr),
                                      &pcre2_match_context_free};
  Handle<pcre2_jit_stack> stack{nullptr, &pcre2_jit_stack_free};

  // The first 32 KiB are on the caller's stack and have always been enough. False if that is all.
  bool GrowStack() {
    if (stack) return false;
    stack.reset(pcre2_jit_stack_create(32 << 10, 8 << 20, nullptr));
    if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
    return stack != nullptr;
  }
};

Regex::Scratch::Scratch(size_t text_size) : impl_(std::make_unique<Impl>()) {
  if (!impl_->data || !impl_->context) throw std::bad_alloc();
  // A handful of steps a character is what the patterns need; this stops only a runaway.
  const size_t limit = 1'000'000 + 100 * std::min<size_t>(text_size, 10'000'000);
  pcre2_set_match_limit(impl_->context.get(), static_cast<uint32_t>(limit));
}

Regex::Scratch::~Scratch() = default;

Regex::Regex(std::string_view pattern, Syntax syntax, ErrorContext context)
    : code_(std::make_unique<Code>()) {
  constexpr size_t kMaxPattern = 64 << 10;  // real ones have some hundred bytes
  context.found = Quoted(pattern);
  if (pattern.size() > kMaxPattern) throw Error("the pattern is too long", std::move(context));
  // Ruby's intersection of classes would mean something else to PCRE2.
  if (syntax == Syntax::kPattern && pattern.find("&&[") != std::string_view::npos) {
    throw Error("the pattern intersects classes, which is not supported", std::move(context));
  }
  const bool is_literal = syntax == Syntax::kLiteral;
  const std::string text = is_literal ? std::string(pattern) : WithUnicodeSpaces(pattern);
  const uint32_t options = is_literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
  int error = 0;
  size_t offset = 0;
  code_->handle.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                    PCRE2_UTF | options, &error, &offset, nullptr));
  if (!code_->handle) {
    PCRE2_UCHAR reason[160] = {};
    pcre2_get_error_message(error, reason, sizeof(reason));
    throw Error(fmt::format("not a regular expression: {}", reinterpret_cast<const char*>(reason)),
                std::move(context));
  }
  // Without JIT (some platforms refuse executable memory) matching is slower, not different.
  pcre2_jit_compile(code_->handle.get(), PCRE2_JIT_COMPLETE);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::optional<std::pair<size_t, size_t>> Regex::Find(std::string_view text, size_t start,
                                                     Scratch& scratch) const {
  Scratch::Impl& impl = *scratch.impl_;
  const auto match = [&](uint32_t options) {
    return pcre2_match(code_->handle.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                       start, options | PCRE2_NO_UTF_CHECK, impl.data.get(), impl.context.get());
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT && impl.GrowStack()) result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
  if (result < 0) return std::nullopt;
  const size_t* bounds = pcre2_get_ovector_pointer(impl.data.get());
  // \K can put the begin anywhere.
  if (bounds[0] < start || bounds[1] < bounds[0]) return std::nullopt;
  return std::pair(bounds[0], bounds[1]);
}

}  // namespace spark
