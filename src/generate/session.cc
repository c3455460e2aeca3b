#include "spark/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/backend.h"
#include "base/seconds.h"
#include "compress/compressor.h"
#include "compress/stage.h"
#include "generate/context_file.h"
#include "generate/kept.h"
#include "generate/pass.h"
#include "generate/session_setup.h"
#include "model/transformer.h"

namespace spark {
namespace {

bool HasWindows(const Model& model) {
  const std::vector<size_t> windows = model.config().windows();
  return std::any_of(windows.begin(), windows.end(), [](size_t w) { return w > 0; });
}

}  // namespace

struct Session::Impl {
  Impl(const Model& model_in, const SessionOptions& options_in)
      : model(model_in),
        options(options_in),
        threads(ThreadCount(options_in.threads)),
        backend(MakeBackend(options_in, threads)),
        transformer(model.config(), model.weights(), *backend, options.batch_size),
        cache(model.config().windows(), model.config().n_kv_heads, model.config().head_dim,
              {ToDType(options.cache_type_k), ToDType(options.cache_type_v)},
              TailTypes(options, true), TailTypes(options, options.plan.compresses_windows())),
        recent(model.config().n_layers, QueryWindow(options), model.config().q_size()) {
    if (options.context_size == 0) options.context_size = model.config().context_length;
  }

  PassPlan pass_plan() const {
    return {options.plan, model.config(), transformer, *backend, threads};
  }

  // Tokens that a tail may hold before a pass compresses it.
  size_t TailLimit() const {
    if (options.decode_interval == 0) return SIZE_MAX;
    const ChannelStage* stage = options.plan.channel_stage();
    return options.decode_interval + (stage == nullptr ? 0 : stage->keep());
  }
  // Tokens that wait for a pass: layers whose windows stay as they are have none.
  size_t TailSize() const {
    size_t most = 0;
    for (const LayerCache& layer : cache.layers()) {
      const bool waits = layer.window() == 0 || options.plan.compresses_windows();
      if (waits) most = std::max(most, layer.tail_size());
    }
    return most;
  }

  ContextTarget context_target() { return {pass_plan(), cache, times.compress_seconds}; }

  // Runs a piece of a context through the layers, compressing as it goes.
  Activations PrefillPiece(std::span<const TokenId> ids, const PassProgress& progress,
                           const CompressionPass& pass, std::vector<ContextTarget> targets) {
    ContextObserver observer(progress, ids.size(), pass, std::move(targets));
    return transformer.Forward(ids, position, cache, &observer);
  }

  // Before a context is read.
  void BeginContext(std::span<const TokenId> ids) {
    if (position != 0 || !usable) throw Error("a session takes one context, before anything else");
    CheckTokens(ids, "prompt");
    usable = false;
  }
  // After it: all of `ids` have been processed.
  void EndContext(std::span<const TokenId> ids) {
    usable = true;
    position = context_tokens = ids.size();
    context_ids.assign(ids.begin(), ids.end());
    context_hidden = last_hidden;
    if (options.keep_context) cache.MarkBase();
  }

  // One pass for all of them, which agree in how they compute.
  static void PrefillGroup(std::span<Impl* const> group, std::span<const TokenId> ids,
                           const PassProgress& progress) {
    const Clock::time_point start = Clock::now();
    std::vector<ContextTarget> targets;
    for (Impl* s : group) targets.push_back(s->context_target());
    Activations hidden = group.front()->PrefillPiece(ids, progress, {.next_position = ids.size()},
                                                     std::move(targets));
    double seconds = SecondsSince(start);
    for (const Impl* s : group) seconds -= s->times.compress_seconds;
    for (Impl* s : group) {
      s->TakeHidden(hidden, {});
      s->EndContext(ids);
      s->times.prefill_seconds = seconds;
    }
  }

  Activations AppendPiece(std::span<const TokenId> ids, const PassProgress& progress) {
    const CompressionPass pass{.next_position = position + ids.size(), .generated = true};
    TailObserver observer(progress, ids.size(), pass_plan(), pass, TailLimit(), recent,
                          TailSize() + ids.size() >= TailLimit());
    Activations hidden = transformer.Forward(ids, position, cache, &observer);
    times.compress_seconds += observer.compress_seconds();
    context_changed = context_changed || observer.compress_seconds() > 0;
    return hidden;
  }

  void CheckTokens(std::span<const TokenId> ids, std::string_view what) const {
    if (ids.empty()) throw Error(fmt::format("the {} is empty", what));
    const auto vocab = static_cast<TokenId>(model.config().vocab_size);
    for (const TokenId id : ids) {
      if (id < 0 || id >= vocab) {
        throw Error("token id outside the vocabulary",
                    {.found = std::to_string(id), .allowed = fmt::format("0 to {}", vocab - 1)});
      }
    }
    if (position + ids.size() > options.context_size) {
      throw Error(
          fmt::format("the {} does not fit: {} tokens after {} exceed the context size of {}", what,
                      ids.size(), position, options.context_size));
    }
  }

  // Keeps what NextLogits() needs, and hands out all rows' logits if they are asked for.
  void TakeHidden(Activations& hidden, const LogitsSink& sink) {
    const size_t width = model.config().hidden_size;
    const float* last = hidden.OnHost(hidden.size() - width, width);
    last_hidden.assign(last, last + width);
    logits_ready = false;
    if (!sink) return;
    // Vocabularies are large: 64 rows of 128k logits are 32 MiB.
    constexpr size_t kRows = 64;
    const size_t n = hidden.size() / width;
    std::vector<float> tile;
    for (size_t first = 0; first < n; first += kRows) {
      const size_t rows = std::min(kRows, n - first);
      tile.resize(rows * model.config().vocab_size);
      transformer.Logits(hidden.data() + first * width, rows, tile.data());
      sink(rows, tile);
    }
  }

  const Model& model;
  SessionOptions options;
  int threads;
  std::unique_ptr<Backend> backend;
  Transformer transformer;
  KvCache cache;
  RecentQueries recent;

  size_t position = 0;
  size_t context_tokens = 0;
  std::vector<TokenId> context_ids;
  std::vector<float> last_hidden;     // [hidden] of the newest token
  std::vector<float> context_hidden;  // the same of the context's last token
  std::vector<float> logits;
  bool logits_ready = false;
  bool context_changed = false;  // by a pass over generated tokens
  bool usable = true;  // false after an interrupted pass left the layers at different lengths
  SessionTimes times;
};

Session::Session(const Model& model, const SessionOptions& options) {
  if (options.batch_size == 0) {
    throw UsageError("out of range",
                     {.field = "batch size", .found = "0", .allowed = "at least 1"});
  }
  impl_ = std::make_unique<Impl>(model, options);
}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

void Session::Prefill(std::span<const TokenId> ids, const Progress& progress,
                      const LogitsSink& sink) {
  Impl& s = *impl_;
  s.BeginContext(ids);
  const Clock::time_point start = Clock::now();
  const size_t chunk = s.options.prefill_chunk == 0 ? ids.size() : s.options.prefill_chunk;
  PassProgress steps{progress, 0, ids.size() * s.model.config().n_layers};
  while (s.position < ids.size()) {
    const size_t n = std::min(chunk, ids.size() - s.position);
    const CompressionPass pass{.next_position = s.position + n,
                               .begins = s.position == 0,
                               .ends = s.position + n == ids.size()};
    Activations hidden =
        s.PrefillPiece(ids.subspan(s.position, n), steps, pass, {s.context_target()});
    s.position += n;
    steps.done = s.position * s.model.config().n_layers;
    s.TakeHidden(hidden, sink);
  }
  s.EndContext(ids);
  s.times.prefill_seconds = SecondsSince(start) - s.times.compress_seconds;
}

void Session::PrefillTogether(std::span<Session* const> sessions, std::span<const TokenId> ids,
                              const Progress& progress) {
  if (sessions.empty()) return;
  const Impl& first = *sessions.front()->impl_;
  const bool slides = HasWindows(first.model);
  std::vector<std::vector<Impl*>> groups(2);
  for (Session* session : sessions) {
    Impl& s = *session->impl_;
    const SessionOptions &a = s.options, &b = first.options;
    if (&s.model != &first.model || a.backend != b.backend || a.batch_size != b.batch_size ||
        a.compute_f32 != b.compute_f32 || s.threads != first.threads || a.prefill_chunk != 0) {
      throw Error("sessions that compute differently, or in chunks, cannot share a prefill");
    }
    s.BeginContext(ids);
    groups[slides && a.plan.compresses_windows() ? 1 : 0].push_back(&s);
  }
  std::erase_if(groups, [](const auto& group) { return group.empty(); });
  const size_t steps = ids.size() * first.model.config().n_layers;
  PassProgress done{progress, 0, groups.size() * steps};
  for (const std::vector<Impl*>& group : groups) {
    Impl::PrefillGroup(group, ids, done);
    done.done += steps;
  }
}

void Session::SaveContext(const std::string& path) const {
  const Impl& s = *impl_;
  if (s.context_tokens == 0) throw Error("there is no context to save");
  if (!s.usable || s.context_changed || s.position != s.context_tokens ||
      s.context_ids.size() != s.context_tokens) {
    throw Error("only a context is saved, and tokens have been added to it");
  }
  WriteContext(path, s.model, s.options, s.context_ids, s.context_hidden, s.cache);
}

void Session::LoadContext(const SavedContext& saved) {
  Impl& s = *impl_;
  const SavedContext::Impl& file = saved.impl();
  if (s.position != 0 || !s.usable)
    throw Error("a session takes one context, before anything else");
  CheckMatches(file, s.model, s.options);
  s.CheckTokens(file.ids, "saved context");
  SavedSegments segments = ReadSegments(file, s.model.config());
  for (size_t layer = 0; layer < segments.size(); ++layer) {
    LayerCache& cache = s.cache.layers()[layer];
    const bool in_tail = cache.window() > 0 && !s.options.plan.compresses_windows();
    cache.SetContext(std::move(segments[layer]), file.ids.size(), in_tail);
  }
  s.position = s.context_tokens = file.ids.size();
  s.context_ids = file.ids;
  s.context_hidden = s.last_hidden = file.hidden;
  s.logits_ready = false;
  if (s.options.keep_context) s.cache.MarkBase();
}

void Session::RepeatContext(size_t times) {
  Impl& s = *impl_;
  if (!s.usable || s.context_tokens == 0 || s.position != s.context_tokens || times == 0) {
    throw Error("only a context that was just read can be repeated");
  }
  if (HasWindows(s.model) && s.options.plan.compresses_windows()) {
    throw Error("a context whose sliding windows are compressed cannot be repeated");
  }
  if (s.options.context_size / times < s.position) {
    throw Error(fmt::format("{} times the context's {} tokens exceed the context size of {}", times,
                            s.position, s.options.context_size));
  }
  for (LayerCache& layer : s.cache.layers()) layer.RepeatContext(times);
  s.position = s.context_tokens *= times;
  if (s.options.keep_context) s.cache.MarkBase();
}

void Session::Append(std::span<const TokenId> ids, const Progress& progress,
                     const LogitsSink& sink) {
  Impl& s = *impl_;
  if (!s.usable) throw Error("the session was interrupted in the middle of a pass");
  s.CheckTokens(ids, "input");
  s.usable = false;
  PassProgress steps{progress, 0, ids.size() * s.model.config().n_layers};
  for (size_t first = 0; first < ids.size();) {
    const size_t n = std::min(ids.size() - first, s.TailLimit() - s.TailSize());
    Activations hidden = s.AppendPiece(ids.subspan(first, n), steps);
    s.position += n;
    first += n;
    steps.done = first * s.model.config().n_layers;
    s.TakeHidden(hidden, sink);
  }
  s.usable = true;
}

void Session::CompressTail() {
  Impl& s = *impl_;
  if (!s.options.compress_turns && s.options.decode_interval == 0) {
    throw Error("the session was not made to compress turns");
  }
  if (!s.usable) throw Error("the session was interrupted in the middle of a pass");
  if (s.TailSize() == 0) return;
  const Clock::time_point start = Clock::now();
  CompressTails(s.pass_plan(), {.next_position = s.position, .generated = true}, s.recent, s.cache);
  s.times.compress_seconds += SecondsSince(start);
  s.context_changed = true;
}

std::span<const float> Session::NextLogits() {
  Impl& s = *impl_;
  if (s.last_hidden.empty()) throw Error("there is no token yet that another could follow");
  if (!s.logits_ready) {
    s.logits.resize(s.model.config().vocab_size);
    s.transformer.Logits(s.last_hidden, s.logits.data());
    s.logits_ready = true;
  }
  return s.logits;
}

void Session::Rewind() {
  Impl& s = *impl_;
  const bool slides = HasWindows(s.model);
  const bool changed = s.context_changed || (slides && s.position != s.context_tokens);
  if (changed && !s.options.keep_context) {
    throw Error("the context has changed since it was read, and no copy of it was kept");
  }
  if (s.options.keep_context) {
    s.cache.ResetToBase();
  } else {
    for (LayerCache& layer : s.cache.layers()) layer.TruncateTail(0);
  }
  s.recent.Clear();
  s.context_changed = false;
  s.usable = s.usable || s.context_tokens > 0;  // an interrupted question leaves the context whole
  s.position = s.context_tokens;
  s.last_hidden = s.context_hidden;
  s.logits_ready = false;
}

size_t Session::context_tokens() const { return impl_->context_tokens; }
size_t Session::position() const { return impl_->position; }
size_t Session::context_size() const { return impl_->options.context_size; }
KvBytes Session::kv_bytes() const { return impl_->cache.Bytes(); }

size_t Session::kv_bytes_dense_f16() const {
  const ModelConfig& config = impl_->model.config();
  size_t tokens = 0;  // of all layers
  for (const size_t window : config.windows()) {
    tokens += window == 0 ? impl_->position : std::min(window, impl_->position);
  }
  return tokens * config.kv_size() * 2 * 2;  // K and V, 2 bytes each
}

const SessionTimes& Session::times() const { return impl_->times; }
KeptShares Session::kept() const { return CountKept(impl_->cache, impl_->context_tokens); }
int Session::threads() const { return impl_->threads; }

}  // namespace spark
