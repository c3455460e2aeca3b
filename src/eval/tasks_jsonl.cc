// Samples from a file of JSON lines. Three families of names are read:
//   ours, and kvpress's   context, question, answers | answer, answer_prefix, max_new_tokens,
//   metric LongBench             context, input, answers, all_classes RULER                 input
//   (its last line is the question), outputs, answer_prefix
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "eval/haystack.h"
#include "eval/task_generated.h"
#include "io/json.h"
#include "spark/error.h"
#include "spark/prompt.h"
#include "text/utf8.h"

namespace spark {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxAnswers = 1000;
constexpr size_t kMaxAnswerBytes = 64 << 10;  // scoring takes time by the product of lengths
constexpr size_t kMaxNewTokens = 4096;
constexpr size_t kDefaultNewTokens = 64;
constexpr size_t kDefaultLabelTokens = 16;

struct Line {
  Sample sample;
  MetricKind metric;
};

class LineReader {
 public:
  // `where`: "FILE: line N", for messages.
  LineReader(const std::string& where, std::string_view text)
      : where_(where), json_(ParseJson(text, where)) {
    if (!json_.is_object()) Fail("", "not an object", json_.type_name(), "{…}");
  }

  Line Read(std::optional<MetricKind> metric) const {
    Sample sample;
    const bool ruler = !json_.contains("context") && json_.contains("input");
    std::string question;
    if (ruler) {
      SplitInput(sample.context, question);
    } else {
      sample.context = Text("context").value();
      question = OneOf({"question", "input"});
    }
    if (sample.context.empty()) Fail("context", "there is nothing to compress", "\"\"", "text");
    sample.question = Prompt(sample.context, question);
    sample.answers = Answers();
    const bool classes = Classes();
    sample.max_new_tokens = NewTokens(classes ? kDefaultLabelTokens : kDefaultNewTokens);
    if (classes) sample.stops = {"\n"};
    const MetricKind usual = classes                     ? MetricKind::kExact
                             : json_.contains("outputs") ? MetricKind::kRecall
                                                         : MetricKind::kF1;
    if (!metric) metric = Metric();
    return {std::move(sample), metric.value_or(usual)};
  }

  [[noreturn]] void Fail(std::string_view field, const std::string& message, std::string found,
                         std::string allowed) const {
    throw Error(message, {.file = where_,
                          .field = std::string(field),
                          .found = std::move(found),
                          .allowed = std::move(allowed)});
  }

 private:
  // Nothing when the field is missing or null.
  std::optional<std::string> OptionalText(std::string_view field) const {
    const auto found = json_.find(field);
    if (found == json_.end() || found->is_null()) return std::nullopt;
    if (!found->is_string()) Fail(field, "not a text", found->type_name(), "a string");
    return found->get<std::string>();
  }

  std::optional<std::string> Text(std::string_view field) const {
    auto text = OptionalText(field);
    if (!text) Fail(field, "missing", "", "context, question, answers (or LongBench's or RULER's)");
    return text;
  }

  std::string OneOf(std::initializer_list<std::string_view> fields) const {
    for (const std::string_view field : fields) {
      if (auto text = OptionalText(field)) return *std::move(text);
    }
    return Text(*fields.begin()).value();
  }

  void SplitInput(std::string& context, std::string& question) const {
    std::string_view input = json_["input"].is_string()
                                 ? std::string_view(json_["input"].get_ref<const std::string&>())
                                 : std::string_view();
    if (input.empty()) Text("input");  // says what is wrong, or:
    while (input.ends_with('\n')) input.remove_suffix(1);
    const size_t cut = input.rfind('\n');
    if (cut == input.npos || cut == 0) {
      Fail("input", "without a context the last line is the question", "one line",
           "a context in front of it");
    }
    context = input.substr(0, cut);
    question = input.substr(cut);
  }

  // What is fed behind the context, each part on a line of its own unless it says otherwise.
  std::string Prompt(std::string_view context, const std::string& question) const {
    const std::optional<std::string> prefix = OptionalText("answer_prefix");
    if (question.empty() && !prefix) return {};
    const auto joins = [](std::string_view before, std::string_view after) {
      constexpr std::string_view kSpace = " \n\t\r";
      return before.empty() || after.empty() || kSpace.find(before.back()) != kSpace.npos ||
             kSpace.find(after[0]) != kSpace.npos;
    };
    std::string prompt = (joins(context, question) ? "" : "\n") + question;
    const std::string begin = prefix.value_or("Answer:");
    const bool apart = !joins(prompt.empty() ? context : std::string_view(prompt), begin);
    return prompt + (apart ? "\n" : "") + begin;
  }

  std::vector<std::string> Answers() const {
    for (const std::string_view field : {"answers", "outputs", "answer"}) {
      const auto found = json_.find(field);
      if (found == json_.end() || found->is_null()) continue;
      std::vector<std::string> answers;
      if (found->is_string()) {
        answers.push_back(CheckedAnswer(field, *found));
      } else if (found->is_array()) {
        if (found->size() > kMaxAnswers) {
          Fail(field, "too many", fmt::format("{}", found->size()),
               fmt::format("up to {}", kMaxAnswers));
        }
        for (const Json& answer : *found) answers.push_back(CheckedAnswer(field, answer));
      } else {
        Fail(field, "not a list of texts", found->type_name(), "[\"…\", …]");
      }
      if (answers.empty()) Fail(field, "no answer", "[]", "one or more");
      return answers;
    }
    Fail("answers", "missing", "", "answers, outputs or answer");
  }

  std::string CheckedAnswer(std::string_view field, const Json& answer) const {
    if (!answer.is_string()) Fail(field, "not a text", answer.type_name(), "strings");
    auto text = answer.get<std::string>();
    if (text.empty()) Fail(field, "an empty answer is in every text", "\"\"", "text");
    if (text.size() > kMaxAnswerBytes) {
      Fail(field, "too long", fmt::format("{} bytes", text.size()),
           fmt::format("up to {}", kMaxAnswerBytes));
    }
    return text;
  }

  bool Classes() const {
    const auto found = json_.find("all_classes");
    if (found == json_.end() || found->is_null()) return false;
    if (!found->is_array()) Fail("all_classes", "not a list", found->type_name(), "[\"…\", …]");
    return !found->empty();
  }

  size_t NewTokens(size_t usual) const {
    const auto found = json_.find("max_new_tokens");
    if (found == json_.end() || found->is_null()) return usual;
    const bool fine = found->is_number_unsigned() && found->get<uint64_t>() >= 1 &&
                      found->get<uint64_t>() <= kMaxNewTokens;
    if (!fine) {
      Fail("max_new_tokens", "out of range", fmt::format("{:.40}", found->dump()),
           fmt::format("1 to {}", kMaxNewTokens));
    }
    return found->get<size_t>();
  }

  std::optional<MetricKind> Metric() const {
    const std::optional<std::string> name = OptionalText("metric");
    if (!name) return std::nullopt;
    const std::vector<std::string_view> names = MetricNames();
    if (std::ranges::find(names, *name) == names.end()) {  // not a UsageError: the file is wrong
      Fail("metric", "no such metric", fmt::format("'{:.40}'", *name),
           fmt::format("{}", fmt::join(names, ", ")));
    }
    return ParseMetric(*name, "metric");
  }

  const std::string& where_;
  Json json_;
};

struct JsonlName {
  std::string path;
  std::optional<MetricKind> metric;
};

JsonlName ParseName(std::string_view text) {
  constexpr std::string_view kOption = "metric=";
  const size_t open = text.rfind('[');
  if (open == text.npos || !text.ends_with(']')) return {std::string(text), std::nullopt};
  const std::string_view option = text.substr(open + 1, text.size() - open - 2);
  if (!option.starts_with(kOption)) {
    throw UsageError("no such option", {.field = "--task jsonl",
                                        .found = fmt::format("'{:.40}'", option),
                                        .allowed = "metric=NAME"});
  }
  return {std::string(text.substr(0, open)),
          ParseMetric(option.substr(kOption.size()), "--task jsonl: metric")};
}

// The middle goes, as LongBench cuts: what a text says first and last matters most.
std::string CutMiddle(const Tokenizer& tokenizer, const std::string& text, size_t n_tokens) {
  const std::vector<TokenId> ids = EncodeContext(tokenizer, text);
  if (ids.size() <= n_tokens) return text;
  // Bytes in proportion, then fewer until the tokens fit: cutting inside words can add some.
  const auto halves = [&text](size_t bytes) {
    size_t head = bytes / 2;
    size_t tail = text.size() - (bytes - head);
    const auto inside = [&text](size_t i) {  // a UTF-8 character
      return i > 0 && i < text.size() && (static_cast<uint8_t>(text[i]) & 0xC0) == 0x80;
    };
    while (inside(head)) --head;
    while (inside(tail)) ++tail;
    return text.substr(0, head) + text.substr(tail);
  };
  size_t low = 0;  // bytes that fit
  size_t high = text.size();
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    (CountTokens(tokenizer, halves(middle)) <= n_tokens ? low : high) = middle;
  }
  return halves(low);
}

class JsonlTask : public Task {
 public:
  JsonlTask(std::string_view name, const JsonlName& parsed) : name_(name) {
    const MappedFile file = MappedFile::Open(parsed.path, MapMode::kRead);
    const std::span<const std::byte> bytes = file.bytes();
    std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::optional<MetricKind> metric;
    size_t metric_line = 0;
    for (size_t number = 1; !rest.empty(); ++number) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.find_first_not_of(" \t\r") == line.npos) continue;
      const std::string where = fmt::format("{}: line {}", parsed.path, number);
      const LineReader reader(where, line);
      Line read = reader.Read(parsed.metric);
      if (metric && *metric != read.metric) {
        reader.Fail("metric", "a file has one metric", std::string(Name(read.metric)),
                    fmt::format("{} as in line {}, or jsonl:FILE[metric=NAME]", Name(*metric),
                                metric_line));
      }
      if (!metric) metric_line = number;
      metric = read.metric;
      samples_.push_back(std::move(read.sample));
    }
    if (samples_.empty()) throw Error("no lines of JSON", {.file = parsed.path});
    metric_ = *metric;
  }

  std::string_view name() const override { return name_; }
  MetricKind metric() const override { return metric_; }

  // A random choice of the lines, in the file's order.
  std::vector<Sample> Samples(const SampleRequest& request, const Model& model) const override {
    const Tokenizer* tokenizer = model.tokenizer();
    if (tokenizer == nullptr) throw Error(fmt::format("{}: the model has no tokenizer", name_));
    std::vector<size_t> chosen(samples_.size());
    for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = i;
    if (request.n_samples > 0 && request.n_samples < chosen.size()) {
      // Not by the path: the same file is the same task wherever it lies.
      chosen = SeededRandom(request.seed, "jsonl", 0).Sample(chosen, request.n_samples);
      std::ranges::sort(chosen);
    }
    std::vector<Sample> samples;
    for (const size_t i : chosen) {
      samples.push_back(samples_[i]);
      if (request.context_tokens == 0) continue;
      std::string& context = samples.back().context;
      context = CutMiddle(*tokenizer, context, request.context_tokens);
    }
    return samples;
  }

 private:
  std::string name_;
  MetricKind metric_ = MetricKind::kF1;
  std::vector<Sample> samples_;
};

}  // namespace

std::unique_ptr<Task> MakeJsonlTask(std::string_view name, std::string_view text) {
  return std::make_unique<JsonlTask>(name, ParseName(text));
}

}  // namespace spark
