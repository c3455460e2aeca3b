#include "text/normalizer.h"

#include <algorithm>

#include "text/utf8.h"

namespace spark {
namespace {

std::string ReplaceLiteral(std::string_view text, std::string_view from, std::string_view to) {
  if (from.empty()) return std::string(text);
  std::string out;
  out.reserve(text.size());
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(from, begin), text.size());
    out += text.substr(begin, end - begin);
    if (end == text.size()) break;
    out += to;
    begin = end + from.size();
  }
  return out;
}

// Bytes that belong to no character would end PCRE2's world.
bool IsValid(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Utf8Step step = NextUtf8(text.substr(i));
    if (step.kind != Utf8Step::Kind::kCharacter) return false;
    i += step.size;
  }
  return true;
}

std::string ReplaceMatches(std::string_view text, const Regex& regex, std::string_view to) {
  if (!IsValid(text)) return std::string(text);
  Regex::Scratch scratch(text.size());
  std::string out;
  size_t done = 0;
  regex.ForEachMatch(text, scratch, [&](size_t begin, size_t end) {
    out += text.substr(done, begin - done);
    out += to;
    done = end;
  });
  out += text.substr(done);
  return out;
}

std::string Strip(std::string_view text, std::string_view sides) {
  if (sides.find('l') != sides.npos) text.remove_prefix(LeadingSpace(text));
  if (sides.find('r') != sides.npos) text.remove_suffix(TrailingSpace(text));
  return std::string(text);
}

std::string ApplyStep(const Normalizer::Step& step, std::string text, bool is_first) {
  using Kind = Normalizer::Kind;
  switch (step.kind) {
    case Kind::kForm:
      return Normalize(text, step.form);
    case Kind::kLowercase:
      return Lowercase(text);
    case Kind::kStrip:
      return Strip(text, step.from);
    case Kind::kReplace:
      return step.regex ? ReplaceMatches(text, *step.regex, step.to)
                        : ReplaceLiteral(text, step.from, step.to);
    case Kind::kPrepend:
      return text.empty() ? text : step.to + text;
    case Kind::kPrependIfMissing:
    case Kind::kPrependToFirstPart:
      if (text.empty() || text.starts_with(step.to)) return text;
      if (step.kind == Kind::kPrependToFirstPart && !is_first) return text;
      return step.to + text;
  }
  return text;
}

}  // namespace

std::string Normalizer::Apply(std::string_view part, bool is_first) const {
  std::string text(part);
  for (const Step& step : steps_) text = ApplyStep(step, std::move(text), is_first);
  return text;
}

}  // namespace spark
