// Norms, rotations and elementwise operations of the CUDA backend against the reference.
#include <cmath>

#include "tests/backend/kernel_test.h"
#include "tests/cuda/device_test.h"

namespace spark {
namespace elementwise_test {

// Around a warp, a block, the length from which a norm takes a block, and sizes that models have.
const std::vector<size_t> kSizes = {1,   2,   7,   31,  32,  33,  64,  80,
                                    127, 128, 129, 256, 512, 513, 1100};

TEST_CASE("norms match the reference", "[cuda]") {
  const auto reference = MakeReferenceBackend();
  Random random(1);
  for (const size_t dim : kSizes) {
    for (const size_t rows : {1, 3, 4, 5, 9}) {
      INFO("dim " << dim << " rows " << rows);
      const std::vector<float> x = random.Normals(rows * dim), weight = random.Normals(dim);
      std::vector<float> expected(x.size());
      reference->RmsNorm(x.data(), rows, weight, 1e-5f, expected.data());
      const auto device = MakeDevice();  // a backend knows weights by their address
      OnDevice in(*device, x), out(*device, x.size());
      device->RmsNorm(in, rows, weight, 1e-5f, out);
      CHECK(RelativeError(out.Read(), expected) < 1e-5);
      CHECK(in.Read() == x);
      device->RmsNorm(in, rows, weight, 1e-5f, in);  // in place
      CHECK(RelativeError(in.Read(), expected) < 1e-5);
    }
  }
}

// |got - expected| <= tolerance * size, element by element.
void CheckClose(const std::vector<float>& got, const std::vector<float>& expected,
                const std::vector<float>& size, float tolerance) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!(std::abs(got[i] - expected[i]) <= tolerance * std::abs(size[i]) + 1e-30f)) {
      FAIL(got[i] << " is not " << expected[i] << ", element " << i);
    }
  }
}

TEST_CASE("gates, sums, biases and soft caps match the reference", "[cuda]") {
  const auto reference = MakeReferenceBackend();
  Random random(2);
  for (const size_t n : kSizes) {
    INFO("n " << n);
    const auto device = MakeDevice();
    const size_t rows = 3;
    // From tiny to where exp() and cubes overflow.
    std::vector<float> x = random.Normals(rows * n);
    for (size_t i = 0; i < x.size(); ++i) x[i] *= std::pow(10.0f, static_cast<float>(i % 17) - 3);
    const std::vector<float> y = random.Normals(rows * n), bias = random.Normals(n);
    OnDevice up(*device, y);
    const auto check = [&](const auto& run, float tolerance, bool of_product) {
      std::vector<float> expected(x), size(x);
      run(*reference, expected.data(), y.data());
      OnDevice in(*device, x);
      run(*device, in, up);
      for (size_t i = 0; i < x.size(); ++i) size[i] = of_product ? x[i] * y[i] : expected[i];
      CheckClose(in.Read(), expected, size, tolerance);
    };
    // expf and tanhf are within a few units of the last place.
    check([&](Backend& b, float* a, const float* u) { b.SwiGlu(a, u, x.size()); }, 2e-6f, false);
    check([&](Backend& b, float* a, const float* u) { b.GeGlu(a, u, x.size()); }, 2e-6f, true);
    check([&](Backend& b, float* a, const float*) { b.SoftCap(a, 30.0f, x.size()); }, 2e-6f, false);
    check([&](Backend& b, float* a, const float* u) { b.Add(a, u, x.size()); }, 0, false);
    check([&](Backend& b, float* a, const float*) { b.Scale(a, 0.3f, x.size()); }, 0, false);
    check([&](Backend& b, float* a, const float*) { b.AddBias(a, rows, bias); }, 0, false);
  }
}

TEST_CASE("rotation matches the reference in both pairings and for part of a head", "[cuda]") {
  const auto reference = MakeReferenceBackend();
  const auto device = MakeDevice();
  Random random(3);
  for (const bool interleaved : {true, false}) {
    for (const size_t dim : {2, 6, 20, 34, 64, 80, 128, 256}) {
      for (const size_t head_dim : {dim, dim + 10}) {
        const size_t n = 5, heads = 3;
        const RopeAngles angles{interleaved, dim, random.Normals(n * dim / 2),
                                random.Normals(n * dim / 2)};
        std::vector<float> x = random.Normals(n * heads * head_dim);
        OnDevice in(*device, x);
        reference->Rope(x.data(), n, heads, head_dim, angles);
        device->Rope(in, n, heads, head_dim, angles);
        INFO("dim " << dim << " of " << head_dim << " interleaved " << interleaved);
        CHECK(RelativeError(in.Read(), x) < 1e-6);  // fused or not: one rounding
      }
    }
  }
}

TEST_CASE("angles that return are still those", "[cuda]") {
  const auto reference = MakeReferenceBackend();
  const auto device = MakeDevice();
  Random random(4);
  std::vector<RopeAngles> kinds;
  for (int i = 0; i < 3; ++i) kinds.push_back({false, 8, random.Normals(4), random.Normals(4)});
  for (const size_t kind : {0, 1, 0, 2, 1, 0, 0, 2}) {
    std::vector<float> x = random.Normals(8);
    OnDevice in(*device, x);
    reference->Rope(x.data(), 1, 1, 8, kinds[kind]);
    device->Rope(in, 1, 1, 8, kinds[kind]);
    CHECK(RelativeError(in.Read(), x) < 1e-6);
  }
}

}  // namespace elementwise_test
}  // namespace spark
