// A context, its compressed KV cache, and what is generated from it.
#ifndef SPARK_SESSION_H_
#define SPARK_SESSION_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spark/compression.h"
#include "spark/error.h"
#include "spark/kv_cache.h"
#include "spark/model.h"
#include "spark/saved_context.h"

namespace spark {

struct SessionOptions {
  CompressionPlan plan;
  CacheType cache_type_k = CacheType::kF16;
  CacheType cache_type_v = CacheType::kF16;
  size_t context_size = 0;  // tokens a session can hold; 0: the model's context length
  size_t decode_interval =
      0;  // tokens behind the context are compressed, so many at a time; 0: never
  size_t prefill_chunk = 0;  // tokens of the context that are compressed together; 0: all
  // CompressTail() will be called: the session keeps the queries that this needs.
  bool compress_turns = false;
  // Rewind() can undo what passes over generated tokens removed from the context. It costs memory
  // only where such a pass did remove something.
  bool keep_context = true;
  size_t batch_size = 512;      // tokens that pass through a layer together
  std::string backend = "cpu";  // "cpu", "reference" or "cuda"
  int device = 0;               // "cuda": which GPU, see gpu.h
  int threads = 0;              // 0: one a core
  bool compute_f32 = false;     // multiply in f32 instead of 8-bit integers or f16
};

// Called often while work is under way: `done` of `total` steps. Returning false abandons the work
// with Interrupted.
using Progress = std::function<bool(size_t done, size_t total)>;

class Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted") {}
};

// Called with logits as they are computed: [n, vocab_size] of the next n tokens, in order.
using LogitsSink = std::function<void(size_t n, std::span<const float> logits)>;

struct SessionTimes {
  double prefill_seconds = 0;  // of Prefill(), compression not included
  double compress_seconds = 0;
};

// What a plan left of a context's keys, as shares of the context's tokens, or of those that a
// layer's window holds.
struct KeptShares {
  std::vector<double> layers;                 // of tokens × channels, mean over KV heads
  std::vector<std::vector<double>> channels;  // [n_layers, head_dim]: of KV head 0, the share of
                                              // the tokens that have kept the channel
};

// Not thread-safe. The model must outlive the session.
class Session {
 public:
  // Throws UsageError for an unknown backend or numbers out of range.
  Session(const Model& model, const SessionOptions& options);
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  // Processes the context layer by layer; each layer's cache is compressed as soon as that layer is
  // done, so that at most one layer is ever dense. With a prefill chunk the context does so in
  // pieces, and later ones attend to what the plan left of earlier ones. Once a session, before
  // anything else. `sink`, when given, receives the logits of every context token. Throws Error
  // when ids are empty, outside the vocabulary, or more than the context size.
  void Prefill(std::span<const TokenId> ids, const Progress& progress = {},
               const LogitsSink& sink = {});

  // Prefill() of several sessions at once: keys, values and queries of a layer are computed once
  // and compressed by every session's plan. Each session ends as if it had been prefilled alone,
  // only that times().prefill_seconds is that of the one pass. Two layers are dense meanwhile. In a
  // model with windows, sessions whose plans compress these have a pass of their own. The sessions
  // must have the same model, backend, threads, batch size and compute_f32, and no prefill chunk:
  // throws Error, as Prefill() does. Once it has thrown, none of them is of use.
  static void PrefillTogether(std::span<Session* const> sessions, std::span<const TokenId> ids,
                              const Progress& progress = {});

  // Writes the compressed context as it is after Prefill() or Rewind(), under a temporary name that
  // is renamed at the end. Throws Error when tokens have been added, or writing fails.
  void SaveContext(const std::string& path) const;

  // Instead of Prefill(): the session goes on as if it had read the saved context itself. Throws
  // Error, and stays as it was, if that is of another model, plan or cache types than the session's
  // or does not fit. Backend, threads and context size may differ.
  void LoadContext(const SavedContext& saved);

  // Makes the context `times` as long by copies of what the cache holds of it, without computing
  // anything: to measure how fast tokens are decoded at a depth that takes long to reach. What the
  // model says then means nothing. Right after Prefill(); times().prefill_seconds stays that of
  // what was read. Throws Error if it does not fit, or if the plan compresses sliding windows, in
  // which tokens know their positions.
  void RepeatContext(size_t times);

  // Feeds tokens after what is there. They stay dense, unless there is a decode interval: then they
  // are compressed whenever the dense tail has grown by that many. Errors as Prefill().
  void Append(std::span<const TokenId> ids, const Progress& progress = {},
              const LogitsSink& sink = {});

  // Applies the plan to the dense tail now, as a decode interval would: what a conversation does
  // when a turn has ended. Throws Error without `compress_turns` or a decode interval.
  void CompressTail();

  // Logits of the token that comes next. [vocab_size]; valid until the next call.
  std::span<const float> NextLogits();

  // Forgets everything behind the context: a further question finds the cache as Prefill() left it.
  // Throws Error if that has changed and `keep_context` was off.
  void Rewind();

  size_t context_tokens() const;  // tokens given to Prefill(), or loaded
  size_t position() const;        // tokens processed in all
  size_t context_size() const;
  KvBytes kv_bytes() const;
  size_t kv_bytes_dense_f16() const;  // what position() tokens take uncompressed in f16
  KeptShares kept() const;            // of the context; costs a walk over all masks
  const SessionTimes& times() const;
  int threads() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spark

#endif  // SPARK_SESSION_H_
