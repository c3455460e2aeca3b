// Attention over a packed cache as the equations have it, one token at a time. The same three
// steps, under the same names, make up the vectorised one in ../cpu/.
#ifndef SPARK_BACKEND_REFERENCE_ATTENTION_H_
#define SPARK_BACKEND_REFERENCE_ATTENTION_H_

#include <cstddef>
#include <vector>

#include "backend/backend.h"
#include "kv/kv_cache.h"

namespace spark::reference {

// scores[t] = q · k[t] for the first n tokens of a store. q: [head_dim]
void Scores(const float* q, const DenseStore& keys, size_t n, float* scores);
void Scores(const float* q, const SparseStore& keys, size_t n, float* scores);
void Scores(const float* q, const LaneStore& keys, size_t n, float* scores);
void Scores(const float* q, const DroppedKeyStore& keys, size_t n, float* scores);

// In place.
void Scale(float* scores, size_t n, const ScoreScale& scale);

// In place: scores become exp(score) / Σ exp(score).
void Softmax(std::vector<float>& scores);

// The query of the token at `position` against one head's cache. out: [head_dim]
void AttendOne(const float* q, const LayerCache& layer, const HeadCache& head, size_t position,
               const ScoreScale& scale, float* out);

}  // namespace spark::reference

#endif  // SPARK_BACKEND_REFERENCE_ATTENTION_H_
