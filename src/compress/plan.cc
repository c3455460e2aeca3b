// The plan language: none | stage[+stage…], stage = name[:argument][ '[' option=value,… ']' ].
#include <fmt/format.h>

#include <algorithm>

#include "compress/registry.h"
#include "spark/compression.h"
#include "spark/error.h"

namespace spark {
namespace {

class PlanParser {
 public:
  explicit PlanParser(std::string_view text) : text_(text) {}

  std::vector<StageText> Parse() {
    std::vector<StageText> stages;
    do {
      stages.push_back(ParseStage());
    } while (Accept('+'));
    if (at_ < text_.size()) FailPlan(text_, at_, fmt::format("unexpected '{}'", text_[at_]));
    return stages;
  }

 private:
  StageText ParseStage() {
    StageText stage;
    stage.position = at_;
    stage.name = Word(":[+");
    if (stage.name.empty()) FailPlan(text_, at_, "a method's name is missing");
    if (Accept(':')) {
      stage.argument_position = at_;
      stage.argument = Word("[+");
    }
    if (Accept('[')) ParseOptions(stage);
    return stage;
  }

  void ParseOptions(StageText& stage) {
    do {
      OptionText option;
      option.name_position = at_;
      option.name = Word("=,]");
      if (!Accept('=')) FailPlan(text_, at_, fmt::format("'=' expected after '{}'", option.name));
      option.value_position = at_;
      option.value = Word(",]");
      stage.options.push_back(std::move(option));
    } while (Accept(','));
    if (!Accept(']')) FailPlan(text_, at_, "']' expected");
  }

  std::string Word(std::string_view stops) {
    const size_t end = std::min(text_.find_first_of(stops, at_), text_.size());
    std::string word(text_.substr(at_, end - at_));
    at_ = end;
    return word;
  }

  bool Accept(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::string AvailableMethods() {
  std::string names = "none";
  for (const MethodInfo& method : Registry()) {
    names += fmt::format(", {}", method.name);
  }
  return names;
}

void CheckOptions(std::string_view plan, const StageText& stage, const MethodInfo& method) {
  for (size_t i = 0; i < stage.options.size(); ++i) {
    const OptionText& option = stage.options[i];
    bool known = false;
    std::string names;
    for (const OptionInfo& info : method.options) {
      known = known || info.name == option.name;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", info.name);
    }
    if (!known) {
      FailPlan(
          plan, option.name_position,
          fmt::format("'{}' has no option '{}', allowed {},", method.name, option.name, names));
    }
    for (size_t j = 0; j < i; ++j) {
      if (stage.options[j].name == option.name) {
        FailPlan(plan, option.name_position, fmt::format("'{}' given twice", option.name));
      }
    }
  }
}

const MethodInfo& RequireMethod(std::string_view plan, const StageText& stage) {
  const MethodInfo* method = FindMethod(stage.name);
  if (method == nullptr) {
    FailPlan(plan, stage.position,
             fmt::format("unknown method '{}', allowed {},", stage.name, AvailableMethods()));
  }
  return *method;
}

}  // namespace

CompressionPlan CompressionPlan::Parse(std::string_view text) {
  CompressionPlan plan;
  const std::vector<StageText> stages = PlanParser(text).Parse();
  plan.text_ = text;
  if (stages.size() == 1 && (stages[0].name == "none" || stages[0].name == "full")) {
    if (text != stages[0].name) {
      FailPlan(text, stages[0].name.size(), "'none' takes no argument and no options");
    }
    return plan;
  }
  for (const StageText& stage : stages) {
    const MethodInfo& method = RequireMethod(text, stage);
    if (plan.channel_ != nullptr) {
      FailPlan(text, stage.position,
               method.make_token ? "a token stage stands before the channel stage; one starts"
                                 : "a plan has at most one channel stage; a second one starts");
    }
    if (plan.token_ != nullptr && method.make_token) {
      FailPlan(text, stage.position, "a plan has at most one token stage; a second one starts");
    }
    CheckOptions(text, stage, method);
    const StageOptions options(text, stage);
    if (method.make_token) {
      plan.token_ = method.make_token(options);
      plan.token_in_windows_ = options.Choice(kLayersOption, 0, {"global", "all"}) == 1;
    } else {
      plan.channel_ = method.make_channel(options);
      plan.channel_in_windows_ = options.Choice(kLayersOption, 0, {"global", "all"}) == 1;
    }
  }
  return plan;
}

size_t CompressionPlan::window() const {
  const size_t token = token_ == nullptr ? 0 : token_->window();
  const size_t channel = channel_ == nullptr ? 0 : channel_->window();
  return std::max(token, channel);
}

}  // namespace spark
