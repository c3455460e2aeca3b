#include "apps/generate_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "apps/flag_parser.h"
#include "spark/error.h"
#include "spark/prompt.h"

namespace spark {
namespace {

constexpr const char* kDescription =
    "Generates text with a large language model whose KV cache is stored channel-sparse.";

constexpr const char* kFooter =
    R"(The prompt is the context: it is processed once and its KV cache compressed as --kv says. Each
question is appended to it as it is (add the space or line break it needs) and stays uncompressed;
all questions are answered from the same compressed context. Without a question, generation goes
on from the context. With --load-cache the context comes from a file; a prompt may be given as well,
and then has to be the one that was saved.

stdout carries the prompt, question and generated text as the model saw them; with several
questions every answer ends with a line break. --no-display-prompt leaves the answers alone. For a
model without a tokenizer the text is token ids. Statistics, warnings and progress go to stderr.

Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted.)";

constexpr uint64_t kMaxUint = std::numeric_limits<uint64_t>::max();
constexpr size_t kMaxTokens = size_t{1} << 30;

void AddPromptFlags(FlagParser& parser, GenerateFlags& flags) {
  parser.Group("Model and prompt");
  parser.Text("-m,--model", flags.model,
              ".gguf, .safetensors, or a folder with config.json (default: the model inside)");
  parser.Text("-p,--prompt", flags.prompt, "the context (default: stdin)");
  parser.Text("-f,--file", flags.file, "read it from a file; one line break at its end is dropped");
  parser.Text("--prompt-ids", flags.prompt_ids, "give it as token ids: 1,2,3");
  parser.List("-q,--question", flags.questions, "a question about it; repeatable");
  parser.List("--question-ids", flags.question_ids, "a question as token ids; repeatable");
  parser.Switch("-e,--escape", flags.escape,
                "process \\n, \\t, \\xHH, … in -p, -q, --system-prompt and --stop");
}

void AddGenerationFlags(FlagParser& parser, GenerateFlags& flags) {
  GenerationOptions& generation = flags.generation;
  SamplingOptions& sampling = generation.sampling;
  parser.Group("Generation");
  parser.Number<size_t>("-n,--n-predict,--predict", generation.max_tokens, 0, kMaxTokens,
                        "tokens to generate; 0: only evaluate");
  parser.Number<size_t>("-c,--ctx-size", flags.session.context_size, 0, kMaxTokens,
                        "tokens a session can hold", "what the model was trained for");
  parser.Number("-s,--seed", sampling.seed, uint64_t{0}, kMaxUint, "of the sampler");
  parser.Number("--temperature,--temp", sampling.temperature, 0.f, 1000.f,
                "temperature; 0: always the likeliest token");
  parser.Number<size_t>("--top-k", sampling.top_k, 0, kMaxTokens, "likeliest k tokens; 0: all");
  parser.Number("--top-p", sampling.top_p, 0.f, 1.f, "likeliest tokens with this mass; 1: all");
  parser.Number("--min-p", sampling.min_p, 0.f, 1.f,
                "tokens at least this likely relative to the likeliest; 0: all");
  parser.Number("--repeat-penalty", sampling.repeat_penalty, 0.01f, 100.f,
                "divides the logits of recent tokens; 1: none");
  parser.Number<size_t>("--repeat-last-n", sampling.repeat_last_n, 0, kMaxTokens,
                        "tokens that count as recent");
  parser.Switch("--ignore-eos", generation.ignore_eos, "never draw a token that ends the text");
  parser.List("--stop", generation.stops, "end before this text; repeatable");
  parser.Switch("--no-display-prompt", flags.no_display_prompt, "print only what is generated");
}

void AddChatFlags(FlagParser& parser, GenerateFlags& flags) {
  parser.Group("Chat");
  parser.Switch(
      "--conversation", flags.conversation,
      "answer a user's turns from stdin, a line each, in one cache; /help lists commands");
  parser.Text("--system-prompt", flags.system_prompt,
              "what the model is told first; asks for chat, without --conversation too");
  parser.Text("--chat-template", flags.chat_template,
              fmt::format("{}, or a file with a template (default: the model's)",
                          fmt::join(ChatFormatNames(), ", ")));
  parser.Switch("--no-chat-template", flags.no_chat_template, "take every text as it is");
}

void Check(const GenerateFlags& flags) {
  if (flags.prompt.has_value() + flags.file.has_value() + flags.prompt_ids.has_value() > 1) {
    throw UsageError("only one of --prompt, --file and --prompt-ids can be given");
  }
  if (!flags.questions.empty() && !flags.question_ids.empty()) {
    throw UsageError("only one of --question and --question-ids can be given");
  }
  if (flags.chat_template && flags.no_chat_template) {
    throw UsageError("only one of --chat-template and --no-chat-template can be given");
  }
  for (const std::string& stop : flags.generation.stops) {
    if (stop.empty()) throw UsageError("--stop: a stop text must not be empty");
  }
  const bool asked = !flags.questions.empty() || !flags.question_ids.empty();
  if (flags.conversation && (asked || flags.logits_out)) {
    throw UsageError("--conversation takes neither questions nor --logits-out");
  }
  if (flags.conversation && (flags.save_cache || flags.load_cache)) {
    throw UsageError("--conversation takes neither --save-cache nor --load-cache");
  }
  if (flags.load_cache && flags.logits_out && !asked) {
    throw UsageError(
        "--load-cache computes no logits of the context: --logits-out needs a question");
  }
}

}  // namespace

std::optional<std::string> ParseGenerateFlags(int argc, const char* const* argv,
                                              GenerateFlags& flags) {
  FlagParser parser("spark-generate", kDescription, kFooter);
  AddPromptFlags(parser, flags);
  AddGenerationFlags(parser, flags);
  AddChatFlags(parser, flags);
  AddCacheFlags(parser, flags);
  AddRunFlags(parser, flags);
  parser.Alias("-ctk", "--cache-type-k");
  parser.Alias("-ctv", "--cache-type-v");
  parser.Alias("-cnv", "--conversation");
  parser.Alias("-sys", "--system-prompt");
  auto help = parser.Parse(argc, argv);
  if (flags.escape) {
    for (std::string& stop : flags.generation.stops) stop = ProcessEscapes(stop);
  }
  flags.model_options.use_mmap = !flags.no_mmap;
  flags.session.compute_f32 = flags.compute == "f32";
  flags.session.keep_context = flags.questions.size() + flags.question_ids.size() > 1;
  if (!help) Check(flags);
  return help;
}

}  // namespace spark
