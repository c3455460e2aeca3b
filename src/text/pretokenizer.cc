#include "text/pretokenizer.h"

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace spark {
namespace {

struct Span {
  std::string_view text;
  bool is_match;
};

// Adjacent views of one text.
std::string_view Join(std::string_view a, std::string_view b) {
  return {a.data(), a.size() + b.size()};
}

// The matches of `regex` and the text between them, some of it empty.
std::vector<Span> FindSpans(const Regex& regex, std::string_view run, Regex::Scratch& scratch) {
  std::vector<Span> spans;
  size_t done = 0;
  regex.ForEachMatch(run, scratch, [&](size_t begin, size_t end) {
    if (begin > done) spans.push_back({run.substr(done, begin - done), false});
    spans.push_back({run.substr(begin, end - begin), true});
    done = end;
  });
  if (done < run.size()) spans.push_back({run.substr(done), false});
  return spans;
}

// A match joins its neighbour behind it: the mirror image of kMergedWithPrevious.
void MergeWithNext(const std::vector<Span>& spans, std::vector<std::string_view>& pieces) {
  const auto first = static_cast<std::ptrdiff_t>(pieces.size());
  bool after_match = false;
  for (size_t i = spans.size(); i-- > 0;) {
    const Span& span = spans[i];
    const bool joins = span.is_match && !after_match && pieces.size() > static_cast<size_t>(first);
    if (joins) {
      pieces.back() = Join(span.text, pieces.back());
    } else {
      pieces.push_back(span.text);
    }
    after_match = span.is_match;
  }
  std::reverse(pieces.begin() + first, pieces.end());
}

void Arrange(const std::vector<Span>& spans, SplitBehavior behavior,
             std::vector<std::string_view>& pieces) {
  if (behavior == SplitBehavior::kMergedWithNext) return MergeWithNext(spans, pieces);
  const size_t first = pieces.size();
  bool before_match = false;
  for (const Span& span : spans) {
    bool joins = false;
    if (behavior == SplitBehavior::kMergedWithPrevious) joins = span.is_match && !before_match;
    if (behavior == SplitBehavior::kContiguous) joins = span.is_match == before_match;
    before_match = span.is_match;
    if (behavior == SplitBehavior::kRemoved && span.is_match) continue;
    if (joins && pieces.size() > first) {
      pieces.back() = Join(pieces.back(), span.text);
    } else {
      pieces.push_back(span.text);
    }
  }
}

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

void PreTokenizer::Step::Split(std::string_view run, Regex::Scratch& scratch,
                               std::vector<std::string_view>& pieces) const {
  // By far the most common, and the same either way round: needs no list.
  if (behavior == SplitBehavior::kIsolated) return SplitIsolated(run, scratch, pieces);
  std::vector<Span> spans = FindSpans(regex, run, scratch);
  if (invert) {
    for (Span& span : spans) span.is_match = !span.is_match;
  }
  const auto first = static_cast<std::ptrdiff_t>(pieces.size());
  Arrange(spans, behavior, pieces);
  const auto is_empty = [](std::string_view piece) { return piece.empty(); };
  pieces.erase(std::remove_if(pieces.begin() + first, pieces.end(), is_empty), pieces.end());
}

void PreTokenizer::Step::SplitIsolated(std::string_view run, Regex::Scratch& scratch,
                                       std::vector<std::string_view>& pieces) const {
  size_t done = 0;
  regex.ForEachMatch(run, scratch, [&](size_t begin, size_t end) {
    if (begin > done) pieces.push_back(run.substr(done, begin - done));
    if (end > begin) pieces.push_back(run.substr(begin, end - begin));
    done = end;
  });
  if (done < run.size()) pieces.push_back(run.substr(done));
}

void PreTokenizer::Add(Regex regex, SplitBehavior behavior, bool invert) {
  steps_.push_back({std::move(regex), behavior, invert});
}

void PreTokenizer::Split(std::string_view text, std::vector<std::string_view>& pieces) const {
  if (text.empty()) return;
  if (steps_.empty()) {
    pieces.push_back(text);
    return;
  }
  Regex::Scratch scratch(text.size());
  std::vector<std::string_view> from;
  std::vector<std::string_view> to;
  ForEachRun(text, [&](std::string_view run, bool is_valid) {
    if (!is_valid) {
      pieces.push_back(run);
      return;
    }
    to.assign(1, run);
    for (const Step& step : steps_) {
      std::swap(from, to);
      to.clear();
      for (const std::string_view piece : from) step.Split(piece, scratch, to);
    }
    pieces.insert(pieces.end(), to.begin(), to.end());
  });
}

}  // namespace spark
