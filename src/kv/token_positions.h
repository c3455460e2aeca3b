// Where the tokens of a segment stand in the text, for layers with a sliding window: which of them
// a query sees depends on it.
#ifndef SPARK_KV_TOKEN_POSITIONS_H_
#define SPARK_KV_TOKEN_POSITIONS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace spark {

class TokenPositions {
 public:
  TokenPositions() = default;  // not known, because nobody needs them

  // Ascending. Takes memory only if there are gaps.
  explicit TokenPositions(std::vector<uint32_t> positions);

  bool known() const { return n_ > 0; }
  uint32_t first() const { return first_; }
  std::span<const uint32_t> all() const { return all_; }  // empty if there are no gaps
  uint32_t At(size_t t) const { return all_.empty() ? first_ + static_cast<uint32_t>(t) : all_[t]; }
  // How many tokens stand before `position`; 0 if positions are not known.
  size_t CountBefore(size_t position) const;
  // Of the tokens with these numbers.
  TokenPositions Select(std::span<const uint32_t> tokens) const;
  // Adds them to `out`, if they are known.
  void AppendTo(std::vector<uint32_t>& out) const;

  size_t AllocatedBytes() const { return all_.capacity() * sizeof(uint32_t); }

 private:
  size_t n_ = 0;
  uint32_t first_ = 0;
  std::vector<uint32_t> all_;
};

}  // namespace spark

#endif  // SPARK_KV_TOKEN_POSITIONS_H_
