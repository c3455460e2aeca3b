// Logits of many tokens on disk, for comparison and scoring elsewhere.
#ifndef SPARK_LOGITS_FILE_H_
#define SPARK_LOGITS_FILE_H_

#include <memory>
#include <span>
#include <string>

#include "spark/session.h"
#include "spark/tokenizer.h"

namespace spark {

// A safetensors file with `ids` (I32 [n]) and `logits` (F32 [n, vocab]), written row by row: memory
// does not grow with n. It appears under its name when Finish() succeeds, and not before.
// Throws Error when the disk is full.
class LogitsFile {
 public:
  LogitsFile(const std::string& path, std::span<const TokenId> ids, size_t vocab_size);
  ~LogitsFile();
  LogitsFile(const LogitsFile&) = delete;
  LogitsFile& operator=(const LogitsFile&) = delete;

  // Takes the next rows. Valid as long as the file is.
  LogitsSink sink();

  void Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spark

#endif  // SPARK_LOGITS_FILE_H_
