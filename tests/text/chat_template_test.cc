#include <fmt/format.h>
#include <fmt/ranges.h>

#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "spark/chat.h"
#include "spark/error.h"
#include "tests/support/random_text.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace chat_template_test {

using Messages = std::vector<ChatMessage>;

// Of SmolLM2-135M-Instruct.
constexpr const char* kSmolLm2 =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}";

// The part without tools of Qwen2.5's: the first literal with a system turn has no prompt in it,
// and the line ends are escapes.
constexpr const char* kQwen25 =
    R"({%- if messages[0]['role'] == 'system' %})"
    R"({{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{%- else %})"
    R"({{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You\'re helpful.<|im_end|>\n' }})"
    R"({%- endif %}{%- for message in messages %}…{%- endfor %})";

// Of Meta-Llama-3-8B-Instruct.
constexpr const char* kLlama3 =
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
    "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim "
    "+ "
    "'<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

nlohmann::json ReadJson(const std::string& name) {
  std::ifstream file(std::string(SPARK_TEST_DATA) + "/text/" + name);
  return nlohmann::json::parse(file);
}

Messages ReadMessages(const nlohmann::json& chat) {
  Messages messages;
  for (const auto& message : chat.at("messages")) {
    messages.push_back({message.at("role"), message.at("content")});
  }
  return messages;
}

std::string Names() { return fmt::format("{}", fmt::join(ChatFormatNames(), ", ")); }

TEST_CASE("chats are rendered as the models' Jinja templates do", "[chat]") {
  for (const auto& model : ReadJson("chats.json")) {
    CAPTURE(model.at("model"));
    const auto format = DetectChatFormat(model.at("template").get<std::string>());
    REQUIRE(format);
    CHECK(format->name == model.at("format"));
    CHECK(model.at("chats").size() >= 3);
    for (const auto& chat : model.at("chats")) {
      CHECK(RenderChat(*format, ReadMessages(chat), true) == chat.at("prompt"));
    }
  }
}

TEST_CASE("formats that are chosen by name render as those that are recognised", "[chat]") {
  // Of several models with one format, the first one's system prompt or dates are its own.
  for (const auto& model : ReadJson("chats.json")) {
    CAPTURE(model.at("model"));
    const ChatFormat format = FindChatFormat(model.at("format").get<std::string>()).value();
    for (const auto& chat : model.at("chats")) {
      const Messages messages = ReadMessages(chat);
      const std::string rendered = RenderChat(format, messages, true);
      const std::string expected = chat.at("prompt");
      // Not all templates write a bos, and Llama 3.1 and Qwen2.5 have a system turn of their own.
      const bool with_system = messages.front().role == "system";
      const size_t first = rendered.find(messages[with_system ? 1 : 0].content);
      if (format.user.trim) continue;
      REQUIRE(first != rendered.npos);
      CHECK(expected.ends_with(rendered.substr(first)));
    }
  }
  CHECK(FindChatFormat("qwen2.5")->default_system ==
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
}

TEST_CASE("a conversation of any format goes on as if it were rendered whole", "[chat]") {
  for (const std::string_view name : ChatFormatNames()) {
    CAPTURE(name);
    const ChatFormat format = FindChatFormat(name).value();
    const std::string space = format.assistant.begin.substr(format.answer_begin().size());
    Messages all = {{"system", "Be brief."}, {"user", " One? "}};
    std::string grown = RenderChat(format, all, true);
    for (int turn = 0; turn < 3; ++turn) {
      all.push_back({"assistant", "An\nanswer."});
      all.push_back({"user", "More?\n"});
      const auto next = std::span(all).last(1);
      const std::string fed = space + "An\nanswer." + RenderNextTurns(format, next);
      std::string end(format.assistant.end);
      end.erase(end.find_last_not_of("\n") + 1);
      CHECK(space + "An\nanswer." + end + RenderNextTurns(format, next, true) == fed);
      grown += fed;
      CHECK(grown == RenderChat(format, all, true));
    }
  }
}

TEST_CASE("a system prompt without a user's turn, or later on, is not lost", "[chat]") {
  const ChatFormat gemma = FindChatFormat("gemma").value();
  CHECK(RenderChat(gemma, Messages{{"system", "S"}}, false) ==
        "<bos><start_of_turn>user\nS\n\n<end_of_turn>\n");
  CHECK(RenderChat(gemma, Messages{{"user", "A"}, {"system", "S"}, {"user", "B"}}, false) ==
        "<bos><start_of_turn>user\nA<end_of_turn>\n<start_of_turn>user\nS\n\nB<end_of_turn>\n");
}

TEST_CASE("SmolLM2's chats are rendered as its template does", "[chat]") {
  const auto chats = ReadJson("smol.json").at("chat");
  const auto format = DetectChatFormat(kSmolLm2);
  REQUIRE(format);
  CHECK(format->name == "chatml");
  REQUIRE(chats.size() >= 2);
  for (const auto& chat : chats) {
    CHECK(RenderChat(*format, ReadMessages(chat), true) == chat.at("prompt").get<std::string>());
  }
}

TEST_CASE("a template's own system prompt is found", "[chat]") {
  CHECK(DetectChatFormat(kSmolLm2)->default_system ==
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
  CHECK(DetectChatFormat(kQwen25)->default_system ==
        "You are Qwen, created by Alibaba Cloud. You're helpful.");
  CHECK(DetectChatFormat(kLlama3)->default_system.empty());
  CHECK(FindChatFormat("chatml")->default_system.empty());
}

TEST_CASE("ChatML keeps contents, Llama 3 trims them and begins with bos", "[chat]") {
  const Messages messages = {{"user", " a\n"}, {"assistant", "b "}};
  CHECK(RenderChat(*FindChatFormat("chatml"), messages, false) ==
        "<|im_start|>user\n a\n<|im_end|>\n<|im_start|>assistant\nb <|im_end|>\n");
  const std::string llama3 =
      "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\na<|eot_id|>"
      "<|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>";
  CHECK(RenderChat(*FindChatFormat("llama3"), messages, false) == llama3);
  const auto detected = DetectChatFormat(kLlama3);
  REQUIRE(detected);
  CHECK(detected->name == "llama3");
  CHECK(RenderChat(*detected, messages, true) ==
        llama3 + "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST_CASE("Llama 3.1 begins with its dates", "[chat]") {
  const auto format = DetectChatFormat(std::string(kLlama3) +
                                       R"({{- "Cutting Knowledge Date: December 2023\n" }})");
  REQUIRE(format);
  const std::string begin =
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: "
      "December "
      "2023\nToday Date: 26 Jul 2024\n\n";
  const std::string end = "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>";
  CHECK(RenderChat(*format, Messages{{"user", "Hi"}}, false) == begin + end);
  CHECK(RenderChat(*format, Messages{{"system", "Be brief."}, {"user", "Hi"}}, false) ==
        begin + "Be brief." + end);
  CHECK(RenderChat(*format, Messages{{"user", "Hi"}, {"system", "Stop."}}, false) ==
        begin + end + "<|start_header_id|>system<|end_header_id|>\n\nStop.<|eot_id|>");
}

TEST_CASE("a conversation that goes on equals one rendered whole", "[chat]") {
  std::mt19937 random(4);
  for (const char* jinja : {kSmolLm2, kQwen25}) {
    const ChatFormat format = ChatFormatOf(jinja);
    for (int i = 0; i < 500; ++i) {
      Messages all;
      if (i % 2 == 0) all.push_back({"system", test::RandomUnicodeLine(random)});
      all.push_back({"user", test::RandomUnicodeLine(random)});
      std::string grown = RenderChat(format, all, true);
      for (int turn = 0; turn < 3; ++turn) {
        const ChatMessage answer = {"assistant", test::RandomUnicodeLine(random)};
        const Messages next(1, {"user", test::RandomUnicodeLine(random)});
        const std::string with_end_token = answer.content + "<|im_end|>";
        REQUIRE(answer.content + RenderNextTurns(format, next) ==
                with_end_token + RenderNextTurns(format, next, true));
        grown += answer.content + RenderNextTurns(format, next);
        all.push_back(answer);
        all.push_back(next.front());
        REQUIRE(grown == RenderChat(format, all, true));
      }
    }
  }
  const ChatFormat llama3 = ChatFormatOf(kLlama3);
  const Messages first = {{"user", " question "}};
  const Messages all = {first[0], {"assistant", "answer"}, {"user", "more"}};
  const Messages next = {all[2]};
  CHECK(RenderChat(llama3, first, true) + "answer" + RenderNextTurns(llama3, next) ==
        RenderChat(llama3, all, true));
  CHECK(RenderChat(llama3, first, true) + "answer<|eot_id|>" +
            RenderNextTurns(llama3, next, true) ==
        RenderChat(llama3, all, true));
}

TEST_CASE("an empty conversation renders", "[chat]") {
  CHECK(RenderChat(*FindChatFormat("chatml"), {}, true) == "<|im_start|>assistant\n");
  CHECK(RenderChat(*DetectChatFormat(kSmolLm2), {}, true) == "<|im_start|>assistant\n");
  CHECK(RenderChat(*FindChatFormat("llama3"), {}, false) == "<|begin_of_text|>");
}

std::string Refusal(auto call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST_CASE("what is not recognised is refused with the names", "[chat]") {
  CHECK_FALSE(DetectChatFormat(""));
  CHECK_FALSE(DetectChatFormat("{{ '[INST] ' + message.content + ' [/INST]' }}"));
  CHECK_FALSE(DetectChatFormat("'<|im_start|>user<|im_sep|>' + content + '<|im_end|>'"));  // Phi-4
  CHECK_FALSE(FindChatFormat("ChatML?"));
  CHECK(
      Refusal([] { ChatFormatOf("{{ '[INST]' }}"); }) ==
      "tokenizer.chat_template: unrecognised chat template; choose a format with --chat-template: "
      "found \"{{ '[INST]' }}\", allowed " +
          Names());
  CHECK(Refusal([] {
          RenderChat(*FindChatFormat("chatml"), Messages{{"tool", "x"}}, false);
        }).starts_with("unknown role of a message: found \"tool\""));
  CHECK(Refusal([] { ChatFormatOf(""); }).find("found none") != std::string::npos);
  // Template text that is cut off or full of quotes must not be read past its end.
  for (const char* jinja : {"'<|im_start|><|im_end|>", "<|im_end|>'<|im_start|>system\\",
                            "'<|im_start|>system\n<|im_end|>'", "\"<|im_end|>\"'<|im_start|>"}) {
    REQUIRE(DetectChatFormat(jinja));
    CHECK(DetectChatFormat(jinja)->default_system.empty());
  }
}

TEST_CASE("the flag --chat-template takes a name or a file", "[chat]") {
  CHECK(LoadChatFormat("llama3").name == "llama3");
  const test::TempDir dir;
  CHECK(LoadChatFormat(dir.Write("template.jinja", kQwen25)).default_system ==
        DetectChatFormat(kQwen25)->default_system);
  CHECK(Refusal([] { LoadChatFormat("/no/such/template"); }) ==
        "--chat-template: neither the name of a chat format nor a readable template file: "
        "found \"/no/such/template\", allowed " +
            Names() + ", or a file");
  CHECK(Refusal([] { LoadChatFormat("/"); }).starts_with("--chat-template: neither"));
  const std::string other = dir.Write("other", "plain");
  CHECK(Refusal([&] {
          LoadChatFormat(other);
        }).starts_with(other + ": --chat-template: unrecognised"));
}

}  // namespace chat_template_test
}  // namespace spark
