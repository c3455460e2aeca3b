#include "text/hf_config.h"

#include <filesystem>
#include <limits>
#include <string_view>
#include <utility>

#include "base/mapped_file.h"
#include "io/json.h"
#include "spark/error.h"
#include "text/hf_json.h"

namespace spark {
namespace {

constexpr uint64_t kMaxConfigBytes = 16 << 20;  // templates and lists of added tokens included

// A JSON file of the folder; nothing if there is no such file.
class OptionalFile {
 public:
  OptionalFile(const std::string& folder, std::string_view name)
      : path_((std::filesystem::path(folder) / name).string()) {
    if (std::filesystem::exists(path_)) document_ = ParseJsonFile(path_, kMaxConfigBytes);
  }

  std::optional<HfJson> document() const {
    if (!document_) return std::nullopt;
    return HfJson(*document_, path_);
  }

 private:
  std::string path_;
  std::optional<nlohmann::json> document_;
};

// "<s>", or an object of its properties.
std::string ReadTokenName(const HfJson& document, std::string_view key) {
  const auto token = document.Find(key);
  if (!token) return "";
  return token->json().is_object() ? token->Get("content").String() : token->String();
}

// -1 is a way to write "none".
TokenId ReadId(const HfJson& id) {
  return static_cast<TokenId>(id.Int(-1, std::numeric_limits<TokenId>::max()));
}

void ReadIds(const HfJson& document, HfTokenizerConfig& config) {
  if (const auto bos = document.Find("bos_token_id"); bos && config.bos_id < 0) {
    config.bos_id = ReadId(*bos);
  }
  const auto eos = document.Find("eos_token_id");
  if (!eos || !config.eos_ids.empty()) return;
  const std::vector<HfJson> list = eos->json().is_array() ? eos->Items() : std::vector{*eos};
  for (const HfJson& item : list) {
    if (const TokenId id = ReadId(item); id >= 0) config.eos_ids.push_back(id);
  }
}

// transformers makes the post-processor of these classes itself, from the flags.
bool ObeysFlags(const HfJson& document) {
  const auto name = document.Find("tokenizer_class");
  if (!name) return false;
  return name->String().starts_with("Llama") || name->String().starts_with("Gemma") ||
         name->String().starts_with("CodeLlama");
}

void ReadFlags(const HfJson& document, HfTokenizerConfig& config) {
  if (!ObeysFlags(document)) return;
  if (const auto flag = document.Find("add_bos_token")) config.add_bos = flag->Bool();
  if (const auto flag = document.Find("add_eos_token")) config.add_eos = flag->Bool();
}

}  // namespace

HfTokenizerConfig ReadHfTokenizerConfig(const std::string& folder) {
  HfTokenizerConfig config;
  const OptionalFile tokenizer(folder, "tokenizer_config.json");
  if (const auto document = tokenizer.document()) {
    config.bos_token = ReadTokenName(*document, "bos_token");
    config.eos_token = ReadTokenName(*document, "eos_token");
    ReadFlags(*document, config);
  }
  for (const char* name : {"generation_config.json", "config.json"}) {
    const OptionalFile file(folder, name);
    if (const auto document = file.document()) ReadIds(*document, config);
  }
  return config;
}

std::optional<std::string> LoadHfChatTemplate(const std::string& folder) {
  const std::string jinja = (std::filesystem::path(folder) / "chat_template.jinja").string();
  if (std::filesystem::exists(jinja)) {
    const MappedFile file = MappedFile::Open(jinja);
    const auto bytes = file.bytes();
    if (bytes.size() > kMaxConfigBytes) {
      throw Error("the chat template is too large", {.file = jinja,
                                                     .found = std::to_string(bytes.size()),
                                                     .allowed = std::to_string(kMaxConfigBytes)});
    }
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  const OptionalFile tokenizer(folder, "tokenizer_config.json");
  const auto document = tokenizer.document();
  const auto found = document ? document->Find("chat_template") : std::nullopt;
  if (!found) return std::nullopt;
  if (!found->json().is_array()) return found->String();
  for (const HfJson& item : found->Items()) {
    if (item.Get("name").String() == "default") return item.Get("template").String();
  }
  return std::nullopt;
}

}  // namespace spark
