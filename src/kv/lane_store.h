// SparK's keys of one KV head in 8 bits, laid out so that a token is a lane of a vector: the layout
// that is decoded from, where SparseStore is the one that takes the fewest bytes.
//
// A key is a plane of signs times one scalar, plus a sparse residual (spark.md §3, rearranged):
//   k̂[t,j] = ±s[t] fill[j]  +  a[t] c[t,i]  if channel j is the i-th of the T that token t keeps
// The residual of a kept channel is what its recovery leaves of it, k[t,j] - ±s[t] fill[j], in
// codes c of 8 bits with one scale a for the token. So the plane needs no mask, and a query meets
// it by look-ups: for each four channels a table of the 16 sums ±q[j] fill[j]. A kept channel is a
// byte that says which one it is, and looks up q[j].
//
// Which one it is: its place in `order`, where those channels come first that most tokens keep.
// Queries favour the same channels for all tokens, so a quarter of the places has three quarters of
// what is kept, and a look-up among the first 16 places finds most of it.
//
// When it is chosen: docs/decisions.md.
//
// Layout for n tokens, D <= 256 channels, T kept channels a token:
//   tiles [ceil(n/16)]  of 16 tokens, one after the other. A tile (tile_bytes() each):
//     scales   [16]         f16, a[t]
//     scalars  [16]         f16, s[t] as a share of the largest, whose unit is in `fill`
//     signs    [W][16]      u32, W = ceil(D/32): bit b of word w of a token: k[t, 32w + b] > 0
//     quads    [Q]          places [16][4] u8, then codes [16][4] i8: the kept channels R + 4i …
//                           R + 4i + 3 of each token, in the order of places
//     rest                  places [16][R] u8, then codes [16][R] i8: the first R kept channels
//   order  [D]  u8, the channel of each place
//   fill   [D]  f32
//   centre [D]  f32, only if the rows are differences from it: added to every token
// R = T % 4, but instead of three the last quad has code 0 for its fourth channel. What stands for
// tokens behind the last one is 0. Numbers are little-endian.
#ifndef SPARK_KV_LANE_STORE_H_
#define SPARK_KV_LANE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "base/tiles.h"
#include "kv/sparse_store.h"

namespace spark {

// Where the parts of a tile begin, in bytes.
struct LaneLayout {
  static constexpr size_t kTokens = 16;
  static constexpr size_t kMaxHeadDim = 256;  // a place is one byte

  LaneLayout(size_t head_dim, size_t n_kept)
      : words((head_dim + 31) / 32),
        quads((n_kept + 1) / 4),
        rest(n_kept % 4 == 3 ? 0 : n_kept % 4) {}

  size_t words;  // W
  size_t quads;  // Q
  size_t rest;   // R

  static constexpr size_t kScales = 0;
  static constexpr size_t kScalars = kTokens * 2;
  static constexpr size_t kSigns = kTokens * 4;
  static constexpr size_t kQuadBytes = 2 * kTokens * 4;
  // A block is 16 places, what a shuffle of bytes can look up in. Of heads with up to four of them
  // a store knows how many quads are in the first ones.
  static constexpr size_t kBlock = 16, kFewBlocks = 4;
  bool few_blocks() const { return words * 32 <= kFewBlocks * kBlock; }

  size_t first_quad() const { return kSigns + words * kTokens * 4; }
  size_t first_rest() const { return first_quad() + quads * kQuadBytes; }
  size_t tile_bytes() const { return first_rest() + 2 * kTokens * rest; }

  // Of kept channel i of the token in lane `lane`: where its place is, and how far behind that its
  // code.
  size_t PlaceAt(size_t lane, size_t i) const {
    if (i < rest) return first_rest() + lane * rest + i;
    const size_t of_quads = i - rest;
    return first_quad() + of_quads / 4 * kQuadBytes + lane * 4 + of_quads % 4;
  }
  size_t CodeBehind(size_t i) const { return kTokens * (i < rest ? rest : 4); }
};

struct LaneArrays;  // store_parts.h

class LaneStore {
 public:
  static bool CanPack(size_t head_dim) {
    return head_dim >= 1 && head_dim <= LaneLayout::kMaxHeadDim;
  }

  // Every mask has n_kept bits; `scalars` and `fill` as for Recovery::kMean. Throws Error for a
  // head_dim that CanPack() does not allow.
  static LaneStore Pack(const SparseInput& input, size_t n_kept);

  // The tokens with these numbers, in that order; nothing is rounded again.
  LaneStore Select(std::span<const uint32_t> tokens) const;

  // All tokens of stores of one head_dim and number of kept channels, in order, under the fill and
  // the order of the last one: where fills differ, scalars and residuals are rounded again. None
  // has a centre.
  static LaneStore Concatenate(std::span<const LaneStore* const> stores);

  // What a file keeps of a store, and the store made of it again (store_parts.cc). FromArrays()
  // throws Error unless all lengths, places and channels are such as kernels may rely on. No order:
  // places are channels, as in files of version 3.
  LaneArrays Arrays() const;
  static LaneStore FromArrays(const LaneArrays& arrays, size_t head_dim, size_t n_tokens);

  size_t size() const { return size_; }
  size_t head_dim() const { return head_dim_; }
  size_t n_kept() const { return n_kept_; }
  const LaneLayout& layout() const { return layout_; }

  // Tile i: tokens [16 i, 16 i + 16). Readable kReadSlack bytes past the last one.
  const std::byte* Tile(size_t i) const { return tiles_.data() + i * layout_.tile_bytes(); }
  // [kFewBlocks] of tile i, where there are few blocks: how many of its quads, the first ones, have
  // all kept channels of its tokens in the first block, in the first two, …
  const uint8_t* QuadsWithin(size_t i) const { return &within_[i * LaneLayout::kFewBlocks]; }
  std::span<const uint8_t> order() const { return order_; }
  const float* fill() const { return reinterpret_cast<const float*>(fill_.data()); }
  const float* centre() const { return reinterpret_cast<const float*>(centre_.data()); }  // or null

  float Scale(size_t t) const;   // a[t]
  float Scalar(size_t t) const;  // s[t], in units of `fill`
  bool Positive(size_t t, size_t j) const;
  size_t Place(size_t t, size_t i) const;  // of kept channel i
  size_t Channel(size_t t, size_t i) const { return order_[Place(t, i)]; }
  int Code(size_t t, size_t i) const;

  void ReadRow(size_t t, float* out) const;  // out: [head_dim], as attention sees it

  size_t ValueBytes() const {
    return AllocatedBytes() - MaskPlaneBytes() - SignPlaneBytes() - ScalarBytes();
  }
  size_t MaskPlaneBytes() const {
    return n_tiles() * LaneLayout::kTokens * StoredChannels() + within_.size() + order_.size();
  }
  size_t SignPlaneBytes() const { return n_tiles() * LaneLayout::kTokens * 4 * layout_.words; }
  size_t ScalarBytes() const {
    return n_tiles() * LaneLayout::kTokens * 2 + fill_.AllocatedBytes() + centre_.AllocatedBytes();
  }
  size_t AllocatedBytes() const {
    return tiles_.AllocatedBytes() + within_.size() + order_.size() + fill_.AllocatedBytes() +
           centre_.AllocatedBytes();
  }

 private:
  LaneStore(size_t head_dim, size_t n_kept, size_t n_tokens);

  size_t n_tiles() const { return CeilDiv(size_, LaneLayout::kTokens); }
  size_t StoredChannels() const { return 4 * layout_.quads + layout_.rest; }  // of a token
  std::byte* MutableTile(size_t t);                                           // token t's
  const std::byte* TileOf(size_t t) const { return Tile(t / LaneLayout::kTokens); }
  void PackScalars(const SparseInput& input);
  void SetOrder(const SparseInput& input);
  // places: those of channels, [head_dim]. kept: [n_kept]
  void PackToken(const SparseInput& input, size_t t, std::span<const uint8_t> places,
                 std::span<float> kept);
  void StoreResiduals(size_t t, std::span<float> kept);  // of kept keys; overwrites `kept`
  void CopyToken(const LaneStore& from, size_t from_t, size_t t);  // its lane of every array
  // What was at place p of the token's order is at places[p] of this store's now. [head_dim]
  void TakeOrder(size_t t, std::span<const uint8_t> places);
  float RatioTo(const LaneStore& newest, size_t t) const;  // see ScalarRatio()

  void CountQuads();                // sets within_, when all tiles are as they will be
  void CheckToken(size_t t) const;  // throws Error

  size_t head_dim_;
  uint16_t n_kept_;
  size_t size_;
  LaneLayout layout_;
  std::vector<uint8_t> within_;  // [n_tiles, kFewBlocks], see QuadsWithin()
  std::vector<uint8_t> order_;
  AlignedBytes tiles_, fill_, centre_;
};

}  // namespace spark

#endif  // SPARK_KV_LANE_STORE_H_
