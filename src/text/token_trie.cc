#include "text/token_trie.h"

namespace spark {

const uint32_t* TokenTrie::Child(const Node& node, uint8_t byte) const {
  for (const auto& [key, child] : node.children) {
    if (key == byte) return &child;
  }
  return nullptr;
}

void TokenTrie::Add(std::string_view text, TokenId id) {
  if (text.empty()) return;
  starts_[static_cast<uint8_t>(text[0])] = true;
  uint32_t node = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (const uint32_t* child = Child(nodes_[node], byte)) {
      node = *child;
    } else {
      const auto added = static_cast<uint32_t>(nodes_.size());
      nodes_[node].children.emplace_back(byte, added);
      nodes_.emplace_back();
      node = added;
    }
  }
  nodes_[node].id = id;
}

TokenTrie::Match TokenTrie::FindFirst(std::string_view text, size_t begin) const {
  for (; begin < text.size(); ++begin) {
    if (!starts_[static_cast<uint8_t>(text[begin])]) continue;
    Match longest = {begin, 0, -1};
    const Node* node = nodes_.data();
    for (size_t i = begin; i < text.size(); ++i) {
      const uint32_t* child = Child(*node, static_cast<uint8_t>(text[i]));
      if (child == nullptr) break;
      node = &nodes_[*child];
      if (node->id >= 0) longest = {begin, i + 1 - begin, node->id};
    }
    if (longest.id >= 0) return longest;
  }
  return {text.size(), 0, -1};
}

}  // namespace spark
