// Stores taken apart into numbers and arrays, as files keep them, and put together again. Whatever
// is put together has been checked: every length, every mask, every channel number.
#ifndef SPARK_KV_STORE_PARTS_H_
#define SPARK_KV_STORE_PARTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "kv/kv_cache.h"

namespace spark {

enum class StoreForm : uint8_t { kDense, kSparse, kDropped, kLanes };

struct StoreParts {
  struct Array {
    std::string_view name;  // as in the class's description of its layout
    std::span<const std::byte> bytes;
  };
  StoreForm form = StoreForm::kDense;
  DType type = DType::kF16;
  Recovery recovery = Recovery::kMean;  // kSparse only
  std::vector<Array> arrays;            // those that are not empty

  std::span<const std::byte> Find(std::string_view name) const;  // empty if there is none
};

// A sparse store's arrays but for `offsets`, which follow from the masks.
struct SparseArrays {
  std::span<const std::byte> values, masks, signs, scalars, fill, centre;
};

// A lane store's arrays; `kept` is the number of kept channels, u16.
struct LaneArrays {
  std::span<const std::byte> kept, tiles, order, fill, centre;
};

// Views of the store's arrays. Throw Error for sampled recovery, an ablation that files don't keep.
StoreParts TakeApart(const KeyStore& store);
StoreParts TakeApart(const ValueStore& store);

// Throw Error, naming the array, if the parts are none of a store of `n` tokens. Copy the arrays.
KeyStore MakeKeyStore(const StoreParts& parts, size_t head_dim, size_t n);
ValueStore MakeValueStore(const StoreParts& parts, size_t head_dim, size_t n);

// The arrays that stores of this form can have.
std::span<const std::string_view> ArrayNames(StoreForm form);

// Throws Error unless an array of `bytes` bytes holds `n` times `each`.
void CheckArray(std::string_view name, size_t bytes, size_t n, size_t each);

}  // namespace spark

#endif  // SPARK_KV_STORE_PARTS_H_
