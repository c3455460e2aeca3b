// A copy of a KV cache in GPU memory. The host's cache stays the one that counts: it is what is
// compressed, saved and measured.
//
// Closed segments never change: each is uploaded once, is found again by its identity, and is freed
// when the host's has died and a layer has changed since. Of the tails, rows that are new are sent;
// those of a context, exact and long, are let go of when the host has compressed them.
#ifndef SPARK_BACKEND_CUDA_KV_MIRROR_H_
#define SPARK_BACKEND_CUDA_KV_MIRROR_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "backend/cuda/kv_views.h"
#include "backend/cuda/memory.h"
#include "kv/kv_cache.h"

namespace spark::cuda {

// Arrays of one or two stores in one piece of GPU memory.
class UploadedStores {
 public:
  UploadedStores(const KeyStore& keys, Staging& staging);
  UploadedStores(const Segment& segment, Staging& staging);
  const SegmentView& view() const { return view_; }

 private:
  class Layout;
  template <class Describe>
  void Upload(const Describe& describe, Staging& staging);

  DeviceMemory memory_;
  SegmentView view_;
};

class KvMirror {
 public:
  explicit KvMirror(Staging& staging) : staging_(staging) {}

  struct Layer {
    const SegmentView* segments;  // on the device
    const uint32_t* head_begins;  // [n_kv_heads + 1], on the device
    size_t most_tokens;           // of a head, tail included
  };
  // The layer as it is now; valid until the next call.
  Layer Update(const LayerCache& layer);

  // Keys of the tails of a layer: row t of head h at rows + (h * capacity + t) * head_dim.
  struct ExactKeys {
    const float* rows;  // on the device
    size_t capacity;
  };
  // If they are here in f32 and as they are on the host.
  std::optional<ExactKeys> Exact(const LayerCache& layer) const;

  // Frees the copies of the layer's tails.
  void ReleaseTails(const LayerCache& layer);

 private:
  struct KnownSegment {
    std::weak_ptr<const Segment> host;
    UploadedStores stores;
  };
  // Keys or values of the tails of all heads: row t of head h at (h * capacity + t) * row_bytes.
  struct TailRows {
    DType type = DType::kF32;
    size_t row_bytes = 0;
    size_t capacity = 0;
    DeviceMemory rows;
    struct Head {
      RowChanges changes{};
      size_t size = 0;
    };
    std::vector<Head> heads;
  };
  struct KnownLayer {
    std::vector<std::weak_ptr<const Segment>> segments;  // that the table below has
    std::vector<size_t> segments_of_head;
    TailRows keys, values;
    DeviceMemory table;
  };

  static bool HasSegments(const KnownLayer& known, const LayerCache& layer);
  bool SyncTail(const LayerCache& layer, DenseStore Tail::*side, TailRows& tail);
  void SendRows(const LayerCache& layer, DenseStore Tail::*side, size_t first, size_t n,
                const TailRows& tail);
  void MakeTable(const LayerCache& layer, KnownLayer& known);
  const SegmentView& ViewOf(const SegmentPtr& segment);

  Staging& staging_;
  std::map<const Segment*, KnownSegment> segments_;
  std::map<const LayerCache*, KnownLayer> layers_;
};

}  // namespace spark::cuda

#endif  // SPARK_BACKEND_CUDA_KV_MIRROR_H_
