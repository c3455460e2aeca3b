#include "kv/token_positions.h"

#include <algorithm>

namespace spark {

TokenPositions::TokenPositions(std::vector<uint32_t> positions) : n_(positions.size()) {
  if (n_ == 0) return;
  first_ = positions.front();
  if (positions.back() - first_ + 1 == n_) return;
  all_ = std::move(positions);
  all_.shrink_to_fit();
}

size_t TokenPositions::CountBefore(size_t position) const {
  if (all_.empty()) return position <= first_ ? 0 : std::min(position - first_, n_);
  return static_cast<size_t>(std::lower_bound(all_.begin(), all_.end(), position) - all_.begin());
}

TokenPositions TokenPositions::Select(std::span<const uint32_t> tokens) const {
  std::vector<uint32_t> positions;
  if (!known()) return {};
  positions.reserve(tokens.size());
  for (const uint32_t t : tokens) positions.push_back(At(t));
  return TokenPositions(std::move(positions));
}

void TokenPositions::AppendTo(std::vector<uint32_t>& out) const {
  for (size_t t = 0; t < n_; ++t) out.push_back(At(t));
}

}  // namespace spark
