// Scores of keys in lanes where a shuffle of bytes looks up in 16 of them (see lane_dots-inl.h):
// most targets.
#if defined(SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
#undef SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
#else
#define SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/lane_query-inl.h"
#include "backend/cpu/lanes-inl.h"
#include "backend/cpu/quad_dot-inl.h"
#include "hwy/highway.h"
#include "kv/lane_store.h"

HWY_BEFORE_NAMESPACE();
namespace spark::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR && !(HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL)

// Where shuffles of bytes look up in 16 of them. Bytes of a vector:
using LaneByteTag = hn::Repartition<uint8_t, FloatTag>;

// What a tile is before it meets query rows.
struct LaneTileBytes {
  // [W, 2, 4, 16] of every token the lower four, then the upper four bits of byte p of word w.
  HWY_ALIGN uint8_t nibbles[LaneLayout::kMaxHeadDim / 32 * 128];
  // The blocks of 16 channels in which all kept channels of a quad are: they are in order, so those
  // of a quad are near each other.
  uint8_t first_block[LaneLayout::kMaxHeadDim / 4];
  uint8_t end_block[LaneLayout::kMaxHeadDim / 4];
};

inline void PrepareLaneTile(const std::byte* tile, const LaneLayout& layout, LaneTileBytes& out) {
  const hn::FixedTag<uint8_t, 16> d;
  using V = hn::Vec<decltype(d)>;
  const V nibble = hn::Set(d, uint8_t{15});
  const auto* signs = reinterpret_cast<const uint8_t*>(tile + LaneLayout::kSigns);
  for (size_t w = 0; w < layout.words; ++w) {
    V b0, b1, b2, b3;
    hn::LoadInterleaved4(d, signs + 64 * w, b0, b1, b2, b3);
    const auto store = [&](V bits, size_t p) HWY_ATTR {
      hn::Store(hn::And(bits, nibble), d, out.nibbles + 128 * w + 16 * p);
      hn::Store(hn::ShiftRight<4>(bits), d, out.nibbles + 128 * w + 64 + 16 * p);
    };
    store(b0, 0);
    store(b1, 1);
    store(b2, 2);
    store(b3, 3);
  }
  const auto* quad = reinterpret_cast<const uint8_t*>(tile + layout.first_quad());
  for (size_t i = 0; i < layout.quads; ++i, quad += LaneLayout::kQuadBytes) {
    out.first_block[i] = 0;
    out.end_block[i] = static_cast<uint8_t>(2 * RoundUp(layout.words, 2));
    if (layout.words <= 2) continue;  // of four blocks not worth it
    const V c0 = hn::LoadU(d, quad), c1 = hn::LoadU(d, quad + 16);
    const V c2 = hn::LoadU(d, quad + 32), c3 = hn::LoadU(d, quad + 48);
    const V least = hn::Min(hn::Min(c0, c1), hn::Min(c2, c3));
    const V most = hn::Max(hn::Max(c0, c1), hn::Max(c2, c3));
    out.first_block[i] = hn::ReduceMin(d, least) / 16;
    out.end_block[i] = static_cast<uint8_t>(hn::ReduceMax(d, most) / 16 + 1);
  }
}

// Elements `i` of two tables, for every byte, that lie in blocks [first, end) of 16; else 0.
template <class D, class V = hn::Vec<D> >
HWY_INLINE void LookUp(D d, const uint8_t* low, const uint8_t* high, size_t first, size_t end, V i,
                       V& found_low, V& found_high) {
  found_low = found_high = hn::Zero(d);
  const V sixteen = hn::Set(d, uint8_t{16});
  V place = hn::Sub(i, hn::Set(d, static_cast<uint8_t>(16 * first)));
  for (size_t b = first; b < end; ++b, place = hn::Sub(place, sixteen)) {
    // i - 16 b is below 16 for those; the sum with 112 keeps their last four bits and has the top
    // one set for all others, also where the difference has wrapped around.
    V checked = hn::SaturatedAdd(place, hn::Set(d, uint8_t{112}));
#if !HWY_ARCH_X86  // x86 looks at the top bit and the last four, others at all of the byte
    checked = hn::And(checked, hn::Set(d, uint8_t{0x8F}));
#endif
    found_low =
        hn::Or(found_low, hn::TableLookupBytesOr0(hn::LoadDup128(d, low + 16 * b), checked));
    found_high =
        hn::Or(found_high, hn::TableLookupBytesOr0(hn::LoadDup128(d, high + 16 * b), checked));
  }
}

// One row's sums of signs of a tile's tokens, low and high bytes: at most 64 of 127, and of -127.
struct LanePlane {
  HWY_ALIGN int16_t low[LaneLayout::kTokens];
  HWY_ALIGN int16_t high[LaneLayout::kTokens];
};

// Every 16 bytes of a vector are one byte of 16 tokens' words, and look up in a table of their own.
// Sums for the lower and the upper four bits are added as pairs of neighbours.
inline void SumLanePlane(const LaneTileBytes& bytes, size_t words, const uint8_t* tables,
                         LanePlane& out) {
  const LaneByteTag d;
  const hn::RebindToSigned<LaneByteTag> dc;
  const hn::Repartition<int16_t, LaneByteTag> d16;
  const size_t n_bytes = HWY_MIN(hn::Lanes(d), size_t{64});
  const auto ones = hn::Set(d, uint8_t{1});
  const auto signed_ones = hn::Set(dc, int8_t{1});
  const size_t half = 64 * words;
  auto low0 = hn::Zero(d16), low1 = low0, high0 = low0, high1 = low0;  // tokens 0 … 7, 8 … 15
  for (size_t w = 0; w < words; ++w) {
    for (size_t p = 0; p < 64; p += n_bytes) {
      const auto lower = hn::LoadU(d, bytes.nibbles + 128 * w + p);
      const auto upper = hn::LoadU(d, bytes.nibbles + 128 * w + 64 + p);
      const uint8_t* table = tables + 64 * w + p;
      const auto look_up = [&](const uint8_t* at, auto i)
                               HWY_ATTR { return hn::TableLookupBytes(hn::LoadU(d, at), i); };
      const auto a = look_up(table, lower), b = look_up(table + half, upper);
      low0 =
          hn::Add(low0, hn::SatWidenMulPairwiseAdd(d16, hn::InterleaveLower(d, a, b), signed_ones));
      low1 =
          hn::Add(low1, hn::SatWidenMulPairwiseAdd(d16, hn::InterleaveUpper(d, a, b), signed_ones));
      const auto e = hn::BitCast(dc, look_up(table + 2 * half, lower));
      const auto f = hn::BitCast(dc, look_up(table + 3 * half, upper));
      high0 = hn::Add(high0, hn::SatWidenMulPairwiseAdd(d16, ones, hn::InterleaveLower(dc, e, f)));
      high1 = hn::Add(high1, hn::SatWidenMulPairwiseAdd(d16, ones, hn::InterleaveUpper(dc, e, f)));
    }
  }
  const auto fold = [&](auto sums, int16_t* to) HWY_ATTR {  // over blocks of 16 bytes
    const hn::FixedTag<int16_t, 8> d8;
    HWY_ALIGN int16_t blocks[HWY_MAX_LANES_D(decltype(d16))];
    hn::Store(sums, d16, blocks);
    auto sum = hn::Load(d8, blocks);
    for (size_t i = 8; i < n_bytes / 2; i += 8) sum = hn::Add(sum, hn::Load(d8, blocks + i));
    hn::Store(sum, d8, to);
  };
  fold(low0, out.low);
  fold(low1, out.low + 8);
  fold(high0, out.high);
  fold(high1, out.high + 8);
}

// One or two bytes of every token, each in a lane of four.
template <class D>
HWY_INLINE hn::Vec<D> LaneRestAt(D d, const std::byte* p, size_t lane, size_t rest) {
  const hn::Repartition<uint32_t, D> d32;
  p += lane * rest;
  if (rest == 1) {
    const hn::Rebind<uint8_t, decltype(d32)> d8;
    return hn::BitCast(d, hn::PromoteTo(d32, hn::LoadU(d8, reinterpret_cast<const uint8_t*>(p))));
  }
  const hn::Rebind<uint16_t, decltype(d32)> d16;
  return hn::BitCast(d, hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p))));
}

// One row's scores of the tokens in lanes [lane, lane + Lanes(df)) of a tile.
HWY_INLINE FloatVec LanesScore(const std::byte* tile, const LaneLayout& layout,
                               const LaneTileBytes& bytes, const LanePlane& plane,
                               const LaneQuery& query, size_t r, size_t lane) {
  static_assert(!kNativeUnsigned, "high bytes of q, + 128, meet codes as signed ones");
  const FloatTag df;
  const hn::RebindToSigned<FloatTag> di;
  const LaneByteTag d;
  const hn::RebindToSigned<LaneByteTag> dc;
  using V = hn::Vec<LaneByteTag>;
  auto kept_low = ToSums(di, hn::Zero(di)), kept_high = kept_low;
  const uint8_t* low = query.q + r * query.q_bytes;
  const uint8_t* high = low + query.q_bytes / 2;
  const auto add_quad = [&](V channels, V codes, size_t first, size_t end) HWY_ATTR {
    const auto c = hn::BitCast(dc, codes);
    V q_low, q_high;
    LookUp(d, low, high, first, end, channels, q_low, q_high);
    AddQuadDot<Bytes::kSmall>(di, q_low, c, kept_low);
    AddQuadDot<Bytes::kWide>(di, q_high, c, kept_high);
  };
  const auto bytes_at = [&](const std::byte* p)
                            HWY_ATTR { return hn::LoadU(d, reinterpret_cast<const uint8_t*>(p)); };
  const std::byte* quad = tile + layout.first_quad();
  for (size_t i = 0; i < layout.quads; ++i, quad += LaneLayout::kQuadBytes) {
    add_quad(bytes_at(quad + 4 * lane), bytes_at(quad + 64 + 4 * lane), bytes.first_block[i],
             bytes.end_block[i]);
  }
  if (layout.rest > 0) {
    add_quad(LaneRestAt(d, quad, lane, layout.rest),
             LaneRestAt(d, quad + LaneLayout::kTokens * layout.rest, lane, layout.rest), 0,
             query.q_bytes / 32);
  }
  const hn::Rebind<int16_t, decltype(di)> d16;
  return LaneScore(df, query, r, LaneHalves(df, tile + LaneLayout::kScales + 2 * lane),
                   LaneHalves(df, tile + LaneLayout::kScalars + 2 * lane), FromSums(di, kept_low),
                   FromSums(di, kept_high), hn::PromoteTo(di, hn::LoadU(d16, plane.low + lane)),
                   hn::PromoteTo(di, hn::LoadU(d16, plane.high + lane)));
}

// first: a multiple of 16. Steps once a tile.
template <class Memory>
void LaneDots(const RowsView& keys, size_t first, size_t n, const LaneQuery& query, size_t n_rows,
              float* scores, size_t stride, Memory& memory) {
  const FloatTag df;
  const LaneLayout& layout = keys.lanes->layout();
  LaneTileBytes bytes;
  LanePlane plane;
  auto ahead = memory.Begin();
  for (size_t t = 0; t < n; t += LaneLayout::kTokens) {
    const std::byte* tile = keys.lanes->Tile((first + t) / LaneLayout::kTokens);
    ahead.Step();
    PrepareLaneTile(tile, layout, bytes);
    const size_t valid = HWY_MIN(LaneLayout::kTokens, n - t);
    for (size_t r = 0; r < n_rows; ++r) {
      SumLanePlane(bytes, layout.words, query.sums + r * query.sums_bytes, plane);
      for (size_t lane = 0; lane < valid; lane += hn::Lanes(df)) {
        const FloatVec score = LanesScore(tile, layout, bytes, plane, query, r, lane);
        hn::StoreN(score, df, scores + r * stride + t + lane, valid - lane);
      }
    }
  }
  memory.End(ahead);
}

#endif

}  // namespace spark::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPARK_BACKEND_CPU_LANE_SHUFFLES_INL_H_
