// What a session makes of its options before it begins.
#ifndef SPARK_GENERATE_SESSION_SETUP_H_
#define SPARK_GENERATE_SESSION_SETUP_H_

#include <cstddef>
#include <memory>

#include "backend/backend.h"
#include "kv/kv_cache.h"
#include "spark/session.h"

namespace spark {

// 0: one a core. Throws UsageError for what can't be meant.
int ThreadCount(int requested);

// Tokens that a later pass compresses wait for it in floats: what they are worth is computed from
// keys that are not yet quantised. And the newest keys are looked at most: in 4 bits they cost
// SmolLM2 21 % of perplexity where those of the context cost 3 % (docs/decisions.md), so they
// take 8.
CacheTypes TailTypes(const SessionOptions& options, bool compressed_later);

// How many of the last queries wait for a pass over generated tokens. A turn may be of any length,
// and some stages would look at all of its queries.
size_t QueryWindow(const SessionOptions& options);

// Throws UsageError for a name that is none, Error for a GPU that is not there.
std::unique_ptr<Backend> MakeBackend(const SessionOptions& options, int threads);

}  // namespace spark

#endif  // SPARK_GENERATE_SESSION_SETUP_H_
