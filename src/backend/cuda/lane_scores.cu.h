// Scores of keys in lanes (kv/lane_store.h): a token a lane, as the layout is meant. A lane goes
// through its token's signs and kept channels; nothing is expanded, and no lane waits for another.
#ifndef SPARK_BACKEND_CUDA_LANE_SCORES_CU_H_
#define SPARK_BACKEND_CUDA_LANE_SCORES_CU_H_

#include "backend/cuda/device.h"
#include "backend/cuda/kv_views.h"

namespace spark::cuda {

// Where the parts of a tile begin, in bytes: LaneLayout of the host.
struct LaneTile {
  static constexpr uint32_t kTokens = 16, kScalars = 2 * kTokens, kSigns = 4 * kTokens;
  __device__ LaneTile(uint32_t head_dim, uint32_t n_kept)
      : words((head_dim + 31) / 32),
        quads((n_kept + 1) / 4),
        rest(n_kept % 4 == 3 ? 0 : n_kept % 4) {}
  __device__ uint32_t first_quad() const { return kSigns + words * kTokens * 4; }
  __device__ uint32_t first_rest() const { return first_quad() + quads * 2 * kTokens * 4; }
  uint32_t words, quads, rest;
};

__device__ __forceinline__ uint32_t LoadWord(const uint8_t* aligned) {
  return *reinterpret_cast<const uint32_t*>(aligned);
}

// scores[r] += what kept channels add: code times query, of the channels that they are of.
template <int kChannels, int kRows, class Queries>
__device__ __forceinline__ void AddCode(Queries& q, uint32_t channel, uint32_t code, float scale,
                                        float (&scores)[kRows]) {
  const float x = scale * static_cast<float>(static_cast<int8_t>(code));
#pragma unroll
  for (int r = 0; r < kRows; ++r) scores[r] += x * q[r * kChannels + static_cast<int>(channel)];
}

// Products of kRows queries with token t, which differs from lane to lane.
// q: [kRows, kChannels] in shared memory, zeros behind head_dim
template <int kChannels, int kRows, class Queries>
__device__ __forceinline__ void LaneScores(Queries& q, const StoreView& keys, uint32_t t,
                                           int head_dim, float (&scores)[kRows]) {
  const LaneTile at(static_cast<uint32_t>(head_dim), keys.n_kept);
  const uint8_t* tile = keys.rows + static_cast<size_t>(t / LaneTile::kTokens) * keys.row_bytes;
  const uint32_t lane = t % LaneTile::kTokens;
  const float scale = HalfToFloat(reinterpret_cast<const uint16_t*>(tile)[lane]);
  const float scalar =
      HalfToFloat(reinterpret_cast<const uint16_t*>(tile + LaneTile::kScalars)[lane]);
#pragma unroll
  for (int r = 0; r < kRows; ++r) scores[r] = 0;

#pragma unroll 1
  for (uint32_t w = 0; w < at.words; ++w) {
    uint32_t signs = LoadWord(tile + LaneTile::kSigns + (w * LaneTile::kTokens + lane) * 4);
#pragma unroll 4
    for (uint32_t b = 0; b < 32; ++b, signs >>= 1) {
      const uint32_t c = w * 32 + b;
      const float x = (signs & 1) != 0 ? keys.fill[c] : -keys.fill[c];
#pragma unroll
      for (int r = 0; r < kRows; ++r) scores[r] += x * q[r * kChannels + static_cast<int>(c)];
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) scores[r] *= scalar;

  const uint8_t* quad = tile + at.first_quad() + lane * 4;
#pragma unroll 1
  for (uint32_t i = 0; i < at.quads; ++i, quad += 2 * LaneTile::kTokens * 4) {
    const uint32_t places = LoadWord(quad), codes = LoadWord(quad + LaneTile::kTokens * 4);
#pragma unroll
    for (uint32_t j = 0; j < 4; ++j) {
      const uint32_t channel = keys.order[places >> (8 * j) & 255];
      AddCode<kChannels>(q, channel, codes >> (8 * j) & 255, scale, scores);
    }
  }
  const uint8_t* rest = tile + at.first_rest() + lane * at.rest;
#pragma unroll 1
  for (uint32_t i = 0; i < at.rest; ++i) {
    AddCode<kChannels>(q, keys.order[rest[i]], rest[LaneTile::kTokens * at.rest + i], scale,
                       scores);
  }

  if (keys.centre == nullptr) return;
#pragma unroll 1
  for (int c = 0; c < head_dim; ++c) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) scores[r] += keys.centre[c] * q[r * kChannels + c];
  }
}

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_LANE_SCORES_CU_H_
