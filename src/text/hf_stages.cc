#include "text/hf_stages.h"

#include <limits>
#include <optional>
#include <utility>

#include "base/quoted.h"
#include "text/subword_model.h"

namespace spark {
namespace {

std::string TypeOf(const HfJson& stage) { return stage.Get("type").String(); }

[[noreturn]] void Refuse(const HfJson& stage, const char* allowed) {
  stage.Get("type").Fail("not supported", Quoted(TypeOf(stage)), allowed);
}

// What is put into text: must not be out of all proportion to the text, or to the file.
const std::string& ReadContent(const HfJson& stage, const char* key, size_t max_size) {
  const HfJson content = stage.Get(key);
  if (content.String().size() > max_size) {
    content.Fail("too long", std::to_string(content.String().size()) + " bytes",
                 "up to " + std::to_string(max_size));
  }
  return content.String();
}

constexpr size_t kMaxContent = 256;
constexpr size_t kMaxDecodedContent = 16;

// {"String": …} or {"Regex": …}.
Regex ReadPattern(const HfJson& stage) {
  const HfJson pattern = stage.Get("pattern");
  if (const auto literal = pattern.Find("String")) {
    return Regex(literal->String(), Regex::Syntax::kLiteral,
                 {.file = pattern.file(), .field = literal->path()});
  }
  const HfJson regex = pattern.Get("Regex");
  return Regex(regex.String(), Regex::Syntax::kPattern,
               {.file = pattern.file(), .field = regex.path()});
}

std::optional<NormalForm> FormOf(std::string_view type) {
  if (type == "NFC") return NormalForm::kNfc;
  if (type == "NFD") return NormalForm::kNfd;
  if (type == "NFKC") return NormalForm::kNfkc;
  if (type == "NFKD") return NormalForm::kNfkd;
  return std::nullopt;
}

void ReadNormalizer(const HfJson& stage, Normalizer& out) {
  using Kind = Normalizer::Kind;
  const std::string type = TypeOf(stage);
  if (type == "Sequence") {
    for (const HfJson& item : stage.Get("normalizers").Items()) ReadNormalizer(item, out);
  } else if (const auto form = FormOf(type)) {
    out.Add({.kind = Kind::kForm, .form = *form});
  } else if (type == "Lowercase") {
    out.Add({.kind = Kind::kLowercase});
  } else if (type == "Strip") {
    const std::string left = stage.BoolOr("strip_left", true) ? "l" : "";
    out.Add({.kind = Kind::kStrip, .from = left + (stage.BoolOr("strip_right", true) ? "r" : "")});
  } else if (type == "Prepend") {
    out.Add({.kind = Kind::kPrepend, .to = ReadContent(stage, "prepend", kMaxContent)});
  } else if (type == "Replace") {
    Normalizer::Step step{.kind = Kind::kReplace, .to = ReadContent(stage, "content", kMaxContent)};
    if (const auto literal = stage.Get("pattern").Find("String")) {
      step.from = literal->String();
    } else {
      step.regex = ReadPattern(stage);
    }
    out.Add(std::move(step));
  } else {
    Refuse(stage, "NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, Sequence");
  }
}

SplitBehavior ReadBehavior(const HfJson& stage) {
  const HfJson behavior = stage.Get("behavior");
  const std::string& name = behavior.String();
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  behavior.Fail("not supported", Quoted(name),
                "Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
}

// Whether Metaspace prepends its mark: "always", "first" or "never". Older files say it with
// `add_prefix_space`.
std::string PrependScheme(const HfJson& stage) {
  const auto scheme = stage.Find("prepend_scheme");
  if (!scheme) return stage.BoolOr("add_prefix_space", true) ? "always" : "never";
  const std::string& name = scheme->String();
  if (name != "always" && name != "first" && name != "never") {
    scheme->Fail("not supported", Quoted(name), "always, first, never");
  }
  return name;
}

std::string MetaspaceMark(const HfJson& stage) {
  if (!stage.Find("replacement")) return std::string(kSpaceMark);
  return ReadContent(stage, "replacement", kMaxDecodedContent);
}

class PreTokenizerReader {
 public:
  explicit PreTokenizerReader(HfStages& out) : out_(out) {}

  void Read(const HfJson& stage) {
    const std::string type = TypeOf(stage);
    if (type == "Sequence") {
      for (const HfJson& item : stage.Get("pretokenizers").Items()) Read(item);
      return;
    }
    if (out_.is_byte_level) {
      stage.Get("type").Fail("not supported behind ByteLevel", Quoted(type));
    }
    if (type == "Split") {
      out_.pre_tokenizer.Add(ReadPattern(stage), ReadBehavior(stage),
                             stage.BoolOr("invert", false));
    } else if (type == "Digits") {
      out_.pre_tokenizer.Add(
          Regex(stage.BoolOr("individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)"));
    } else if (type == "ByteLevel") {
      ReadByteLevel(stage);
    } else if (type == "Metaspace") {
      ReadMetaspace(stage);
    } else {
      Refuse(stage, "Split, Digits, ByteLevel, Metaspace, Sequence");
    }
    is_first_ = false;
  }

 private:
  void ReadByteLevel(const HfJson& stage) {
    if (stage.BoolOr("add_prefix_space", true)) {
      RequireFirst(stage);
      out_.pre_normalizer.Add({.kind = Normalizer::Kind::kPrependIfMissing, .to = " "});
    }
    if (stage.BoolOr("use_regex", true)) out_.pre_tokenizer.Add(Regex(kGpt2Pattern));
    out_.is_byte_level = true;
  }

  void ReadMetaspace(const HfJson& stage) {
    using Kind = Normalizer::Kind;
    RequireFirst(stage);
    const std::string mark = MetaspaceMark(stage);
    const std::string scheme = PrependScheme(stage);
    out_.pre_normalizer.Add({.kind = Kind::kReplace, .from = " ", .to = mark});
    if (scheme != "never") {
      const Kind kind = scheme == "first" ? Kind::kPrependToFirstPart : Kind::kPrependIfMissing;
      out_.pre_normalizer.Add({.kind = kind, .to = mark});
    }
    if (stage.BoolOr("split", true)) {
      out_.pre_tokenizer.Add(Regex(mark, Regex::Syntax::kLiteral), SplitBehavior::kMergedWithNext);
    }
  }

  // These would have to change each piece that an earlier pre-tokenizer cut.
  void RequireFirst(const HfJson& stage) const {
    if (!is_first_) stage.Fail("changes text, so it must be the first pre-tokenizer");
  }

  HfStages& out_;
  bool is_first_ = true;
};

// The one special token of a template's item, -1 for the text itself.
TokenId ReadTemplateItem(const HfJson& item, const HfJson& processor) {
  if (item.Find("Sequence")) return -1;
  const std::string name = item.Get("SpecialToken").Get("id").String();
  const HfJson ids = processor.Get("special_tokens").Get(name).Get("ids");
  const std::vector<HfJson> list = ids.Items();
  if (list.size() != 1) ids.Fail("not supported", std::to_string(list.size()) + " ids", "1 id");
  return static_cast<TokenId>(list[0].Int(0, std::numeric_limits<TokenId>::max()));
}

void ReadTemplate(const HfJson& processor, HfStages& out) {
  bool after_text = false;
  for (const HfJson& item : processor.Get("single").Items()) {
    const TokenId id = ReadTemplateItem(item, processor);
    if (id < 0) {
      if (after_text) item.Fail("a second text is not supported");
      after_text = true;
      continue;
    }
    TokenId& place = after_text ? out.suffix : out.prefix;
    if (place >= 0) item.Fail("more than one token on a side is not supported");
    place = id;
  }
}

void ReadPostProcessor(const HfJson& stage, HfStages& out) {
  const std::string type = TypeOf(stage);
  if (type == "Sequence") {
    for (const HfJson& item : stage.Get("processors").Items()) ReadPostProcessor(item, out);
  } else if (type == "TemplateProcessing") {
    ReadTemplate(stage, out);
  } else if (type != "ByteLevel") {  // which changes offsets only
    Refuse(stage, "ByteLevel, TemplateProcessing, Sequence");
  }
}

// Takes spaces off the text's begin: all that is known of it is one.
void ReadStrip(const HfJson& stage, HfStages& out) {
  const bool is_space = stage.Get("content").String() == " ";
  const int64_t start = stage.Get("start").Int(0, 1);
  if (!is_space) stage.Get("content").Fail("not supported", {}, "\" \"");
  static_cast<void>(stage.Get("stop").Int(0, 0));
  if (start == 1) out.drops_first_space = true;
}

void ReadDecoder(const HfJson& stage, HfStages& out) {
  const std::string type = TypeOf(stage);
  const bool is_byte_level = type == "ByteLevel";
  if (type != "Sequence" && type != "Fuse" && is_byte_level != out.is_byte_level) {
    stage.Get("type").Fail("decoder and pre-tokenizer must be both ByteLevel or neither",
                           Quoted(type));
  }
  if (type == "Sequence") {
    for (const HfJson& item : stage.Get("decoders").Items()) ReadDecoder(item, out);
  } else if (type == "Replace") {
    out.decode_replacements.push_back({stage.Get("pattern").Get("String").String(),
                                       ReadContent(stage, "content", kMaxDecodedContent)});
  } else if (type == "Metaspace") {
    out.decode_replacements.push_back({MetaspaceMark(stage), " "});
    if (PrependScheme(stage) != "never") out.drops_first_space = true;
  } else if (type == "ByteFallback") {
    out.decodes_bytes = true;
  } else if (type == "Strip") {
    ReadStrip(stage, out);
  } else if (type != "Fuse" && !is_byte_level) {
    Refuse(stage, "ByteLevel, Replace, Metaspace, ByteFallback, Fuse, Strip, Sequence");
  }
}

}  // namespace

HfStages ReadHfStages(const HfJson& document) {
  HfStages stages;
  if (const auto stage = document.Find("normalizer")) ReadNormalizer(*stage, stages.normalizer);
  if (const auto stage = document.Find("pre_tokenizer")) PreTokenizerReader(stages).Read(*stage);
  if (const auto stage = document.Find("post_processor")) ReadPostProcessor(*stage, stages);
  ReadDecoder(document.Get("decoder"), stages);
  return stages;
}

StringTable DecodeHfTokens(const TokenTable& tokens, const HfStages& stages) {
  Normalizer replace;
  for (const HfStages::Replacement& step : stages.decode_replacements) {
    replace.Add({.kind = Normalizer::Kind::kReplace, .from = step.from, .to = step.to});
  }
  StringTable decoded;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view token = tokens.Bytes(static_cast<TokenId>(i));
    const int byte = stages.decodes_bytes ? ByteOfToken(token) : -1;
    if (byte >= 0) {
      decoded.bytes() += static_cast<char>(byte);
    } else {
      decoded.bytes() += replace.Apply(token, true);
    }
    decoded.EndString();
  }
  return decoded;
}

}  // namespace spark
