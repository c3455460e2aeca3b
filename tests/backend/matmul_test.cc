#include <algorithm>

#include "backend/backend.h"
#include "backend/dequantize.h"
#include "tests/backend/kernel_test.h"

namespace spark {
namespace matmul_test {

std::vector<float> Dequantized(const Weight& w) {
  std::vector<float> out(w.rows * w.cols);
  for (size_t r = 0; r < w.rows; ++r) {
    DequantizeRow(w.type, w.data + r * *RowBytes(w.type, w.cols), w.cols, &out[r * w.cols]);
  }
  return out;
}

// What int_matmul.h specifies for activations: blocks of 32, scale max|x| / 127.
std::vector<float> QuantizedActivations(std::vector<float> x) {
  for (size_t start = 0; start < x.size(); start += 32) {
    float largest = 0;
    for (size_t k = 0; k < 32; ++k) largest = std::max(largest, std::abs(x[start + k]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    for (size_t k = 0; k < 32; ++k) {
      x[start + k] = std::nearbyint(x[start + k] * inverse) * (largest / 127.0f);
    }
  }
  return x;
}

// In double, so that tolerances below are about the kernel alone. Also Σ|w x|, by which errors are
// measured: it does not vanish where the product does.
struct Product {
  std::vector<double> value, size;
};
Product Multiply(const std::vector<float>& x, size_t n, const std::vector<float>& w, size_t rows) {
  const size_t cols = w.size() / rows;
  Product product;
  for (size_t m = 0; m < n; ++m) {
    for (size_t r = 0; r < rows; ++r) {
      double value = 0, size = 0;
      for (size_t k = 0; k < cols; ++k) {
        const double term = static_cast<double>(x[m * cols + k]) * w[r * cols + k];
        value += term;
        size += std::abs(term);
      }
      product.value.push_back(value);
      product.size.push_back(size);
    }
  }
  return product;
}

double Error(const float* out, const Product& expected) {
  double error = 0;
  for (size_t i = 0; i < expected.value.size(); ++i) {
    if (!std::isfinite(out[i])) return INFINITY;
    error = std::max(error, std::abs(out[i] - expected.value[i]) / (expected.size[i] + 1e-9));
  }
  return error;
}

struct Shape {
  size_t rows, cols, n;
};

// Columns 576 and 1536 are SmolLM2's; K types come in blocks of 256. Rows and activation rows
// around the kernels' blocks of 4 rows, panels of up to 16 and pairs of panels.
std::vector<Shape> Shapes(DType type, bool slow) {
  const size_t block = Traits(type).block_elements;
  const size_t small = std::max<size_t>(block, 32);
  std::vector<Shape> shapes;
  for (const size_t n : {1, 2, 3, 4, 5, 17}) shapes.push_back({7, small, n});
  shapes.push_back({33, 3 * small, 2});
  for (const size_t blocks : {2, 4, 5, 7}) shapes.push_back({6, blocks * small, 1});
  if (slow) return shapes;
  for (const size_t n : {1, 3, 4, 16, 17, 33, 64, 65}) {
    shapes.push_back({37, block == 256 ? 768u : 576u, n});
  }
  shapes.push_back({4, 1536, 1});
  shapes.push_back({19, 1536, 520});  // more than one pass
  if (block == 1) {
    for (size_t cols = 1; cols <= 33; ++cols) shapes.push_back({5, cols, 1 + cols % 5});
  }
  return shapes;
}

// What kernels are compared with takes longer than they do: once for all targets.
struct Case {
  Case(DType type, const Shape& s)
      : shape(s),
        random(static_cast<uint32_t>(s.rows + s.cols + s.n)),
        w(type, s.rows, s.cols, random),
        x(random.Normals(s.n * s.cols)) {
    const std::vector<float> dequantized = Dequantized(w.get());
    exact = Multiply(x, s.n, dequantized, s.rows);
    if (IsQuantized(type)) rounded = Multiply(QuantizedActivations(x), s.n, dequantized, s.rows);
  }

  Case(const Case&) = delete;  // `w` refers to its own bytes
  Case(Case&&) = default;

  Shape shape;
  Random random;
  RandomWeight w;
  std::vector<float> x;
  Product exact, rounded;
};

void CheckCase(const Case& c) {
  const Shape& s = c.shape;
  INFO(Name(c.w.get().type) << " [" << s.rows << ", " << s.cols << "] times " << s.n);
  Misaligned in(c.x), out(s.n * s.rows);

  // f32: sums of `cols` products in another order, in chains that vectors make short. The error
  // grows like sqrt(cols) * 6e-8 of Σ|w x|.
  MakeCpuBackend({.threads = 2, .compute_f32 = true})
      ->MatMul(in.data(), s.n, c.w.get(), out.data());
  CHECK(Error(out.data(), c.exact) < 2e-6);

  if (!IsQuantized(c.w.get().type)) return;
  MakeCpuBackend({.threads = 2})->MatMul(in.data(), s.n, c.w.get(), out.data());
  // Integer sums are exact; what remains are roundings of scales and f32 sums. Offsets cost most:
  // those of wide bytes (q8_0, q8_K, iq4) are 128 d where the weight may be small, so cancellation
  // of up to 2^7.
  CHECK(Error(out.data(), c.rounded) < 1e-5);
  // Rounding an activation costs at most half of 1/127 of its block's largest.
  CHECK(Error(out.data(), c.exact) < 1e-2);
}

TEST_CASE("matrix products are right for every type and SIMD target", "[backend]") {
  for (const DType type : kAllDTypes) {
    const std::vector<Shape> shapes = Shapes(type, IsSlow(""));
    std::vector<Case> cases;
    cases.reserve(shapes.size());
    for (const Shape& s : shapes) cases.emplace_back(type, s);
    ForEachSimdTarget([&](const std::string& target) {
      const size_t n = Shapes(type, IsSlow(target)).size();  // those that all have come first
      for (size_t i = 0; i < n; ++i) CheckCase(cases[i]);
    });
  }
}

// Products share one quantised input, in as many forms as their types need.
TEST_CASE("products of one input are those of each matrix alone", "[backend]") {
  ForEachSimdTarget([&](const std::string&) {
    Random random(8);
    const std::vector<DType> types = {DType::kQ4_K, DType::kQ6_K, DType::kQ5_0};
    for (const DType last : {DType::kQ8_0, DType::kQ3_K, DType::kQ8_K, DType::kF16}) {
      std::vector<RandomWeight> weights;
      for (const DType type : types) weights.emplace_back(type, 50, 512, random);
      weights.emplace_back(last, 21, 512, random);
      for (const size_t n : {1, 3, 5, 530}) {  // dot products, panels, more than one pass
        const std::vector<float> x = random.Normals(n * 512);
        const auto backend = MakeCpuBackend({.threads = 2});
        std::vector<std::vector<float>> together, alone;
        std::vector<spark::Product> products;
        for (const RandomWeight& w : weights) {
          together.emplace_back(n * w.get().rows);
          alone.emplace_back(n * w.get().rows);
        }
        for (size_t i = 0; i < weights.size(); ++i) {
          products.push_back({&weights[i].get(), together[i].data()});
          backend->MatMul(x.data(), n, weights[i].get(), alone[i].data());
        }
        backend->MatMul(x.data(), n, products);
        // The order of sums is the same but where q8_K or f16 send all of them another way.
        for (size_t i = 0; i < weights.size(); ++i) {
          CHECK(RelativeError(together[i], alone[i]) < 1e-5);
        }
      }
    }
  });
}

TEST_CASE("matrix products do not depend on the number of threads", "[backend]") {
  Random random(5);
  for (const DType type : {DType::kF32, DType::kBF16, DType::kQ4_1, DType::kQ4_K, DType::kQ6_K}) {
    const RandomWeight w(type, 131, 512, random);
    for (const size_t n : {1, 70}) {
      const std::vector<float> x = random.Normals(n * 512);
      std::vector<float> one(n * 131), three(n * 131);
      MakeCpuBackend({.threads = 1})->MatMul(x.data(), n, w.get(), one.data());
      MakeCpuBackend({.threads = 3})->MatMul(x.data(), n, w.get(), three.data());
      CHECK(one == three);
    }
  }
}

TEST_CASE("activations that are all zero give zero", "[backend]") {
  Random random(6);
  const RandomWeight w(DType::kQ5_1, 8, 64, random);
  for (const size_t n : {1, 5}) {
    const std::vector<float> x(n * 64);
    std::vector<float> out(n * 8, 1.0f);
    MakeCpuBackend({.threads = 1})->MatMul(x.data(), n, w.get(), out.data());
    CHECK(out == std::vector<float>(n * 8, 0.0f));
  }
}

TEST_CASE("embedding rows are those of the table", "[backend]") {
  const auto reference = MakeReferenceBackend();
  ForEachSimdTarget([&](const std::string&) {
    Random random(7);
    for (const DType type : kAllDTypes) {
      const RandomWeight table(type, 9, 512, random);
      const std::vector<int32_t> ids = {8, 0, 3, 3};
      std::vector<float> out(ids.size() * 512), expected(out.size());
      MakeCpuBackend({.threads = 1})->Embed(table.get(), ids, out.data());
      reference->Embed(table.get(), ids, expected.data());
      INFO(Name(type));
      // One rounding of scale * q + offset, where the offset is up to 128 times the value.
      CHECK(RelativeError(out, expected) < 1e-6);
    }
  });
}

TEST_CASE("products are the same however memory is asked for", "[backend]") {
  const auto cpu = MakeCpuBackend({.threads = 2});
  Random random(24);
  for (const DType type : {DType::kF16, DType::kQ4_1, DType::kQ8_0, DType::kQ4_K}) {
    const RandomWeight w(type, 131, 512, random);
    const std::vector<float> x = random.Normals(512);
    std::vector<float> out(w.get().rows), other_out(out.size());
    cpu->MatMul(x.data(), 1, w.get(), out.data());
    const OtherBursts other;
    cpu->MatMul(x.data(), 1, w.get(), other_out.data());
    CHECK(out == other_out);
  }
}

}  // namespace matmul_test
}  // namespace spark
