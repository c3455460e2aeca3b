// The flags of spark-generate.
#ifndef APPS_GENERATE_FLAGS_H_
#define APPS_GENERATE_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "spark/generation.h"
#include "spark/model.h"
#include "spark/session.h"

namespace spark {

struct GenerateFlags {
  std::string model;  // empty: the embedded one
  ModelOptions model_options;
  bool no_mmap = false;
  SessionOptions session;
  // Of `session`, what was asked for: a saved context brings the rest along.
  bool kv_given = false, cache_type_k_given = false, cache_type_v_given = false;
  std::optional<std::string> save_cache, load_cache;
  std::string simd_target = "auto";
  std::string compute = "auto";

  // At most one of the first three. None: stdin, if it is not a terminal.
  std::optional<std::string> prompt, file, prompt_ids;
  std::vector<std::string> questions, question_ids;  // one of both kinds
  bool escape = false;

  GenerationOptions generation;
  bool no_display_prompt = false;

  bool conversation = false;
  std::optional<std::string> system_prompt, chat_template;
  bool no_chat_template = false;

  std::string stats = "text";
  std::optional<std::string> logits_out;

  // Print something and stop.
  bool version = false;
  bool list_kv_methods = false;
  bool list_simd_targets = false;
  bool list_devices = false;
  bool tokenize = false;
  bool render_chat = false;
  bool dry_run = false;

  bool has_prompt() const { return prompt || file || prompt_ids; }
};

class FlagParser;
void AddCacheFlags(FlagParser& parser, GenerateFlags& flags);
void AddRunFlags(FlagParser& parser, GenerateFlags& flags);

// Returns the help text if it was asked for. Throws UsageError.
std::optional<std::string> ParseGenerateFlags(int argc, const char* const* argv,
                                              GenerateFlags& flags);

}  // namespace spark

#endif  // APPS_GENERATE_FLAGS_H_
