#include "spark/generation.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>

#include "base/seconds.h"
#include "generate/stop_filter.h"
#include "spark/error.h"

namespace spark {
namespace {

// Tokens to the text that a reader may see: decoded, whole characters only, up to a stop text.
class TextOutput {
 public:
  TextOutput(const Tokenizer* tokenizer, const GenerationOptions& options, const TextSink& sink)
      : tokenizer_(tokenizer), filter_(options.stops), sink_(sink) {
    if (tokenizer_ != nullptr) {
      decoder_.emplace(*tokenizer_);
    } else if (!options.stops.empty()) {
      throw UsageError("stop texts need a model with a tokenizer");
    }
  }

  void Push(TokenId id) {
    if (tokenizer_ == nullptr) {
      Show(fmt::format("{}{}", text_.empty() ? "" : " ", id));
    } else if (!tokenizer_->IsControl(id)) {
      Show(filter_.Push(decoder_->Push(id)));
    }
  }

  // Shows what was held back; returns the whole text.
  std::string Finish() {
    if (decoder_) Show(filter_.Push(decoder_->Flush()));
    Show(filter_.Flush());
    return std::move(text_);
  }

  bool stopped() const { return filter_.stopped(); }

 private:
  void Show(const std::string& text) {
    if (text.empty()) return;
    text_ += text;
    if (sink_) sink_(text);
  }

  const Tokenizer* tokenizer_;
  std::optional<StreamDecoder> decoder_;
  StopFilter filter_;
  const TextSink& sink_;
  std::string text_;
};

std::vector<TokenId> EndOfTextTokens(const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; static_cast<size_t>(id) < tokenizer.vocab_size(); ++id) {
    if (tokenizer.IsEndOfText(id)) ids.push_back(id);
  }
  return ids;
}

class Generator {
 public:
  Generator(Session& session, const Tokenizer* tokenizer, std::span<const TokenId> history,
            const GenerationOptions& options, const TextSink& sink)
      : session_(session),
        tokenizer_(tokenizer),
        options_(options),
        sampler_(options.sampling),
        output_(tokenizer, options, sink) {
    sampler_.Accept(history);
    if (options.ignore_eos && tokenizer != nullptr) banned_ = EndOfTextTokens(*tokenizer);
  }

  Generation Run() {
    const Clock::time_point start = Clock::now();
    result_.stop_reason = Loop();
    result_.decode_seconds = SecondsSince(start);
    result_.text = output_.Finish();
    return std::move(result_);
  }

 private:
  StopReason Loop() {
    while (result_.ids.size() < options_.max_tokens) {
      if (options_.interrupted && options_.interrupted()) return StopReason::kInterrupted;
      const TokenId id = Draw();
      if (tokenizer_ != nullptr && tokenizer_->IsEndOfText(id)) return StopReason::kEndOfText;
      result_.ids.push_back(id);
      output_.Push(id);
      if (output_.stopped()) return StopReason::kStopText;
      if (result_.ids.size() == options_.max_tokens) break;  // no need to feed the last one
      if (session_.position() >= session_.context_size()) return StopReason::kContextFull;
      sampler_.Accept(id);
      session_.Append(std::span(&id, 1));
      ++result_.decode_steps;
    }
    return StopReason::kLength;
  }

  TokenId Draw() {
    const std::span<const float> logits = session_.NextLogits();
    if (banned_.empty()) return sampler_.Sample(logits);
    std::vector<float> allowed(logits.begin(), logits.end());
    for (const TokenId id : banned_) {
      allowed.at(static_cast<size_t>(id)) = -std::numeric_limits<float>::infinity();
    }
    return sampler_.Sample(allowed);
  }

  Session& session_;
  const Tokenizer* tokenizer_;
  const GenerationOptions& options_;
  Sampler sampler_;
  TextOutput output_;
  std::vector<TokenId> banned_;  // never drawn
  Generation result_;
};

}  // namespace

std::string_view Name(StopReason reason) {
  switch (reason) {
    case StopReason::kEndOfText:
      return "end_of_text";
    case StopReason::kLength:
      return "length";
    case StopReason::kStopText:
      return "stop_text";
    case StopReason::kContextFull:
      return "context_full";
    case StopReason::kInterrupted:
      return "interrupted";
  }
  return "unknown";
}

Generation Generate(Session& session, const Tokenizer* tokenizer, std::span<const TokenId> history,
                    const GenerationOptions& options, const TextSink& sink) {
  return Generator(session, tokenizer, history, options, sink).Run();
}

}  // namespace spark
