// Compression on the device against compression on the host, array by array.
#include "backend/cuda/compress.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "compress/keep_largest.h"
#include "compress/spark.h"
#include "kv/channel_mask.h"
#include "kv/packed_row.h"
#include "kv/sparse_store.h"
#include "kv/store_parts.h"
#include "spark/error.h"

namespace spark::cuda {
namespace compress_test {

constexpr size_t kHeads = 2, kGroup = 3;

struct Case {
  size_t head_dim, n_tokens, n_kept, window = 32;
  DType type = DType::kF16;
  bool rms = false;
};

// Keys [n_tokens, kHeads, head_dim] and queries [kHeads, window, kGroup, head_dim]. Some channels
// are used by no query, some tokens have equal contributions.
struct Inputs {
  explicit Inputs(const Case& c)
      : keys(c.n_tokens * kHeads * c.head_dim), queries(kHeads * c.window * kGroup * c.head_dim) {
    std::mt19937 random(static_cast<uint32_t>(c.head_dim * 1000 + c.n_tokens));
    std::normal_distribution<float> normal(0, 1);
    for (float& x : keys) x = normal(random);
    for (float& x : queries) x = normal(random);
    for (size_t i = 0; i < queries.size(); ++i) {
      if (i % c.head_dim == 3) queries[i] = 0;
      if (i % c.head_dim == 6) queries[i] = queries[i - 1];  // channels 5 and 6 weigh the same
    }
    for (size_t i = 0; i < keys.size(); ++i) {
      if (i % c.head_dim == 6 && i / c.head_dim % 3 == 0) keys[i] = -keys[i - 1];
      if (i / (kHeads * c.head_dim) % 7 == 6) keys[i] = 0;
    }
  }
  std::vector<float> keys, queries;
};

template <class T>
std::vector<T> ToHost(const void* device, size_t n, Stream stream) {
  std::vector<T> host(n);
  CopyToHost(host.data(), device, n * sizeof(T), stream);
  Synchronize(stream);
  return host;
}

// What the host makes of one head.
struct OnHost {
  OnHost(const Case& c, const Inputs& in, size_t head)
      : keys(c.n_tokens * c.head_dim), masks(c.n_tokens * MaskBytes(c.head_dim)) {
    for (size_t t = 0; t < c.n_tokens; ++t) {
      const float* key = in.keys.data() + (t * kHeads + head) * c.head_dim;
      std::copy_n(key, c.head_dim, keys.data() + t * c.head_dim);
    }
    HeadContext context;
    context.head_dim = c.head_dim;
    context.queries = in.queries.data() + head * c.window * kGroup * c.head_dim;
    context.window = c.window;
    context.group = kGroup;
    weights = ChannelWeights(context, c.rms ? WeightNorm::kRms : WeightNorm::kNorm);
    for (const float w : weights) fill.push_back(w > 0 ? 1.0f / std::sqrt(w) : 0.0f);
    for (size_t t = 0; t < c.n_tokens; ++t) {
      std::vector<float> contributions(c.head_dim);
      for (size_t j = 0; j < c.head_dim; ++j) contributions[j] = Contribution(c, t, j);
      const float pruned = KeepLargestOf(contributions.data(), c.head_dim, c.n_kept,
                                         masks.data() + t * MaskBytes(c.head_dim));
      scalars.push_back(std::sqrt(pruned / static_cast<float>(c.head_dim - c.n_kept)));
    }
  }
  float Contribution(const Case& c, size_t t, size_t j) const {
    const float k = keys[t * c.head_dim + j];
    return k * k * weights[j];
  }
  SparseStore Pack(const Case& c) const {
    return SparseStore::Pack({.rows = keys.data(),
                              .stride = c.head_dim,
                              .n_tokens = c.n_tokens,
                              .head_dim = c.head_dim,
                              .masks = masks.data(),
                              .scalars = scalars,
                              .fill = fill},
                             c.type, Recovery::kMean);
  }

  std::vector<float> keys, weights, fill, scalars;
  std::vector<uint8_t> masks;
};

// Masks differ in channels of contributions that rounding of the weights could have swapped only.
void CheckTie(const Case& c, const OnHost& host, size_t t, const uint8_t* mask) {
  float least = INFINITY, most = 0;
  size_t kept = 0;
  for (size_t j = 0; j < c.head_dim; ++j) {
    const bool on_device = MaskBit(mask, j);
    kept += on_device;
    if (on_device == MaskBit(host.masks.data() + t * MaskBytes(c.head_dim), j)) continue;
    least = std::min(least, host.Contribution(c, t, j));
    most = std::max(most, host.Contribution(c, t, j));
  }
  CHECK(kept == c.n_kept);
  CHECK(most - least <= 1e-6f * most);
}

void CheckHead(const Case& c, const OnHost& host, const StoreView& view, Stream stream) {
  const size_t mask_bytes = MaskBytes(c.head_dim);
  const SparseStore expected = host.Pack(c);
  const auto masks = ToHost<uint8_t>(view.masks, c.n_tokens * mask_bytes, stream);
  const auto signs = ToHost<uint8_t>(view.signs, c.n_tokens * mask_bytes, stream);
  const auto rows = ToHost<std::byte>(view.rows, c.n_tokens * view.row_bytes, stream);
  const auto fill = ToHost<float>(view.fill, c.head_dim, stream);
  const size_t scalar_bytes = c.n_tokens * (view.scalars_f32 ? 4 : 2);
  const auto scalars = ToHost<std::byte>(view.scalars, scalar_bytes, stream);
  REQUIRE(view.row_bytes == PackedRowBytes(c.type, c.n_kept));
  CHECK(std::memcmp(signs.data(), expected.signs(), signs.size()) == 0);

  const SparseStore packed =
      SparseStore::FromArrays({.values = rows,
                               .masks = std::as_bytes(std::span(masks)),
                               .signs = std::as_bytes(std::span(signs)),
                               .scalars = scalars,
                               .fill = std::as_bytes(std::span(fill)),
                               .centre = {}},
                              c.type, Recovery::kMean, c.head_dim, c.n_tokens);
  std::vector<float> row(c.head_dim), expected_row(c.head_dim);
  size_t n_ties = 0;
  for (size_t t = 0; t < c.n_tokens; ++t) {
    INFO("token " << t);
    if (std::memcmp(&masks[t * mask_bytes], expected.Mask(t), mask_bytes) != 0) {
      CheckTie(c, host, t, &masks[t * mask_bytes]);
      ++n_ties;
      continue;
    }
    CHECK(std::memcmp(packed.Row(t), expected.Row(t), view.row_bytes) == 0);
    packed.ReadRow(t, row.data());
    expected.ReadRow(t, expected_row.data());
    for (size_t j = 0; j < c.head_dim; ++j) {
      // A share may round to its neighbour: 2^-10 of it, or the last of the smallest f16.
      const float largest = std::abs(expected.fill()[j]);
      const float tolerance = view.scalars_f32
                                  ? 2e-5f * std::abs(expected_row[j])
                                  : 1e-3f * std::abs(expected_row[j]) + 6e-8f * largest;
      if (std::abs(row[j] - expected_row[j]) > tolerance) {
        FAIL_CHECK("channel " << j << ": " << row[j] << ", host: " << expected_row[j]);
      }
    }
  }
  CHECK(n_ties * 20 <= c.n_tokens);
}

void CheckCase(const Case& c) {
  std::string why;
  if (DeviceCount(&why) == 0) SKIP("no GPU: " << why);
  CAPTURE(c.head_dim, c.n_tokens, c.n_kept, c.window, c.rms, Name(c.type));
  const Inputs in(c);
  const OwnedStream stream;
  const DeviceMemory keys(in.keys.size() * sizeof(float), "keys");
  const DeviceMemory queries(in.queries.size() * sizeof(float), "queries");
  CopyToDevice(keys.As<void>(), in.keys.data(), in.keys.size() * sizeof(float), stream.get());
  CopyToDevice(queries.As<void>(), in.queries.data(), in.queries.size() * sizeof(float),
               stream.get());
  const PackedKeys packed({.keys = keys.As<float>(),
                           .token_stride = kHeads * c.head_dim,
                           .head_stride = c.head_dim,
                           .n_tokens = c.n_tokens,
                           .n_heads = kHeads,
                           .head_dim = c.head_dim,
                           .queries = queries.As<float>(),
                           .window = c.window,
                           .group = kGroup,
                           .rms = c.rms,
                           .n_kept = c.n_kept,
                           .type = c.type},
                          stream.get());
  for (size_t head = 0; head < kHeads; ++head) {
    CheckHead(c, OnHost(c, in, head), packed.View(head), stream.get());
  }
}

TEST_CASE("Keys are compressed on the device as on the host", "[compress]") {
  const size_t head_dim = GENERATE(64, 80, 128, 256);
  const size_t n_tokens = GENERATE(1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 63, 64, 65, 255, 256, 257);
  const DType type = GENERATE(DType::kF16, DType::kQ8_0);
  CheckCase({.head_dim = head_dim, .n_tokens = n_tokens, .n_kept = head_dim / 5 + 1, .type = type});
}

TEST_CASE("Every number of kept channels, every type, both weights", "[compress]") {
  const size_t head_dim = GENERATE(64, 80);
  const DType type = GENERATE(DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0);
  for (const size_t n_kept : {size_t{1}, size_t{31}, size_t{32}, size_t{33}, head_dim - 1}) {
    CheckCase({.head_dim = head_dim, .n_tokens = 37, .n_kept = n_kept, .type = type, .rms = true});
    CheckCase({.head_dim = head_dim, .n_tokens = 9, .n_kept = n_kept, .window = 5, .type = type});
  }
}

TEST_CASE("Heads of odd sizes", "[compress]") {
  const size_t head_dim = GENERATE(16, 33, 100, 129);
  CheckCase({.head_dim = head_dim, .n_tokens = 40, .n_kept = 13});
}

TEST_CASE("What the device does not compress is refused", "[compress]") {
  std::string why;
  if (DeviceCount(&why) == 0) SKIP("no GPU: " << why);
  const OwnedStream stream;
  CompressInput input{.n_tokens = 1, .n_heads = 1, .head_dim = 64, .n_kept = 64};
  CHECK_THROWS_AS(PackedKeys(input, stream.get()), Error);
  input.n_kept = 0;
  CHECK_THROWS_AS(PackedKeys(input, stream.get()), Error);
  input.n_kept = 8;
  input.type = DType::kQ4_0;
  CHECK_THROWS_AS(PackedKeys(input, stream.get()), Error);
  input.type = DType::kF16;
  input.head_dim = 257;
  CHECK_THROWS_AS(PackedKeys(input, stream.get()), Error);
}

}  // namespace compress_test
}  // namespace spark::cuda
