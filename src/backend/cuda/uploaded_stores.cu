#include <cstring>

#include "backend/cuda/kv_mirror.h"

namespace spark::cuda {

// Where arrays go in a piece of memory that begins at `base`. It is gone through twice: with base 0
// to see how much memory there must be, then with the memory.
class UploadedStores::Layout {
 public:
  explicit Layout(const std::byte* base) : base_(reinterpret_cast<uintptr_t>(base)) {}

  struct Part {
    const void* data;
    size_t bytes;
    size_t at;  // from the base
  };
  const std::vector<Part>& parts() const { return parts_; }
  size_t bytes() const { return bytes_; }

  template <class T>
  const T* Add(const void* data, size_t bytes) {
    if (data == nullptr || bytes == 0) return nullptr;
    const size_t at = bytes_;
    parts_.push_back({data, bytes, at});
    bytes_ += (bytes + kPartAlignment - 1) / kPartAlignment * kPartAlignment;
    return reinterpret_cast<const T*>(base_ + at);
  }
  // An array that lives as long as the layout.
  template <class T>
  const T* AddOwn(const std::vector<T>& values) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    own_.push_back(
        std::make_unique<std::vector<std::byte>>(bytes, bytes + values.size() * sizeof(T)));
    return Add<T>(own_.back()->data(), own_.back()->size());
  }

  template <class Store>  // KeyStore or ValueStore
  StoreView DescribeAny(const Store& store) {
    return std::visit([&](const auto& s) { return Describe(s); }, store);
  }

 private:
  StoreView Describe(const DenseStore& store) {
    StoreView view;
    view.type = store.type();
    view.row_bytes = static_cast<uint32_t>(store.row_bytes());
    view.rows = Add<uint8_t>(store.data(), store.size() * store.row_bytes());
    return view;
  }

  StoreView Describe(const DroppedKeyStore& store) {
    StoreView view = Describe(store.rows());
    view.n_kept = static_cast<uint32_t>(store.channels().size());
    std::vector<uint8_t> mask(MaskBytes(store.head_dim()));
    for (const uint16_t channel : store.channels()) SetMaskBit(mask.data(), channel);
    view.masks = AddOwn(mask);
    return view;
  }

  StoreView Describe(const SparseStore& store) {
    if (store.sampled()) return DescribeRows(store);
    const size_t n = store.size();
    const size_t plane_bytes = n * MaskBytes(store.head_dim());
    const size_t channel_bytes = store.head_dim() * sizeof(float);
    StoreView view;
    view.type = store.value_type();
    size_t value_bytes = 0;
    if (store.uniform()) {
      view.n_kept = static_cast<uint32_t>(store.n_kept());
      view.row_bytes = static_cast<uint32_t>(PackedRowBytes(store.value_type(), store.n_kept()));
      value_bytes = n * view.row_bytes;
    } else {
      value_bytes = static_cast<size_t>(store.Row(n - 1) - store.values()) +
                    PackedRowBytes(store.value_type(), store.Kept(n - 1));
      const size_t offsets = (n + SparseStore::kOffsetTokens - 1) / SparseStore::kOffsetTokens;
      view.offsets = Add<uint32_t>(store.offsets(), offsets * sizeof(uint32_t));
    }
    view.rows = Add<uint8_t>(store.values(), value_bytes);
    view.masks = Add<uint8_t>(store.masks(), plane_bytes);
    view.mask_stride = static_cast<uint32_t>(MaskBytes(store.head_dim()));
    if (store.centre() != nullptr) view.centre = Add<float>(store.centre(), channel_bytes);
    if (store.recovery() == Recovery::kZero) return view;
    if (store.recovery() == Recovery::kMean) view.signs = Add<uint8_t>(store.signs(), plane_bytes);
    view.scalars_f32 = store.scalar_type() == DType::kF32;
    view.scalars = Add<uint8_t>(store.scalars(), n * (view.scalars_f32 ? 4 : 2));
    view.fill = Add<float>(store.fill(), channel_bytes);
    return view;
  }

  StoreView Describe(const LaneStore& store) {
    const LaneLayout& tiles = store.layout();
    const size_t n_tiles = (store.size() + LaneLayout::kTokens - 1) / LaneLayout::kTokens;
    StoreView view;
    view.lanes = true;
    view.n_kept = static_cast<uint32_t>(store.n_kept());
    view.row_bytes = static_cast<uint32_t>(tiles.tile_bytes());
    view.rows = Add<uint8_t>(store.Tile(0), n_tiles * tiles.tile_bytes());
    view.order = Add<uint8_t>(store.order().data(), store.head_dim());
    std::vector<float> fill(store.fill(), store.fill() + store.head_dim());
    fill.resize(tiles.words * 32);
    view.fill = AddOwn(fill);
    if (store.centre() != nullptr) {
      view.centre = Add<float>(store.centre(), store.head_dim() * sizeof(float));
    }
    return view;
  }

  // Sampled recovery is an ablation, and what it draws would have to be drawn alike on the device:
  // its rows are dense there.
  StoreView DescribeRows(const SparseStore& store) {
    std::vector<float> rows(store.size() * store.head_dim());
    for (size_t t = 0; t < store.size(); ++t) store.ReadRow(t, &rows[t * store.head_dim()]);
    StoreView view;
    view.type = DType::kF32;
    view.row_bytes = static_cast<uint32_t>(store.head_dim() * sizeof(float));
    view.rows = reinterpret_cast<const uint8_t*>(AddOwn(rows));
    return view;
  }

  static constexpr size_t kPartAlignment = 16;

  uintptr_t base_;
  size_t bytes_ = 0;
  std::vector<Part> parts_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> own_;
};

// `describe` adds the arrays to a layout and returns the view.
template <class Describe>
void UploadedStores::Upload(const Describe& describe, Staging& staging) {
  Layout planned(nullptr);
  describe(planned);
  memory_ = DeviceMemory(planned.bytes(), "a segment of the KV cache");
  Layout layout(memory_.As<const std::byte>());
  view_ = describe(layout);
  if (layout.bytes() > Staging::kBytes) {
    for (const Layout::Part& part : layout.parts()) {
      staging.Upload(part.data, part.bytes, memory_.As<std::byte>() + part.at);
    }
  } else if (layout.bytes() > 0) {
    std::byte* to = staging.Begin();
    for (const Layout::Part& part : layout.parts()) {
      std::memcpy(to + part.at, part.data, part.bytes);
    }
    staging.Send(layout.bytes(), memory_.As<void>());
  }
}

UploadedStores::UploadedStores(const KeyStore& keys, Staging& staging) {
  const auto describe = [&](Layout& layout) {
    SegmentView view;
    view.keys = layout.DescribeAny(keys);
    view.n_tokens = static_cast<uint32_t>(Size(keys));
    return view;
  };
  Upload(describe, staging);
}

UploadedStores::UploadedStores(const Segment& segment, Staging& staging) {
  const auto describe = [&](Layout& layout) {
    SegmentView view;
    view.keys = layout.DescribeAny(segment.keys);
    view.values = layout.DescribeAny(segment.values);
    view.n_tokens = static_cast<uint32_t>(segment.size());
    view.has_positions = segment.positions.known();
    view.first_position = segment.positions.first();
    const std::span<const uint32_t> listed = segment.positions.all();
    view.positions = layout.Add<uint32_t>(listed.data(), listed.size_bytes());
    return view;
  };
  Upload(describe, staging);
}

}  // namespace spark::cuda
