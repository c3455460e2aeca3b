// The weights of a transformer by role. Matrices are views into the model file, which outlives
// them.
#ifndef SPARK_MODEL_WEIGHTS_H_
#define SPARK_MODEL_WEIGHTS_H_

#include <vector>

#include "backend/weight.h"

namespace spark {

// Vectors that an architecture does not have are empty.
struct LayerWeights {
  std::vector<float> attn_norm;       // [hidden]
  Weight wq;                          // [n_heads * head_dim, hidden]
  Weight wk;                          // [n_kv_heads * head_dim, hidden]
  Weight wv;                          // [n_kv_heads * head_dim, hidden]
  Weight wo;                          // [hidden, n_heads * head_dim]
  std::vector<float> bq, bk, bv, bo;  // [rows of the matrix]
  std::vector<float> q_norm;          // [head_dim] for every head by itself, or [rows of wq]
  std::vector<float> k_norm;          // the same of wk
  std::vector<float> attn_post_norm;  // [hidden]

  std::vector<float> ffn_norm;              // [hidden]
  Weight w_gate;                            // [intermediate, hidden]
  Weight w_up;                              // [intermediate, hidden]
  Weight w_down;                            // [hidden, intermediate]
  std::vector<float> b_gate, b_up, b_down;  // [rows of the matrix]
  std::vector<float> ffn_post_norm;         // [hidden]
};

struct Weights {
  Weight token_embedding;  // [vocab, hidden]
  std::vector<LayerWeights> layers;
  std::vector<float> output_norm;    // [hidden]
  Weight output;                     // [vocab, hidden]; the token embedding when they are tied
  std::vector<float> rope_divisors;  // [rope.dim / 2] from `rope_freqs.weight`, or empty; not for
                                     // layers with ModelConfig::local_rope
};

}  // namespace spark

#endif  // SPARK_MODEL_WEIGHTS_H_
