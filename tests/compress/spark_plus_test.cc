#include "compress/spark_plus.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "backend/backend.h"
#include "tests/support/oracle.h"

namespace spark {
namespace spark_plus_test {

using testing::OracleCase;
using testing::OracleCases;
using testing::OracleHead;

// Arrays without the slack that every allocation has.
size_t KeyBytes(const std::vector<Segment>& segments) {
  size_t bytes = 0;
  for (const Segment& segment : segments) {
    if (const auto* dense = std::get_if<DenseStore>(&segment.keys)) {
      bytes += dense->size() * dense->row_bytes();
      continue;
    }
    const auto& store = std::get<SparseStore>(segment.keys);
    const size_t dim = store.head_dim();
    bytes += store.size() * (PackedRowBytes(store.value_type(), store.n_kept()) +
                             2 * MaskBytes(dim) + Traits(store.scalar_type()).block_bytes) +
             dim * sizeof(float) * (store.centre() == nullptr ? 1 : 2);
  }
  return bytes;
}

// A head of n tokens, made of an oracle's by repeating them; it looks at its queries.
struct LongHead {
  LongHead(const OracleHead& head, size_t n) {
    const HeadContext& from = head.context;
    for (size_t t = 0; t < n; ++t) {
      const float* key = from.keys + t % from.n_tokens * from.head_dim;
      const float* value = from.values + t % from.n_tokens * from.head_dim;
      keys.insert(keys.end(), key, key + from.head_dim);
      values.insert(values.end(), value, value + from.head_dim);
    }
    context = from;
    context.keys = keys.data();
    context.values = values.data();
    context.n_tokens = n;
    context.types = {DType::kF16, DType::kF16};
  }
  std::vector<float> keys, values;
  HeadContext context;
};

TEST_CASE("spark-plus takes no more bytes than spark", "[plus]") {
  for (const OracleCase& c : OracleCases()) {
    const OracleHead head(c, 0);
    for (const size_t n : {1, 5, 130, 512, 600, 4096}) {
      const LongHead tokens(head, n);
      for (const double ratio : {0.3, 0.5, 0.7, 0.8, 0.9, 0.95}) {
        INFO(c.name << " tokens " << n << " ratio " << ratio);
        const size_t paper = KeyBytes(SparkStage({.ratio = ratio}).Compress(tokens.context));
        const size_t plus = KeyBytes(SparkPlusStage({.ratio = ratio}).Compress(tokens.context));
        CHECK(plus <= paper);
        if (n >= 600 && ratio >= 0.7)
          CHECK(static_cast<double>(plus) > 0.9 * static_cast<double>(paper));
      }
    }
  }
}

// Sum of squares of what is lost, channels weighted as the queries weight them.
double Loss(const std::vector<Segment>& segments, const HeadContext& head) {
  const std::vector<float> weights = ChannelWeights(head, WeightNorm::kRms);
  std::vector<float> row(head.head_dim);
  double loss = 0;
  size_t token = 0;
  for (const Segment& segment : segments) {
    for (size_t t = 0; t < segment.size(); ++t, ++token) {
      ReadRow(segment.keys, t, row.data());
      for (size_t j = 0; j < head.head_dim; ++j) {
        const double d = row[j] - head.keys[token * head.head_dim + j];
        loss += d * d * weights[j];
      }
    }
  }
  return loss;
}

TEST_CASE("spark-plus keeps keys closer than spark does", "[plus]") {
  for (const OracleCase& c : OracleCases()) {
    const OracleHead head(c, 0);
    const LongHead tokens(head, 1024);
    for (const double ratio : {0.7, 0.8, 0.9}) {
      INFO(c.name << " ratio " << ratio);
      const auto loss = [&](const ChannelStage& stage) {
        return Loss(stage.Compress(tokens.context), tokens.context);
      };
      CHECK(loss(SparkPlusStage({.ratio = ratio})) < 0.5 * loss(SparkStage({.ratio = ratio})));
    }
  }
}

TEST_CASE("spark-plus chooses 8 bits for many channels and 4 for few", "[plus]") {
  const PlusForm wide = ChoosePlusForm(0.8, 4096, 64, DType::kF16, true);
  CHECK(wide.key_type == DType::kQ8_0);
  CHECK(wide.n_kept == 23);  // 13 × 2 bytes pay for 2 + 23 and the sinks
  CHECK(wide.sinks == 4);
  CHECK(wide.centre);
  const PlusForm narrow = ChoosePlusForm(0.9, 4096, 64, DType::kF16, true);
  CHECK(narrow.key_type == DType::kQ4_0);
  CHECK(narrow.n_kept == 22);
  const PlusForm later = ChoosePlusForm(0.8, 128, 64, DType::kF16, false);
  CHECK(later.sinks == 0);
  CHECK_FALSE(later.centre);
  const PlusForm stored = ChoosePlusForm(0.8, 4096, 64, DType::kQ4_0, true);
  CHECK(stored.key_type == DType::kQ4_0);  // nothing smaller to go to: spark:0.8 itself
  CHECK(stored.n_kept == 13);
  CHECK(stored.sinks == 0);
}

TEST_CASE("centred keys read as keys, and scores are those of the rows", "[plus]") {
  const OracleHead head(OracleCases().front(), 0);
  const SparkStage stage({.ratio = 0.5, .centre = true});
  const std::vector<Segment> segments = stage.Compress(head.context);
  const auto& store = std::get<SparseStore>(segments.at(0).keys);
  REQUIRE(store.centre() != nullptr);
  const HeadContext& c = head.context;
  std::vector<float> row(c.head_dim);
  for (size_t t = 0; t < c.n_tokens; ++t) {
    store.ReadRow(t, row.data());
    for (size_t j = 0; j < c.head_dim; ++j) {
      if (MaskBit(store.Mask(t), j)) CHECK(std::abs(row[j] - c.keys[t * c.head_dim + j]) < 1e-5f);
    }
  }
  std::vector<float> expected(c.group * c.n_tokens), out(expected.size());
  MakeReferenceBackend()->Scores(head.probes.data(), c.group, segments[0].keys, expected.data());
  MakeCpuBackend({.threads = 1})->Scores(head.probes.data(), c.group, segments[0].keys, out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    CHECK(std::abs(out[i] - expected[i]) < 1e-4f * (1 + std::abs(expected[i])));
  }
}

}  // namespace spark_plus_test
}  // namespace spark
