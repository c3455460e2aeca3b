#include "spark/logits_file.h"

#include "io/safetensors.h"

namespace spark {

struct LogitsFile::Impl {
  SafetensorsWriter writer;
};

LogitsFile::LogitsFile(const std::string& path, std::span<const TokenId> ids, size_t vocab_size)
    : impl_(new Impl{
          SafetensorsWriter(path, {{"ids", SafetensorsType::kI32, {ids.size()}},
                                   {"logits", SafetensorsType::kF32, {ids.size(), vocab_size}}})}) {
  impl_->writer.Append(std::as_bytes(ids));
}

LogitsFile::~LogitsFile() = default;

LogitsSink LogitsFile::sink() {
  return [writer = &impl_->writer](size_t, std::span<const float> logits) {
    writer->Append(std::as_bytes(logits));
  };
}

void LogitsFile::Finish() { impl_->writer.Finish(); }

}  // namespace spark
