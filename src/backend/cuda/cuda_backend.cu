#include <array>

#include "backend/cuda/attention.h"
#include "backend/cuda/compress.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/elementwise.cu.h"
#include "backend/cuda/matmul.h"
#include "backend/cuda/memory.h"
#include "spark/error.h"

namespace spark::cuda {
namespace {

// Short rows, heads that is, are normed by a warp each.
constexpr size_t kShortRow = 512;

int CountDevices() {
  std::string why;
  const int count = DeviceCount(&why);
  if (count == 0) throw Error("no GPU to compute on: " + why);
  return count;
}

// Checks the number and makes the device this thread's.
DeviceInfo Use(int device) {
  const int count = CountDevices();
  if (device < 0 || device >= count) {
    throw Error("there is no such GPU", {.field = "--device",
                                         .found = std::to_string(device),
                                         .allowed = "0 to " + std::to_string(count - 1)});
  }
  UseDevice(device);
  return Describe(device);
}

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options)
      : info_(Use(options.device)),
        staging_(stream_.get()),
        matmul_(options.device, stream_.get(), staging_, options.compute_f32),
        attention_(stream_.get(), staging_, info_.multiprocessors) {}

  std::string_view name() const override { return "cuda"; }

  bool on_host() const override { return false; }
  float* AllocateFloats(size_t count) override {
    return static_cast<float*>(DeviceMalloc(count * sizeof(float), "activations"));
  }
  void FreeFloats(float* memory) override { DeviceFree(memory); }
  void CopyFromHost(const float* from, size_t count, float* to) override {
    staging_.Upload(from, count * sizeof(float), to);
  }
  void CopyToHost(const float* from, size_t count, float* to) override {
    staging_.Download(from, count * sizeof(float), to);
  }

  void Embed(const Weight& table, std::span<const int32_t> ids, float* out) override {
    matmul_.Embed(table, ids, out);
  }

  void RmsNorm(const float* x, size_t n, std::span<const float> weight, float eps,
               float* out) override {
    if (n == 0) return;
    const float* w = matmul_.Vector(weight);
    const auto rows = static_cast<int64_t>(n);
    const auto dim = static_cast<int>(weight.size());
    const dim3 block(kNormWarps * kWarp);
    if (weight.size() > kShortRow) {
      Launch(RmsNormRows<true>, dim3(static_cast<unsigned>(n)), block, 0, stream_.get(), x, rows, w,
             dim, eps, out);
    } else {
      Launch(RmsNormRows<false>, dim3(static_cast<unsigned>((n + kNormWarps - 1) / kNormWarps)),
             block, 0, stream_.get(), x, rows, w, dim, eps, out);
    }
  }

  using Backend::MatMul;
  void MatMul(const float* x, size_t n, const Weight& w, float* out) override {
    if (n > 0) matmul_.Multiply(x, n, w, out);
  }

  void Rope(float* x, size_t n, size_t n_heads, size_t head_dim,
            const RopeAngles& angles) override {
    const size_t half = angles.dim / 2;
    if (n == 0 || half == 0) return;
    const float* cos = Upload(angles);
    const size_t pairs = n * n_heads * half;
    const RopeShape shape{static_cast<int>(n_heads), static_cast<int>(head_dim),
                          static_cast<int>(half), angles.interleaved};
    Launch(RotatePairs, Grid(pairs), dim3(kThreads), 0, stream_.get(), x,
           static_cast<int64_t>(pairs), shape, cos, cos + angles.cos.size());
  }

  void SwiGlu(float* gate, const float* up, size_t count) override {
    Each(gate, count, SiluTimes{up});
  }
  void GeGlu(float* gate, const float* up, size_t count) override {
    Each(gate, count, GeluTimes{up});
  }
  void Add(float* x, const float* y, size_t count) override { Each(x, count, AddTo{y}); }
  void AddBias(float* x, size_t n, std::span<const float> bias) override {
    Each(x, n * bias.size(), AddBiasTo{matmul_.Vector(bias), static_cast<int>(bias.size())});
  }
  void Scale(float* x, float factor, size_t count) override { Each(x, count, ScaleBy{factor}); }
  void SoftCap(float* x, float cap, size_t count) override { Each(x, count, CapAt{cap}); }

  void Scores(const float* q, size_t group, const KeyStore& keys, float* scores) override {
    attention_.Scores(q, group, HeadDim(keys), keys, scores);
  }

  void Attend(const float* q, size_t n, size_t n_heads, const LayerCache& layer,
              const ScoreScale& scale, float* out) override {
    if (n > 0) attention_.Attend(q, n, n_heads, layer, scale, out);
  }

  std::vector<SparseStore> PackKeys(const LayerCache& layer, const KeyPruning& pruning) override {
    return cuda::PackKeys(attention_.mirror(), layer, pruning, stream_.get(), staging_);
  }
  void ReleaseTails(const LayerCache& layer) override { attention_.mirror().ReleaseTails(layer); }

 private:
  static dim3 Grid(size_t threads) {
    return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads));
  }

  template <class Function>
  void Each(float* x, size_t count, Function function) {
    if (count == 0) return;
    Launch(ForEach<Function>, Grid(count), dim3(kThreads), 0, stream_.get(), x,
           static_cast<int64_t>(count), function);
  }

  static size_t HeadDim(const KeyStore& keys) {
    if (const auto* dense = std::get_if<DenseStore>(&keys)) return dense->dim();
    if (const auto* dropped = std::get_if<DroppedKeyStore>(&keys)) return dropped->head_dim();
    if (const auto* lanes = std::get_if<LaneStore>(&keys)) return lanes->head_dim();
    return std::get<SparseStore>(keys).head_dim();
  }

  // Cosines, and sines behind them. A pass rotates by the same angles, or by two kinds of them, in
  // every layer: they are told apart by what they are, since their addresses come and go.
  struct KnownAngles {
    std::vector<float> cos, sin;
    DeviceMemory memory;
  };
  const float* Upload(const RopeAngles& angles) {
    for (const KnownAngles& known : angles_) {
      if (known.cos == angles.cos && known.sin == angles.sin) return known.memory.As<float>();
    }
    KnownAngles& known = angles_[oldest_angles_];
    oldest_angles_ = (oldest_angles_ + 1) % angles_.size();
    known.cos = angles.cos;
    known.sin = angles.sin;
    const size_t bytes = angles.cos.size() * sizeof(float);
    known.memory.Resize(2 * bytes, "rotations");
    staging_.Upload(angles.cos.data(), bytes, known.memory.As<float>());
    staging_.Upload(angles.sin.data(), bytes, known.memory.As<float>() + angles.cos.size());
    return known.memory.As<float>();
  }

  DeviceInfo info_;
  OwnedStream stream_;
  Staging staging_;
  cuda::MatMul matmul_;
  Attention attention_;
  std::array<KnownAngles, 2> angles_;
  size_t oldest_angles_ = 0;
};

}  // namespace

std::vector<std::string> DeviceNames() {
  std::vector<std::string> names;
  for (int device = 0; device < CountDevices(); ++device) {
    const DeviceInfo info = Describe(device);
    names.push_back(std::to_string(device) + ": " + info.name + ", compute capability " +
                    std::to_string(info.major) + "." + std::to_string(info.minor) + ", " +
                    std::to_string(info.multiprocessors) + " multiprocessors, " +
                    std::to_string(info.memory_bytes >> 20) + " MiB");
  }
  return names;
}

std::unique_ptr<Backend> MakeBackend(const CudaOptions& options) {
  return std::make_unique<CudaBackend>(options);
}

}  // namespace spark::cuda
