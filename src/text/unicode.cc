#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "text/utf8.h"

namespace spark {
namespace {

using CodePoint = utf8proc_int32_t;

// `text` begins with a character.
CodePoint Decode(std::string_view text) {
  CodePoint c = -1;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &c);
  return c;
}

void Append(CodePoint c, std::string& out) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto size = utf8proc_encode_char(c, bytes.data());
  out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(size));
}

// Calls visit(code point or -1, bytes) for each character and each byte that is of none.
template <typename Visit>
void ForEachCharacter(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    const std::string_view bytes = text.substr(0, step.size);
    visit(step.kind == Utf8Step::Kind::kCharacter ? Decode(bytes) : -1, bytes);
    text.remove_prefix(step.size);
  }
}

int CombiningClass(CodePoint c) { return utf8proc_get_property(c)->combining_class; }

void AppendDecomposed(CodePoint c, bool compatible, std::vector<CodePoint>& out) {
  std::array<CodePoint, 32> parts{};  // no character has more than 18
  const int options = UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0);
  int boundary = 0;
  const auto size =
      utf8proc_decompose_char(c, parts.data(), static_cast<utf8proc_ssize_t>(parts.size()),
                              static_cast<utf8proc_option_t>(options), &boundary);
  if (size < 0 || static_cast<size_t>(size) > parts.size()) {
    out.push_back(c);
  } else {
    out.insert(out.end(), parts.begin(), parts.begin() + size);
  }
}

// Canonical order: marks behind a character by class. utf8proc would do it with a bubble sort.
void SortMarks(std::vector<CodePoint>& text) {
  for (auto begin = text.begin(); begin != text.end();) {
    if (CombiningClass(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end =
        std::find_if(begin, text.end(), [](CodePoint c) { return CombiningClass(c) == 0; });
    std::stable_sort(
        begin, end, [](CodePoint a, CodePoint b) { return CombiningClass(a) < CombiningClass(b); });
    begin = end;
  }
}

// Normalizes and empties `run`.
void AppendNormalized(std::vector<CodePoint>& run, bool compose, std::string& out) {
  SortMarks(run);
  auto size = static_cast<utf8proc_ssize_t>(run.size());
  if (compose) {
    size = utf8proc_normalize_utf32(
        run.data(), size, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  }
  for (utf8proc_ssize_t i = 0; i < size; ++i) Append(run[static_cast<size_t>(i)], out);
  run.clear();
}

bool IsSpace(CodePoint c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x85 || utf8proc_category(c) == UTF8PROC_CATEGORY_ZS ||
         utf8proc_category(c) == UTF8PROC_CATEGORY_ZL ||
         utf8proc_category(c) == UTF8PROC_CATEGORY_ZP;
}

bool IsWord(CodePoint c) {
  const auto category = utf8proc_category(c);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ND) ||
         category == UTF8PROC_CATEGORY_PC;
}

// The last character's bytes; one byte if it is of none.
std::string_view LastCharacter(std::string_view text) {
  for (size_t size = 1; size <= std::min<size_t>(4, text.size()); ++size) {
    const std::string_view tail = text.substr(text.size() - size);
    const Utf8Step step = NextUtf8(tail);
    if (step.kind == Utf8Step::Kind::kCharacter && step.size == size) return tail;
  }
  return text.substr(text.size() - 1);
}

template <typename Test>
bool IsCharacter(std::string_view bytes, Test test) {
  return NextUtf8(bytes).kind == Utf8Step::Kind::kCharacter && test(Decode(bytes));
}

}  // namespace

std::string Normalize(std::string_view text, NormalForm form) {
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::ranges::all_of(text, is_ascii)) return std::string(text);
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  std::string out;
  out.reserve(text.size());
  std::vector<CodePoint> run;
  ForEachCharacter(text, [&](CodePoint c, std::string_view bytes) {
    // ASCII decomposes and composes with nothing before it, so the text may be cut there.
    if (c < 0x80) AppendNormalized(run, compose, out);
    if (c < 0) {
      out += bytes;
    } else if (c < 0x80) {
      run.push_back(c);
    } else {
      AppendDecomposed(c, compatible, run);
    }
  });
  AppendNormalized(run, compose, out);
  return out;
}

std::string Lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  ForEachCharacter(text, [&out](CodePoint c, std::string_view bytes) {
    if (c < 0) {
      out += bytes;
    } else if (c == 0x130) {  // the only character whose lower case is two
      out += "i\u0307";
    } else {
      Append(utf8proc_tolower(c), out);
    }
  });
  return out;
}

size_t LeadingSpace(std::string_view text) {
  size_t size = 0;
  while (size < text.size() && IsCharacter(text.substr(size), IsSpace)) {
    size += NextUtf8(text.substr(size)).size;
  }
  return size;
}

size_t TrailingSpace(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    const std::string_view last = LastCharacter(text.substr(0, text.size() - size));
    if (!IsCharacter(last, IsSpace)) break;
    size += last.size();
  }
  return size;
}

bool BeginsWithWord(std::string_view text) { return !text.empty() && IsCharacter(text, IsWord); }

bool EndsWithWord(std::string_view text) {
  return !text.empty() && IsCharacter(LastCharacter(text), IsWord);
}

}  // namespace spark
