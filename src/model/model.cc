#include "spark/model.h"

#include <utility>

#include "model/embedded_model.h"
#include "model/fingerprint.h"
#include "model/model_file.h"
#include "text/gguf_tokenizer.h"
#include "text/hf_config.h"
#include "text/hf_tokenizer.h"

namespace spark {
struct Model::Impl {
  explicit Impl(ModelFile file_in) : file(std::move(file_in)) {}

  ModelFile file;
  ModelInfo info;
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<std::string> chat_template;
};

namespace {

ModelInfo MakeInfo(const ModelFile& file) {
  const ModelConfig& config = file.config();
  return {.name = config.name,
          .arch = config.arch,
          .quantization = std::string(file.quantization()),
          .parameters = file.parameters(),
          .file_bytes = file.file_bytes(),
          .context_length = config.context_length,
          .n_layers = config.n_layers,
          .n_heads = config.n_heads,
          .n_kv_heads = config.n_kv_heads,
          .head_dim = config.head_dim,
          .vocab_size = config.vocab_size,
          .windows = config.windows()};
}

}  // namespace

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::FromFile(ModelFile file, const ModelOptions& options) {
  auto impl = std::make_unique<Impl>(std::move(file));
  if (options.validate) impl->file.ValidateFinite();
  impl->info = MakeInfo(impl->file);
  if (const GgufFile* gguf = impl->file.gguf()) {
    impl->tokenizer = LoadTokenizer(gguf->metadata());
    impl->chat_template = gguf->metadata().FindString("tokenizer.chat_template");
  } else {
    const std::string& folder = impl->file.folder();
    impl->tokenizer = LoadHfTokenizer(folder, impl->info.vocab_size);
    impl->chat_template = LoadHfChatTemplate(folder);
  }
  return Model(std::move(impl));
}

Model Model::Load(const std::string& path, const ModelOptions& options) {
  const MapMode mode = options.use_mmap ? MapMode::kMmap : MapMode::kRead;
  return FromFile(ModelFile::Open(path, mode), options);
}

Model Model::LoadEmbedded(const ModelOptions& options) {
  return FromFile(ModelFile::FromMemory(EmbeddedModelBytes(), "embedded model"), options);
}

const ModelInfo& Model::info() const { return impl_->info; }
const Tokenizer* Model::tokenizer() const { return impl_->tokenizer.get(); }
std::string Model::fingerprint() const { return Fingerprint(impl_->file); }
const ModelConfig& Model::config() const { return impl_->file.config(); }
const Weights& Model::weights() const { return impl_->file.weights(); }

std::optional<ChatFormat> Model::chat_format() const {
  if (!impl_->chat_template) return std::nullopt;
  return ChatFormatOf(*impl_->chat_template);
}

}  // namespace spark
