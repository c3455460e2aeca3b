#include "apps/sweep_lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "spark/error.h"

namespace spark {
namespace {

// A whole number at the front of `text`, which is moved behind it.
size_t TakeNumber(const std::string& flag, std::string_view& text, std::string_view whole,
                  const std::string& allowed) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) {
    throw UsageError("not a whole number in range",
                     {.field = flag, .found = fmt::format("'{}'", whole), .allowed = allowed});
  }
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

bool Accept(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::vector<std::string> SplitList(const std::string& flag, const std::string& list) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    std::string part = list.substr(begin, end - begin);
    if (part.empty()) {
      throw UsageError("an entry is missing", {.field = flag, .found = fmt::format("'{}'", list)});
    }
    if (std::ranges::find(parts, part) == parts.end()) parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

std::vector<size_t> ParseNumbers(const std::string& flag, const std::string& list, size_t least,
                                 size_t most) {
  constexpr size_t kMostEntries = 10'000;
  const std::string allowed = fmt::format("{} to {}, or first-last+step", least, most);
  const auto fail = [&](const std::string& part) {
    throw UsageError("not a whole number in range",
                     {.field = flag, .found = fmt::format("'{}'", part), .allowed = allowed});
  };
  std::vector<size_t> numbers;
  for (const std::string& part : SplitList(flag, list)) {
    std::string_view rest = part;
    const size_t first = TakeNumber(flag, rest, part, allowed);
    size_t last = first, step = 1;
    if (Accept(rest, '-')) {
      last = TakeNumber(flag, rest, part, allowed);
      if (!Accept(rest, '+')) fail(part);
      step = TakeNumber(flag, rest, part, allowed);
    }
    if (!rest.empty() || step == 0 || first < least || last > most || last < first) fail(part);
    if ((last - first) / step >= kMostEntries) fail(part);
    for (size_t n = first; n <= last; n += step) {
      if (std::ranges::find(numbers, n) == numbers.end()) numbers.push_back(n);
    }
  }
  return numbers;
}

std::vector<CacheType> ParseCacheTypes(const std::string& flag, const std::string& list) {
  std::vector<CacheType> types;
  for (const std::string& name : SplitList(flag, list)) {
    const CacheType type = ParseCacheType(name, flag);
    if (std::ranges::find(types, type) == types.end()) types.push_back(type);
  }
  return types;
}

void ParseShard(const std::string& flag, const std::string& text, size_t& shard, size_t& n_shards) {
  const std::string allowed = "I/N with 1 <= I <= N";
  std::string_view rest = text;
  shard = TakeNumber(flag, rest, text, allowed);
  const bool slash = Accept(rest, '/');
  n_shards = slash ? TakeNumber(flag, rest, text, allowed) : 0;
  if (!rest.empty() || shard < 1 || shard > n_shards || n_shards > 1'000'000) {
    throw UsageError("no shard",
                     {.field = flag, .found = fmt::format("'{}'", text), .allowed = allowed});
  }
}

void CheckFormat(const std::string& flag, const std::string& format) {
  if (format == "md" || format == "csv" || format == "jsonl" || format == "json") return;
  throw UsageError(
      "unknown value",
      {.field = flag, .found = fmt::format("'{}'", format), .allowed = "md, csv, jsonl, json"});
}

std::vector<const char*> TakeMerge(int argc, const char* const* argv, SweepFlags& flags) {
  std::vector<const char*> rest(argv, argv + argc);
  if (argc < 2 || std::strcmp(argv[1], "merge") != 0) return rest;
  flags.merge = true;
  std::vector<const char*> others = {argv[0]};
  // Flags of merge take a value each, or none and begin with "--".
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    const bool value_follows = word == "-o" || word == "--output" || word == "--format";
    if (!word.starts_with("-")) {
      flags.folders.push_back(word);
      continue;
    }
    others.push_back(argv[i]);
    if (value_follows && i + 1 < argc) others.push_back(argv[++i]);
  }
  return others;
}

}  // namespace spark
