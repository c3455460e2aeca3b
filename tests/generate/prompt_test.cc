#include "spark/prompt.h"

#include <catch2/catch_test_macros.hpp>

#include "spark/error.h"

namespace spark {
namespace prompt_test {

// Every byte is a token; 256 begins a text.
class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(TokenId bos, bool add_bos) : bos_(bos), add_bos_(add_bos) {}
  std::vector<TokenId> Encode(std::string_view text, Special) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(c == '^' ? 256 : static_cast<unsigned char>(c));
    return ids;
  }
  std::string_view TokenBytes(TokenId) const override { return ""; }
  size_t vocab_size() const override { return 257; }
  bool IsControl(TokenId id) const override { return id == 256; }
  bool IsEndOfText(TokenId) const override { return false; }
  TokenId bos() const override { return bos_; }
  bool add_bos() const override { return add_bos_; }

 private:
  TokenId bos_;
  bool add_bos_;
};

using Ids = std::vector<TokenId>;

TEST_CASE("the beginning-of-text token stands in front once, where the model wants it",
          "[prompt]") {
  CHECK(EncodeContext(ByteTokenizer(256, true), "a") == Ids{256, 'a'});
  CHECK(EncodeContext(ByteTokenizer(256, true), "^a") == Ids{256, 'a'});
  CHECK(EncodeContext(ByteTokenizer(256, false), "a") == Ids{'a'});
  CHECK(EncodeContext(ByteTokenizer(-1, false), "a") == Ids{'a'});
}

TEST_CASE("an empty text begins with the beginning-of-text token if there is one", "[prompt]") {
  CHECK(EncodeContext(ByteTokenizer(256, true), "") == Ids{256});
  CHECK(EncodeContext(ByteTokenizer(256, false), "") == Ids{256});
  CHECK(EncodeContext(ByteTokenizer(-1, false), "").empty());
}

TEST_CASE("in any format the context is the same whatever is asked", "[prompt]") {
  for (const std::string_view name : ChatFormatNames()) {
    CAPTURE(name);
    const ChatFormat format = FindChatFormat(name).value();
    const PromptParts one = RenderChatPrompt(format, "Be kind.", "A story. ", "Who? ");
    CHECK(RenderChatPrompt(format, "Be kind.", "A story. ", "Why?").context == one.context);
    CHECK(one.context.ends_with("A story. "));
    CHECK(one.context.find("Be kind.") != std::string::npos);
    const std::vector<ChatMessage> messages = {{"system", "Be kind."}, {"user", "A story. Who? "}};
    CHECK(one.context + one.question == RenderChat(format, messages, true));
  }
}

TEST_CASE("a rendered chat is cut behind the prompt", "[prompt]") {
  const ChatFormat format = FindChatFormat("chatml").value();
  const PromptParts parts = RenderChatPrompt(format, "Be kind.", "A story. ", "Who?");
  CHECK(parts.context == "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nA story. ");
  CHECK(parts.question == "Who?<|im_end|>\n<|im_start|>assistant\n");
  CHECK(RenderChatPrompt(format, "", "A", "").context == "<|im_start|>user\nA");
  CHECK(RenderChatPrompt(format, "", "A", "").question == "<|im_end|>\n<|im_start|>assistant\n");
}

TEST_CASE("a rendered chat that trims its messages is cut at the same place", "[prompt]") {
  const ChatFormat format = FindChatFormat("llama3").value();
  const PromptParts parts = RenderChatPrompt(format, "", "  A story. ", " Who? ");
  CHECK(parts.context.ends_with("<|end_header_id|>\n\nA story. "));
  CHECK(parts.question.starts_with(" Who?<|eot_id|>"));
  CHECK(parts.context + parts.question ==
        RenderChat(format, std::vector<ChatMessage>{{"user", "  A story.  Who? "}}, true));
}

TEST_CASE("lists of token ids", "[prompt]") {
  CHECK(ParseTokenIds("1,2,3", "--ids") == Ids{1, 2, 3});
  CHECK(ParseTokenIds(" 7 , 0", "--ids") == Ids{7, 0});
  for (const char* text : {"", ",", "1,", "1,,2", "x", "-1", "1 2", "1.5", "99999999999", "+1"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(ParseTokenIds(text, "--ids"), UsageError);
  }
}

TEST_CASE("escapes stand for characters, others stay", "[prompt]") {
  CHECK(ProcessEscapes(R"(a\nb\tc\\n\"\')") == "a\nb\tc\\n\"'");
  CHECK(ProcessEscapes(R"(\x41\xe2\x82\xac)") == "A\xe2\x82\xac");
  CHECK(ProcessEscapes(R"(\q \x4 \xzz \)") == R"(\q \x4 \xzz \)");
  CHECK(ProcessEscapes(R"(a\0b)") == std::string("a\0b", 3));
}

}  // namespace prompt_test
}  // namespace spark
