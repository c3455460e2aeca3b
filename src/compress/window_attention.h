// Attention weights of the queries at hand, for stages that score tokens by them.
#ifndef SPARK_COMPRESS_WINDOW_ATTENTION_H_
#define SPARK_COMPRESS_WINDOW_ATTENTION_H_

#include <Eigen/Core>

#include "compress/stage.h"

namespace spark {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// keys, values: [n_tokens, head_dim]
Eigen::Map<const RowMatrix> HeadKeys(const HeadContext& head);
Eigen::Map<const RowMatrix> HeadValues(const HeadContext& head);

// The queries of one query head of the group, [window, head_dim].
Eigen::Map<const RowMatrix, 0, Eigen::OuterStride<>> HeadQueries(const HeadContext& head,
                                                                 size_t member);

// For each of the last `n_queries` queries of a query head (at most as many as there are queries
// and tokens), the weights that the model's own attention gives the tokens:
//   softmax(q k / sqrt(head_dim)) over the tokens up to the query's own, 0 behind it.
// The sum of the rows, [n_tokens]. They are computed in blocks, so scratch memory is linear in
// n_tokens.
Eigen::ArrayXf AttentionSum(const HeadContext& head, size_t member, size_t n_queries);

}  // namespace spark

#endif  // SPARK_COMPRESS_WINDOW_ATTENTION_H_
