#include "base/huge_pages.h"

#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "base/aligned.h"

namespace spark {
namespace huge_pages_test {

constexpr size_t kMiB = size_t{1} << 20;

// A piece with a content of its own.
struct Piece {
  Piece(HugePages& pages, size_t size_in, uint8_t content_in)
      : at(pages.Allocate(size_in)), size(size_in), content(content_in) {
    if (at != nullptr) std::memset(at, content, size);
  }
  bool Intact() const {
    const std::vector<uint8_t> expected(size, content);
    return std::memcmp(at, expected.data(), size) == 0;
  }

  std::byte* at;
  size_t size;
  uint8_t content;
};

bool HasHugePages() {
  HugePages pages;
  std::byte* p = pages.Allocate(1);
  if (p != nullptr) pages.Free(p);
  return p != nullptr;
}

TEST_CASE("pieces share regions, which go when they are empty", "[base]") {
  if (!HasHugePages()) SKIP("no huge pages on this system");
  HugePages pages;
  const Piece a(pages, 100 * 1024, 1), b(pages, 3 * kMiB, 2), c(pages, 1, 3);
  const Piece large(pages, HugePages::kRegion + 1, 4);
  for (const Piece* piece : {&a, &b, &c, &large}) {
    CHECK(reinterpret_cast<uintptr_t>(piece->at) % kAlignment == 0);
    CHECK(piece->Intact());
  }
  CHECK(b.at == a.at + a.size);
  CHECK(pages.UsedBytes() == a.size + b.size + kAlignment + HugePages::kRegion + kAlignment);
  CHECK(pages.ReservedBytes() == 2 * HugePages::kRegion + HugePages::kPage);

  pages.Free(large.at);
  CHECK(pages.ReservedBytes() == HugePages::kRegion);
  for (const Piece* piece : {&b, &a, &c}) pages.Free(piece->at);
  CHECK(pages.UsedBytes() == 0);
  CHECK(pages.ReservedBytes() == 0);
}

TEST_CASE("what is freed is used again, and its neighbours stay as they are", "[base]") {
  if (!HasHugePages()) SKIP("no huge pages on this system");
  HugePages pages;
  const Piece a(pages, kMiB + 64, 1), b(pages, 7 * kMiB, 2), c(pages, kMiB, 3);
  pages.Free(b.at);  // of its pages, those in the middle are the system's again
  CHECK(a.Intact());
  CHECK(c.Intact());
  const Piece d(pages, 4 * kMiB, 4), e(pages, 3 * kMiB, 5);
  CHECK(d.at == b.at);
  CHECK(e.at == d.at + d.size);
  for (const Piece* piece : {&a, &c, &d, &e}) CHECK(piece->Intact());
  for (const Piece* piece : {&a, &c, &d, &e}) pages.Free(piece->at);
  CHECK(pages.ReservedBytes() == 0);
}

TEST_CASE("pieces of any size come and go in any order", "[base]") {
  if (!HasHugePages()) SKIP("no huge pages on this system");
  HugePages pages;
  std::mt19937 random(1);
  std::vector<Piece> pieces;
  size_t broken = 0;
  const auto free_one = [&] {
    const size_t i = random() % pieces.size();
    if (!pieces[i].Intact()) ++broken;
    pages.Free(pieces[i].at);
    pieces[i] = pieces.back();
    pieces.pop_back();
  };
  for (size_t step = 0; step < 600; ++step) {
    const size_t size = 1 + random() % (step % 7 == 0 ? 5 * kMiB : 200 * 1024);
    pieces.emplace_back(pages, size, static_cast<uint8_t>(step));
    while (pieces.size() > 30 || (!pieces.empty() && random() % 2 == 0)) free_one();
  }
  while (!pieces.empty()) free_one();
  CHECK(broken == 0);
  CHECK(pages.ReservedBytes() == 0);
}

TEST_CASE("a size that no machine has is refused", "[base]") {
  HugePages pages;
  CHECK(pages.Allocate(SIZE_MAX) == nullptr);
  CHECK(pages.Allocate(SIZE_MAX / 2 - 1) == nullptr);
  CHECK(pages.ReservedBytes() == 0);
}

TEST_CASE("aligned buffers keep what they hold when they grow into huge pages", "[base]") {
  AlignedBytes bytes;
  for (const size_t size : {size_t{10}, HugePages::kLeast, 3 * kMiB, 70 * kMiB}) {
    const size_t before = bytes.size();
    bytes.Resize(size);
    CHECK((before == 0 || bytes.data()[before - 1] == std::byte{7}));
    CHECK(bytes.data()[before] == std::byte{0});
    CHECK(bytes.data()[size + kReadSlack - 1] == std::byte{0});
    bytes.data()[size - 1] = std::byte{7};
  }
}

}  // namespace huge_pages_test
}  // namespace spark
