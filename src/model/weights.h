// The weights of a Llama-family transformer by role. Views into the model file, which outlives
// them.
#ifndef SPARK_MODEL_WEIGHTS_H_
#define SPARK_MODEL_WEIGHTS_H_

#include <vector>

#include "backend/weight.h"

namespace spark {

struct LayerWeights {
  std::vector<float> attn_norm;  // [hidden]
  Weight wq;                     // [n_heads * head_dim, hidden]
  Weight wk;                     // [n_kv_heads * head_dim, hidden]
  Weight wv;                     // [n_kv_heads * head_dim, hidden]
  Weight wo;                     // [hidden, n_heads * head_dim]
  std::vector<float> ffn_norm;   // [hidden]
  Weight w_gate;                 // [intermediate, hidden]
  Weight w_up;                   // [intermediate, hidden]
  Weight w_down;                 // [hidden, intermediate]
};

struct Weights {
  Weight token_embedding;  // [vocab, hidden]
  std::vector<LayerWeights> layers;
  std::vector<float> output_norm;    // [hidden]
  Weight output;                     // [vocab, hidden]; the token embedding when they are tied
  std::vector<float> rope_divisors;  // [rope.dim / 2] from `rope_freqs.weight`, or empty
};

}  // namespace spark

#endif  // SPARK_MODEL_WEIGHTS_H_
