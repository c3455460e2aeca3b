// What the files beside tokenizer.json say: tokenizer_config.json, generation_config.json,
// config.json, chat_template.jinja. Any of them may be missing.
#ifndef SPARK_TEXT_HF_CONFIG_H_
#define SPARK_TEXT_HF_CONFIG_H_

#include <optional>
#include <string>
#include <vector>

#include "spark/tokenizer.h"

namespace spark {

struct HfTokenizerConfig {
  // Tokens by their text, as tokenizer_config.json names them; empty: none.
  std::string bos_token;
  std::string eos_token;
  // By id, as the other two do; the first file that names any counts. -1, empty: none.
  TokenId bos_id = -1;
  std::vector<TokenId> eos_ids;
  // Of tokenizer classes that obey these flags, whatever the post-processor says.
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
};

// Throws Error, naming file and field, for what has the wrong type.
HfTokenizerConfig ReadHfTokenizerConfig(const std::string& folder);

// The Jinja template: the file chat_template.jinja, else `chat_template` in tokenizer_config.json
// (of several that named "default"). Nothing if there is none.
std::optional<std::string> LoadHfChatTemplate(const std::string& folder);

}  // namespace spark

#endif  // SPARK_TEXT_HF_CONFIG_H_
