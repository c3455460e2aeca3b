// Products with weights and rows of them, every block type, against the reference.
#include "base/dtype.h"
#include "tests/backend/kernel_test.h"
#include "tests/cuda/device_test.h"

namespace spark {
namespace matmul_test {

std::vector<float> Expected(const std::vector<float>& x, size_t n, const Weight& w) {
  std::vector<float> out(n * w.rows);
  MakeReferenceBackend()->MatMul(x.data(), n, w, out.data());
  return out;
}

std::vector<float> Multiplied(Backend& device, const std::vector<float>& x, size_t n,
                              const Weight& w) {
  OnDevice in(device, x), out(device, n * w.rows);
  device.MatMul(in, n, w, out);
  return out.Read();
}

// Columns around a chunk of the kernel (512), one block of 256 at least.
std::vector<size_t> Columns(DType type) {
  if (IsQuantized(type)) {
    return Traits(type).block_elements == 256 ? std::vector<size_t>{256, 768}
                                              : std::vector<size_t>{32, 544};
  }
  return {1, 15, 48, 511, 513};
}

// f32 sums of products, in another order: far below sqrt(cols) roundings of 6e-8.
constexpr double kTolerance = 3e-6;
// A few sums may all be much smaller than their products.
constexpr double kFewTolerance = 5e-5;

TEST_CASE("few activation rows meet weights of every type", "[cuda]") {
  Random random(1);
  for (const DType type : kAllDTypes) {
    for (const size_t cols : Columns(type)) {
      for (const size_t rows : {1, 8, 19}) {  // around the rows of a block
        const auto device = MakeDevice();
        const RandomWeight weight(type, rows, cols, random);
        for (const size_t n : {1, 2, 4, 7}) {
          INFO(Name(type) << " rows " << rows << " cols " << cols << " n " << n);
          const std::vector<float> x = random.Normals(n * cols);
          CHECK(
              RelativeError(Multiplied(*device, x, n, weight.get()), Expected(x, n, weight.get())) <
              (rows * n < 4 ? kFewTolerance : kTolerance));
        }
      }
    }
  }
}

TEST_CASE("many activation rows multiply in f16", "[cuda]") {
  Random random(2);
  for (const DType type : kAllDTypes) {
    const size_t cols = Columns(type).back(), rows = 21, n = 9;
    const auto device = MakeDevice(false), exact = MakeDevice(true);
    const RandomWeight weight(type, rows, cols, random);
    const std::vector<float> x = random.Normals(n * cols);
    const std::vector<float> expected = Expected(x, n, weight.get());
    INFO(Name(type));
    // Weights and activations are rounded to 2^-11 of themselves, at random: beside the largest of
    // sums of hundreds of products, 1e-3 of it is ample.
    const double error = RelativeError(Multiplied(*device, x, n, weight.get()), expected);
    CHECK(error < 1e-3);
    CHECK(error > kTolerance);  // it was f16
    CHECK(RelativeError(Multiplied(*exact, x, n, weight.get()), expected) < kTolerance);
  }
}

TEST_CASE("activations beyond f16 are scaled, row by row", "[cuda]") {
  const auto device = MakeDevice(false);
  Random random(3);
  const size_t cols = 64, rows = 8, n = 10;
  const RandomWeight weight(DType::kF16, rows, cols, random);
  std::vector<float> x = random.Normals(n * cols);
  for (size_t c = 0; c < cols; ++c) x[3 * cols + c] *= 1e7f;
  x[5 * cols] = 65520;  // the first that f16 rounds to infinity
  const std::vector<float> got = Multiplied(*device, x, n, weight.get());
  const std::vector<float> expected = Expected(x, n, weight.get());
  for (size_t i = 0; i < n; ++i) {
    INFO("row " << i);
    CHECK(RelativeError(std::span(got).subspan(i * rows, rows),
                        std::span(expected).subspan(i * rows, rows)) < 1e-3);
  }
}

TEST_CASE("several products of one activation row", "[cuda]") {
  const auto device = MakeDevice();
  Random random(4);
  const RandomWeight a(DType::kQ4_0, 24, 64, random), b(DType::kQ8_0, 9, 64, random);
  const std::vector<float> x = random.Normals(64);
  OnDevice in(*device, x), out_a(*device, 24), out_b(*device, 9);
  const Product products[] = {{&a.get(), out_a}, {&b.get(), out_b}};
  device->MatMul(in, 1, products);
  CHECK(RelativeError(out_a.Read(), Expected(x, 1, a.get())) < kTolerance);
  CHECK(RelativeError(out_b.Read(), Expected(x, 1, b.get())) < kTolerance);
}

TEST_CASE("rows of tables of every type", "[cuda]") {
  const auto reference = MakeReferenceBackend();
  Random random(5);
  for (const DType type : kAllDTypes) {
    const auto device = MakeDevice();
    const size_t cols = Columns(type).back();
    const RandomWeight table(type, 11, cols, random);
    const std::vector<int32_t> ids = {0, 10, 3, 3, 7};
    std::vector<float> expected(ids.size() * cols);
    reference->Embed(table.get(), ids, expected.data());
    OnDevice out(*device, expected.size());
    device->Embed(table.get(), ids, out);
    INFO(Name(type));
    CHECK(RelativeError(out.Read(), expected) < 1e-6);
  }
}

}  // namespace matmul_test
}  // namespace spark
