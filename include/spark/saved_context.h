// A compressed context in a file: Session::SaveContext() writes it, Session::LoadContext() starts
// from it.
#ifndef SPARK_SAVED_CONTEXT_H_
#define SPARK_SAVED_CONTEXT_H_

#include <memory>
#include <string>
#include <vector>

#include "spark/compression.h"
#include "spark/tokenizer.h"

namespace spark {

// What such a file says about itself. Movable.
class SavedContext {
 public:
  // Throws Error (file, field, found, allowed) unless the file is a saved context of this version,
  // whole and unchanged: its checksum covers every byte.
  static SavedContext Open(const std::string& path);
  SavedContext(SavedContext&&) noexcept;
  SavedContext& operator=(SavedContext&&) noexcept;
  ~SavedContext();

  const std::string& model_fingerprint() const;  // Model::fingerprint()
  const CompressionPlan& plan() const;
  CacheType cache_type_k() const;
  CacheType cache_type_v() const;
  const std::vector<TokenId>& ids() const;  // the context's tokens

  struct Impl;  // for Session
  const Impl& impl() const { return *impl_; }

 private:
  explicit SavedContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spark

#endif  // SPARK_SAVED_CONTEXT_H_
