#include "backend/reference/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kv/packed_row.h"

namespace spark::reference {
namespace {

float Dot(const float* a, const float* b, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

template <class Store>
void RowScores(const float* q, const Store& keys, size_t dim, size_t n, float* scores) {
  std::vector<float> key(dim);
  for (size_t t = 0; t < n; ++t) {
    keys.ReadRow(t, key.data());
    scores[t] = Dot(q, key.data(), dim);
  }
}

}  // namespace

void Scores(const float* q, const DenseStore& keys, size_t n, float* scores) {
  RowScores(q, keys, keys.dim(), n, scores);
}

// q·k̂[t] = Σ_kept q[j] k[t,j] + s[t] Σ_pruned ±q[j]/sqrt(w[j]). The quotient is the same for every
// token, so it is taken once. Sampled recovery has no such form: what a channel counts for is
// drawn.
void Scores(const float* q, const SparseStore& keys, size_t n, float* scores) {
  if (keys.sampled() || keys.centre() != nullptr)
    return RowScores(q, keys, keys.head_dim(), n, scores);
  const size_t head_dim = keys.head_dim();
  const bool recover = keys.recovery() != Recovery::kZero;
  const bool always_positive = keys.recovery() == Recovery::kConstant;
  std::vector<float> filled(head_dim, 0.0f);
  for (size_t j = 0; recover && j < head_dim; ++j) filled[j] = q[j] * keys.fill()[j];

  std::vector<float> values(head_dim);
  for (size_t t = 0; t < n; ++t) {
    UnpackRow(keys.value_type(), keys.Row(t), keys.Kept(t), values.data());
    const uint8_t* mask = keys.Mask(t);
    const uint8_t* sign = keys.signs() + t * MaskBytes(head_dim);
    float kept = 0;
    float pruned = 0;
    size_t rank = 0;
    for (size_t j = 0; j < head_dim; ++j) {
      if (MaskBit(mask, j)) {
        kept += q[j] * values[rank++];
      } else if (recover) {
        pruned += always_positive || MaskBit(sign, j) ? filled[j] : -filled[j];
      }
    }
    scores[t] = kept + keys.Scalar(t) * pruned;
  }
}

// q·k̂[t] = s[t] Σ_j ±q[j]/sqrt(w[j])  +  Σ_kept q[j] r[t,j]: a plane of signs times one scalar, and
// the residuals (spark.md §3, rearranged).
void Scores(const float* q, const LaneStore& keys, size_t n, float* scores) {
  if (keys.centre() != nullptr) return RowScores(q, keys, keys.head_dim(), n, scores);
  for (size_t t = 0; t < n; ++t) {
    float plane = 0;
    for (size_t j = 0; j < keys.head_dim(); ++j) {
      const float filled = q[j] * keys.fill()[j];
      plane += keys.Positive(t, j) ? filled : -filled;
    }
    float residual = 0;
    for (size_t i = 0; i < keys.n_kept(); ++i) {
      residual += q[keys.Channel(t, i)] * static_cast<float>(keys.Code(t, i));
    }
    scores[t] = keys.Scalar(t) * plane + keys.Scale(t) * residual;
  }
}

void Scores(const float* q, const DroppedKeyStore& keys, size_t n, float* scores) {
  std::vector<float> gathered;
  for (const uint16_t channel : keys.channels()) gathered.push_back(q[channel]);
  Scores(gathered.data(), keys.rows(), n, scores);
}

void Scale(float* scores, size_t n, const ScoreScale& scale) {
  for (size_t t = 0; t < n; ++t) {
    scores[t] *= scale.scale;
    if (scale.softcap > 0) scores[t] = scale.softcap * std::tanh(scores[t] / scale.softcap);
  }
}

void Softmax(std::vector<float>& scores) {
  const float largest = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (float& score : scores) {
    score = std::exp(score - largest);
    sum += score;
  }
  for (float& score : scores) score /= sum;
}

template <class Store>
void AddWeightedValues(const float* weights, const Store& values, size_t n, size_t dim,
                       float* out) {
  std::vector<float> value(dim);
  for (size_t t = 0; t < n; ++t) {
    values.ReadRow(t, value.data());
    for (size_t j = 0; j < dim; ++j) out[j] += weights[t] * value[j];
  }
}

void AttendOne(const float* q, const LayerCache& layer, const HeadCache& head, size_t position,
               const ScoreScale& scale, float* out) {
  const size_t tail_begins = layer.next_position() - head.tail.size();
  const size_t n_tail = position + 1 - tail_begins;  // up to and including the query's own token
  const size_t first_seen = layer.FirstVisible(position);

  std::vector<float> scores(head.context_size() + n_tail);
  // What the window has left behind are the first tokens of a store.
  const auto hide = [](float* first, size_t n) {
    std::fill_n(first, n, -std::numeric_limits<float>::infinity());
  };
  float* next = scores.data();
  for (const SegmentPtr& segment : head.context) {
    std::visit([&](const auto& keys) { Scores(q, keys, segment->size(), next); }, segment->keys);
    Scale(next, segment->size(), scale);
    hide(next, segment->positions.CountBefore(first_seen));
    next += segment->size();
  }
  Scores(q, head.tail.keys, n_tail, next);
  Scale(next, n_tail, scale);
  if (first_seen > tail_begins) hide(next, first_seen - tail_begins);

  Softmax(scores);

  const size_t dim = head.tail.values.dim();
  std::fill_n(out, dim, 0.0f);
  next = scores.data();
  for (const SegmentPtr& segment : head.context) {
    std::visit(
        [&](const auto& values) { AddWeightedValues(next, values, segment->size(), dim, out); },
        segment->values);
    next += segment->size();
  }
  AddWeightedValues(next, head.tail.values, n_tail, dim, out);
}

}  // namespace spark::reference
