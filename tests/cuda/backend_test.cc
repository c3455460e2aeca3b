// What the CUDA backend keeps on the device, and for how long; what it says when something is
// missing.
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "spark/error.h"
#include "tests/backend/kernel_test.h"
#include "tests/cuda/device_test.h"
#include "tests/support/random_stores.h"
#ifdef SPARK_SIMT
#include "simt/device_heap.h"
#include "simt/simt.h"
#include "simt/streams.h"
#endif

namespace spark {
namespace backend_test {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

void Append(LayerCache& layer, size_t n, Random& random) {
  const size_t count = n * layer.heads().size() * layer.head_dim();
  const std::vector<float> k = random.Normals(count), v = random.Normals(count);
  layer.Append(k.data(), v.data(), n);
}

double AttendError(Backend& device, const LayerCache& layer, size_t n, Random& random) {
  const size_t n_heads = 2 * layer.heads().size();
  const std::vector<float> q = random.Normals(n * n_heads * layer.head_dim());
  std::vector<float> expected(q.size());
  MakeReferenceBackend()->Attend(q.data(), n, n_heads, layer, {0.1f}, expected.data());
  OnDevice in(device, q), out(device, q.size());
  device.Attend(in, n, n_heads, layer, {0.1f}, out);
  return RelativeError(out.Read(), expected);
}

SegmentPtr SomeSegment(size_t n, size_t dim, Random& random) {
  return std::make_shared<const Segment>(
      Segment{RandomSparse(DType::kF16, n, dim, {0.8}, Recovery::kMean, random),
              RandomDense(DType::kF16, n, dim, random)});
}

// Everything that a session does to a layer's cache, with attention after each step.
TEST_CASE("the mirror of a cache follows it", "[cuda]") {
  const auto device = MakeDevice();
  Random random(1);
  LayerCache layer(2, 64, {DType::kF16, DType::kF16}, {DType::kQ8_0, DType::kF16});
  const auto check = [&](size_t n) { CHECK(AttendError(*device, layer, n, random) < 1e-5); };
  layer.OpenContext(40);  // f32 while the context is read
  Append(layer, 30, random);
  check(30);
  Append(layer, 10, random);
  check(10);
  for (HeadCache& head : layer.heads()) {  // compressed
    head.context.push_back(SomeSegment(40, 64, random));
    head.tail = head.tail.Slice(40, 0);
  }
  layer.OpenTail();
  layer.MarkBase();
  for (size_t i = 0; i < 70; ++i) {  // its memory grows
    Append(layer, 1, random);
    if (i % 9 == 0 || i > 66) check(1);
  }
  layer.TruncateTail(50);
  Append(layer, 20, random);  // as long as before, other rows
  check(20);
  layer.heads()[1].context.push_back(SomeSegment(33, 64, random));
  check(1);
  layer.ResetToBase();
  Append(layer, 3, random);
  check(3);
}

TEST_CASE("layers that share segments share their memory", "[cuda]") {
  const auto device = MakeDevice();
  Random random(2);
  LayerCache one(1, 64, {}), two(1, 64, {});
  const SegmentPtr segment = SomeSegment(300, 64, random);
  for (LayerCache* layer : {&one, &two}) {
    layer->heads()[0].context.push_back(segment);
    Append(*layer, 1, random);
  }
  CHECK(AttendError(*device, one, 1, random) < 1e-5);
#ifdef SPARK_SIMT
  const size_t before = simt::Heap::Device().bytes();
#endif
  CHECK(AttendError(*device, two, 1, random) < 1e-5);
#ifdef SPARK_SIMT
  CHECK(simt::Heap::Device().bytes() - before < 300 * 64);  // a tail and a table
#endif
}

TEST_CASE("a device that is not there is refused with a line that says so", "[cuda]") {
  MakeDevice();
  CHECK_THROWS_MATCHES(MakeCudaBackend({.device = 99}), Error,
                       MessageMatches(ContainsSubstring("--device") && ContainsSubstring("99")));
  CHECK_THROWS_AS(MakeCudaBackend({.device = -1}), Error);
}

TEST_CASE("heads that are too wide are refused", "[cuda]") {
  const auto device = MakeDevice();
  Random random(3);
  LayerCache layer(1, 288, {});
  Append(layer, 1, random);
  OnDevice in(*device, 288), out(*device, 288);
  CHECK_THROWS_MATCHES(device->Attend(in, 1, 1, layer, {1.0f}, out), Error,
                       MessageMatches(ContainsSubstring("256") && ContainsSubstring("288")));
}

#ifdef SPARK_SIMT

TEST_CASE("a segment's memory ends with it, and all memory with the backend", "[cuda]") {
  const size_t at_first = simt::Heap::Device().bytes();
  {
    const auto device = MakeDevice();
    Random random(4);
    LayerCache layer(1, 64, {});
    Append(layer, 1, random);
    CHECK(AttendError(*device, layer, 1, random) < 1e-5);
    layer.heads()[0].context.push_back(SomeSegment(1000, 64, random));
    CHECK(AttendError(*device, layer, 1, random) < 1e-5);
    const size_t with_segment = simt::Heap::Device().bytes();
    layer.heads()[0].context.clear();
    layer.heads()[0].context.push_back(SomeSegment(10, 64, random));
    CHECK(AttendError(*device, layer, 1, random) < 1e-5);
    CHECK(simt::Heap::Device().bytes() + 1000 * 64 * 2 < with_segment);
  }
  CHECK(simt::Heap::Device().bytes() == at_first);
}

TEST_CASE("sessions of one model hold its weights once", "[cuda]") {
  Random random(5);
  const RandomWeight weight(DType::kQ4_0, 64, 256, random);
  const std::vector<float> x = random.Normals(256);
  const auto first = MakeDevice(), second = MakeDevice();
  const auto multiply = [&](Backend& device) {
    OnDevice in(device, x), out(device, 64);
    device.MatMul(in, 1, weight.get(), out);
    return out.Read();
  };
  const std::vector<float> expected = multiply(*first);
  const size_t before = simt::Heap::Device().bytes();
  CHECK(multiply(*second) == expected);
  CHECK(simt::Heap::Device().bytes() == before);
}

TEST_CASE("too little memory is an error that says how much was needed", "[cuda]") {
  Random random(6);
  const auto device = MakeDevice();
  const RandomWeight weight(DType::kF32, 1024, 1024, random);
  OnDevice in(*device, random.Normals(1024)), out(*device, 1024);
  {
    const simt::WithDeviceMemory little(size_t{1} << 20);
    CHECK_THROWS_MATCHES(
        device->MatMul(in, 1, weight.get(), out), Error,
        MessageMatches(ContainsSubstring("out of GPU memory") &&
                       ContainsSubstring("weight matrix") && ContainsSubstring("free")));
  }
  device->MatMul(in, 1, weight.get(), out);  // it goes on when there is room
  CHECK(std::isfinite(out.Read()[0]));
}

TEST_CASE("without a GPU there is one line", "[cuda]") {
  const simt::WithDeviceCount none(0);
  CHECK_THROWS_MATCHES(MakeCudaBackend({}), Error, MessageMatches(ContainsSubstring("no GPU")));
}

// Threads, warps and blocks take turns in other orders: results are the same to the bit.
TEST_CASE("no result depends on the order of threads", "[cuda]") {
  Random random(7);
  const RandomWeight weight(DType::kQ6_K, 19, 512, random);
  LayerCache layer(1, 80, {});
  layer.heads()[0].context.push_back(SomeSegment(600, 80, random));
  Append(layer, 3, random);
  const std::vector<float> x = random.Normals(2 * 512), norm = random.Normals(512);
  const auto run = [&] {
    const auto device = MakeDevice();
    OnDevice in(*device, x), product(*device, 2 * 19), out(*device, 3 * 2 * 80);
    device->RmsNorm(in, 2, norm, 1e-5f, in);
    device->MatMul(in, 2, weight.get(), product);
    device->Attend(in, 3, 2, layer, {0.1f}, out);
    std::vector<float> all = product.Read();
    const std::vector<float> attended = out.Read();
    all.insert(all.end(), attended.begin(), attended.end());
    return all;
  };
  const std::vector<float> expected = run();
  for (const simt::Schedule& schedule :
       {simt::Schedule{simt::Order::kDescending, 1}, simt::Schedule{simt::Order::kRandom, 1},
        simt::Schedule{simt::Order::kRandom, 2}}) {
    const simt::WithSchedule other(schedule);
    CHECK(run() == expected);
  }
}

#endif  // SPARK_SIMT

}  // namespace backend_test
}  // namespace spark
