#include "spark/conversation.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "spark/error.h"
#include "spark/prompt.h"

namespace spark {
namespace conversation_test {

const Model& Embedded() {
  static const Model model = Model::LoadEmbedded();
  return model;
}

ConversationOptions Options(const std::string& plan, CacheType type = CacheType::kF32) {
  ConversationOptions options;
  options.format = FindChatFormat("chatml");
  options.system = "Tell stories.";
  options.session.plan = CompressionPlan::Parse(plan);
  options.session.cache_type_k = options.session.cache_type_v = type;
  options.session.threads = 1;
  options.session.compute_f32 = true;
  return options;
}

Generation Ask(Conversation& conversation, const std::string& turn, size_t max_tokens = 12,
               const std::function<bool()>& interrupted = {}) {
  GenerationOptions options;
  options.max_tokens = max_tokens;
  options.interrupted = interrupted;
  return conversation.Answer(turn, options, {});
}

float LargestDifference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// Of the conversation's cache, and of one that is computed from its tokens at once.
float DistanceToOneRun(Conversation& conversation, const SessionOptions& options) {
  Session whole(Embedded(), options);
  whole.Prefill(conversation.ids());
  return LargestDifference(conversation.session().NextLogits(), whole.NextLogits());
}

constexpr float kRounding = 1e-3f;  // of logits of about 10, through a network's sums

TEST_CASE("without a plan a conversation equals one run over all of its text", "[conversation]") {
  const ConversationOptions options = Options("none");
  Conversation conversation(Embedded(), options);
  std::vector<TokenId> answer;
  for (const char* turn : {"Once there was a fox.", "And then?", "What did the\nrabbit say?"}) {
    answer = Ask(conversation, turn).ids;
    CHECK(conversation.session().position() == conversation.ids().size());
    CHECK(DistanceToOneRun(conversation, options.session) < kRounding);
  }
  // The text that the session saw is the rendered conversation, up to the last token, which has
  // been drawn and not fed.
  CHECK(conversation.messages().size() == 7);
  std::string text = RenderChat(*options.format, conversation.messages(), false);
  text.resize(text.size() - options.format->assistant.end.size());
  std::vector<TokenId> all(conversation.ids().begin(), conversation.ids().end());
  const auto ids_before = std::ssize(all) - std::ssize(answer) + 1;
  if (answer.size() == 12) all.push_back(answer.back());
  const std::string fed = Embedded().tokenizer()->Decode(all);
  CHECK(fed.ends_with(text));  // a bos may stand in front

  // And the last answer is what that run would have said.
  Session whole(Embedded(), options.session);
  const auto first = std::span(all).first(static_cast<size_t>(ids_before));
  whole.Prefill(first);
  GenerationOptions generation;
  generation.max_tokens = 12;
  CHECK(Generate(whole, Embedded().tokenizer(), first, generation, {}).ids == answer);
}

TEST_CASE("turns are compressed when they have been answered", "[conversation]") {
  for (const std::string plan :
       {"spark:0.5", "think:0.5", "snapkv:0.5+spark:0.8", "spark:0.8[keep=4,sinks=2]", "h2o:n=40",
        "snapkv:n=80+spark:0.8", "expected:0.5"}) {
    for (const CacheType type : {CacheType::kF16, CacheType::kQ8_0}) {
      CAPTURE(plan);
      Conversation conversation(Embedded(), Options(plan, type));
      const size_t empty = conversation.session().kv_bytes().dense_tail;
      size_t tokens = 0;
      size_t before = 0;
      for (const char* turn : {"Once there was a fox.", "And then?", "Why?", "Who came by?"}) {
        // While a turn is under way its tokens are dense.
        size_t dense = 0;
        GenerationOptions options;
        options.max_tokens = 40;
        options.ignore_eos = true;
        conversation.Answer(turn, options, [&](std::string_view) {
          dense = std::max(dense, conversation.session().kv_bytes().dense_tail);
        });
        const KvBytes bytes = conversation.session().kv_bytes();
        CHECK(dense > bytes.dense_tail);
        CHECK(bytes.total() == bytes.key_values + bytes.key_masks + bytes.key_signs +
                                   bytes.key_scalars + bytes.values + bytes.dense_tail);
        if (plan.find("keep") == plan.npos) CHECK(bytes.dense_tail <= empty + before);
        // Nothing is fed twice.
        CHECK(conversation.session().position() == conversation.ids().size());
        CHECK(conversation.session().position() > tokens);
        tokens = conversation.session().position();
      }
      for (const float logit : conversation.session().NextLogits()) CHECK(std::isfinite(logit));
    }
  }
}

TEST_CASE("turns are compressed beside a decode interval, too", "[conversation]") {
  for (const std::string plan : {"none", "spark:0.5", "think:0.5", "spark:0.8[keep=4]"}) {
    CAPTURE(plan);
    ConversationOptions options = Options(plan);
    options.session.decode_interval = 7;
    Conversation conversation(Embedded(), options);
    for (int i = 0; i < 3; ++i) Ask(conversation, "Once there was a fox.", 20);
    CHECK(conversation.session().position() == conversation.ids().size());
    for (const float logit : conversation.session().NextLogits()) CHECK(std::isfinite(logit));
    if (plan == "none") CHECK(DistanceToOneRun(conversation, Options("none").session) < kRounding);
  }
}

TEST_CASE("spark's conversation takes fewer bytes than a dense one", "[conversation]") {
  const auto bytes = [](const std::string& plan) {
    Conversation conversation(Embedded(), Options(plan, CacheType::kF16));
    for (int i = 0; i < 3; ++i) Ask(conversation, "Once there was a fox. And then?", 60);
    return static_cast<double>(conversation.session().kv_bytes().total()) /
           static_cast<double>(conversation.session().position());
  };
  CHECK(bytes("spark:0.8") < 0.9 * bytes("none"));
}

TEST_CASE("an answer that is interrupted stays, and the next turn goes on behind it",
          "[conversation]") {
  const ConversationOptions options = Options("none");
  Conversation conversation(Embedded(), options);
  int asked = 0;
  const Generation cut =
      Ask(conversation, "Once there was a fox.", 30, [&] { return ++asked > 5; });
  CHECK(cut.stop_reason == StopReason::kInterrupted);
  CHECK(cut.ids.size() == 5);
  CHECK(conversation.messages().back().content == cut.text);
  CHECK(Ask(conversation, "Go on.", 8, [] { return true; }).ids.empty());
  CHECK(Ask(conversation, "Go on.", 8).ids.size() > 0);
  CHECK(DistanceToOneRun(conversation, options.session) < kRounding);
  CHECK(conversation.messages().size() == 7);
}

TEST_CASE("a first turn that is not read leaves an empty conversation", "[conversation]") {
  Conversation conversation(Embedded(), Options("spark:0.5"));
  const Progress stop = [](size_t, size_t) { return false; };
  CHECK_THROWS_AS(conversation.Answer("Once", {}, {}, stop), Interrupted);
  CHECK(conversation.session().position() == 0);
  CHECK(conversation.messages().size() == 1);
  Ask(conversation, "Once", 3);
  // Later turns are read to their end.
  GenerationOptions options;
  options.max_tokens = 3;
  CHECK_NOTHROW(conversation.Answer("Go on.", options, {}, stop));
  CHECK(conversation.messages().size() == 5);
}

TEST_CASE("a turn that does not fit changes nothing", "[conversation]") {
  ConversationOptions options = Options("spark:0.5");
  options.session.context_size = 300;
  Conversation conversation(Embedded(), options);
  std::string longer;
  for (int i = 0; i < 400; ++i) longer += "fox ";
  CHECK_THROWS_AS(Ask(conversation, longer), Error);
  CHECK(conversation.messages().size() == 1);
  Ask(conversation, "Once", 3);
  const size_t position = conversation.session().position();
  CHECK_THROWS_AS(Ask(conversation, longer), Error);
  CHECK(conversation.session().position() == position);
  CHECK(conversation.messages().size() == 3);
  Ask(conversation, "Go on.", 3);
  CHECK(conversation.messages().size() == 5);
}

TEST_CASE("a conversation can begin again, and has a transcript", "[conversation]") {
  Conversation conversation(Embedded(), Options("spark:0.5"));
  const Generation first = Ask(conversation, "Once \"upon\"\na time");
  Ask(conversation, "And then?");
  std::istringstream lines(conversation.Transcript());
  std::vector<nlohmann::json> messages;
  for (std::string line; std::getline(lines, line);) {
    messages.push_back(nlohmann::json::parse(line));
  }
  REQUIRE(messages.size() == 5);
  CHECK(messages[0] == nlohmann::json{{"role", "system"}, {"content", "Tell stories."}});
  CHECK(messages[1] == nlohmann::json{{"role", "user"}, {"content", "Once \"upon\"\na time"}});
  CHECK(messages[2]["role"] == "assistant");
  conversation.Clear();
  CHECK(conversation.session().position() == 0);
  CHECK(conversation.messages().size() == 1);
  CHECK(Ask(conversation, "Once \"upon\"\na time").ids == first.ids);
}

TEST_CASE("without a chat format turns are plain lines", "[conversation]") {
  ConversationOptions options = Options("none");
  options.format.reset();
  options.system.clear();
  Conversation conversation(Embedded(), options);
  const std::string one = Ask(conversation, "Once", 4).text;
  Ask(conversation, "Then", 1);
  const std::string text = Embedded().tokenizer()->Decode(conversation.ids());
  CHECK(text.ends_with("Once\n" + one + "\nThen\n"));
}

TEST_CASE("only a session that was made for it compresses its tail", "[conversation]") {
  Session session(Embedded(), Options("spark:0.5").session);
  session.Prefill(EncodeContext(*Embedded().tokenizer(), "Once"));
  CHECK_THROWS_AS(session.CompressTail(), Error);
}

}  // namespace conversation_test
}  // namespace spark
