#include "backend/backend.h"
#include "tests/backend/kernel_test.h"

namespace spark {
namespace elementwise_test {

// Around every lane count, and sizes that models have.
std::vector<size_t> Sizes() {
  std::vector<size_t> sizes = {64, 80, 128, 256, 576, 20000};
  for (size_t n = 1; n <= 33; ++n) sizes.push_back(n);
  return sizes;
}

TEST_CASE("norm, gated activation and sum match the reference", "[backend]") {
  const auto reference = MakeReferenceBackend();
  ForEachSimdTarget([&](const std::string&) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(1);
    for (const size_t n : Sizes()) {
      INFO("n " << n);
      const size_t rows = n < 100 ? 3 : 1;
      const std::vector<float> x = random.Normals(rows * n), y = random.Normals(rows * n);
      const std::vector<float> weight = random.Normals(n);
      std::vector<float> expected(rows * n);

      Misaligned in(x), out(x.size());
      reference->RmsNorm(x.data(), rows, weight, 1e-5f, expected.data());
      cpu->RmsNorm(in.data(), rows, weight, 1e-5f, out.data());
      // Sums of n squares in another order: n roundings of 6e-8 at most, far fewer in effect.
      CHECK(RelativeError({out.data(), x.size()}, expected) < 1e-5);

      // Gates of every size, up to where exp() over- and underflows in f32.
      std::vector<float> gate(x);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] *= i % 3 == 0 ? 100.0f : 5.0f;
      Misaligned gate_in(gate);
      reference->SwiGlu(gate.data(), y.data(), gate.size());
      cpu->SwiGlu(gate_in.data(), y.data(), gate.size());
      for (size_t i = 0; i < gate.size(); ++i) {  // exp is within 2.4e-7, then three roundings
        if (std::abs(gate_in.data()[i] - gate[i]) > 1e-6f * std::abs(gate[i]) + 1e-30f) {
          FAIL("swiglu: " << gate_in.data()[i] << " is not " << gate[i]);
        }
      }

      reference->RmsNorm(x.data(), rows, weight, 1e-5f, expected.data());
      cpu->RmsNorm(in.data(), rows, weight, 1e-5f, in.data());  // in place
      CHECK(RelativeError({in.data(), x.size()}, expected) < 1e-5);

      std::vector<float> sum(x);
      Misaligned sum_in(x);
      reference->Add(sum.data(), y.data(), sum.size());
      cpu->Add(sum_in.data(), y.data(), sum.size());
      CHECK(RelativeError({sum_in.data(), sum.size()}, sum) == 0);
    }
  });
}

// Checks |got - expected| <= tolerance * size, element by element.
void CheckClose(const char* what, std::span<const float> got, std::span<const float> expected,
                std::span<const float> size, float tolerance) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!(std::abs(got[i] - expected[i]) <= tolerance * std::abs(size[i]) + 1e-30f)) {
      FAIL(what << ": " << got[i] << " is not " << expected[i]);
    }
  }
}

TEST_CASE("gelu gate, bias, scale and soft cap match the reference", "[backend]") {
  const auto reference = MakeReferenceBackend();
  ForEachSimdTarget([&](const std::string&) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(3);
    for (const size_t n : Sizes()) {
      INFO("n " << n);
      const size_t rows = n < 100 ? 3 : 1;
      // From tiny to where tanh is 1 and its cube overflows.
      std::vector<float> x = random.Normals(rows * n);
      for (size_t i = 0; i < x.size(); ++i) x[i] *= std::pow(10.0f, static_cast<float>(i % 17) - 3);
      const std::vector<float> y = random.Normals(rows * n);
      const std::vector<float> bias = random.Normals(n);

      // 1 + tanh cancels in the reference for negative gates: roundings of a number near 1.
      std::vector<float> expected(x), size(x);
      for (size_t i = 0; i < x.size(); ++i) size[i] *= y[i];
      Misaligned gate(x);
      reference->GeGlu(expected.data(), y.data(), x.size());
      cpu->GeGlu(gate.data(), y.data(), x.size());
      CheckClose("geglu", {gate.data(), x.size()}, expected, size, 1e-6f);

      for (const float cap : {0.5f, 30.0f}) {
        expected = x;
        Misaligned capped(x);
        reference->SoftCap(expected.data(), cap, x.size());
        cpu->SoftCap(capped.data(), cap, x.size());
        CheckClose("soft cap", {capped.data(), x.size()}, expected, expected, 1e-6f);
      }

      expected = x;
      Misaligned with_bias(x), scaled(x);
      reference->AddBias(expected.data(), rows, bias);
      cpu->AddBias(with_bias.data(), rows, bias);
      CHECK(std::equal(expected.begin(), expected.end(), with_bias.data()));
      expected = x;
      reference->Scale(expected.data(), 0.3f, x.size());
      cpu->Scale(scaled.data(), 0.3f, x.size());
      CHECK(std::equal(expected.begin(), expected.end(), scaled.data()));
    }
  });
}

// Numbers from Python's math module.
TEST_CASE("gelu gate and soft cap are the published formulas", "[backend]") {
  const auto reference = MakeReferenceBackend();
  std::vector<float> gate = {-1.0f, 0.5f, 2.0f};
  const std::vector<float> up = {1.0f, 2.0f, -1.0f};
  reference->GeGlu(gate.data(), up.data(), gate.size());
  CHECK(RelativeError(gate, std::vector<float>{-0.15880801f, 0.69142802f, -1.95459769f}) < 1e-6);
  std::vector<float> x = {-60.0f, 0.1f, 30.0f};
  reference->SoftCap(x.data(), 30.0f, x.size());
  CHECK(RelativeError(x, std::vector<float>{-28.92082740f, 0.09999963f, 22.84782468f}) < 1e-6);
}

TEST_CASE("rotation matches the reference in both pairings and for part of a head", "[backend]") {
  const auto reference = MakeReferenceBackend();
  ForEachSimdTarget([&](const std::string&) {
    const auto cpu = MakeCpuBackend({.threads = 2});
    Random random(2);
    for (const bool interleaved : {true, false}) {
      for (const size_t dim : {2, 6, 8, 16, 20, 32, 34, 64, 80, 128, 256}) {
        for (const size_t head_dim : {dim, dim + 10}) {
          const size_t n = 5, heads = 3;
          const RopeAngles angles{interleaved, dim, random.Normals(n * dim / 2),
                                  random.Normals(n * dim / 2)};
          std::vector<float> x = random.Normals(n * heads * head_dim);
          Misaligned in(x);
          reference->Rope(x.data(), n, heads, head_dim, angles);
          cpu->Rope(in.data(), n, heads, head_dim, angles);
          INFO("dim " << dim << " of " << head_dim << " interleaved " << interleaved);
          CHECK(RelativeError({in.data(), x.size()}, x) < 1e-6);  // fused or not: one rounding
        }
      }
    }
  });
}

}  // namespace elementwise_test
}  // namespace spark
