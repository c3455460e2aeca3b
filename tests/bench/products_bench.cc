// Products with a weight matrix of every type: of one row (GEMV, decoding) and of many (GEMM,
// prefill).
#include <fmt/format.h>

#include "backend/backend.h"
#include "tests/bench/bench.h"

namespace spark::bench {
namespace {

struct ProductData {
  std::unique_ptr<Backend> backend;
  std::vector<std::byte> bytes;  // copies of one random matrix
  std::vector<Weight> weights;
  std::vector<float> x, out;
};

struct Shape {
  size_t rows, cols;
};
constexpr Shape kSmall{512, 512};  // Q4_0: 144 KiB, f32: 1 MiB
constexpr Shape kLarge{4096, 2048};

std::shared_ptr<ProductData> MakeProduct(DType type, size_t n, Place place, int threads) {
  auto data = std::make_shared<ProductData>();
  data->backend = MakeCpuBackend({.threads = threads});
  Random random(1);
  const Shape shape = place == Place::kCache ? kSmall : kLarge;
  const RandomWeight made(type, shape.rows, shape.cols, random);
  const size_t size = shape.rows * RowBytes(type, shape.cols).value();
  const size_t copies = place == Place::kCache ? 1 : kMemoryBytes / size + 1;
  data->bytes.resize(copies * size);
  for (size_t i = 0; i < copies; ++i) {
    std::byte* place_of = data->bytes.data() + i * size;
    std::memcpy(place_of, made.get().data, size);
    data->weights.push_back({type, shape.rows, shape.cols, place_of});
  }
  data->x = random.Normals(n * shape.cols);
  data->out.resize(n * shape.rows);
  return data;
}

void RegisterType(DType type, size_t n, Place place, int threads) {
  const std::string name = fmt::format("{}/{}/n:{}/T:{}/{}", n == 1 ? "Gemv" : "Gemm", Name(type),
                                       n, threads, Name(place));
  Register(name, [=]() -> Body {
    const auto data = MakeProduct(type, n, place, threads);
    return [=](benchmark::State& state) {
      data->backend->Together([&] {  // as in a token's pass: threads stay awake
        for (auto _ : state) {
          for (const Weight& w : data->weights) {
            data->backend->MatMul(data->x.data(), n, w, data->out.data());
          }
          benchmark::ClobberMemory();
        }
      });
      const Weight& w = data->weights.front();
      CountBytes(state, static_cast<double>(data->bytes.size()), threads);
      CountFlops(state, 2.0 * static_cast<double>(n * w.rows * w.cols * data->weights.size()),
                 threads);
    };
  });
}

}  // namespace

// Out of cache, a product of many rows is bound by arithmetic all the same: fewer rows will do.
void RegisterProducts() {
  for (const Place place : kPlaces) {
    for (const int threads : ThreadCounts()) {
      for (const DType type : kAllDTypes) {
        RegisterType(type, 1, place, threads);
        RegisterType(type, place == Place::kCache ? 512 : 64, place, threads);
      }
    }
  }
}

}  // namespace spark::bench
