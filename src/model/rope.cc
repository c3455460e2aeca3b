#include "model/rope.h"

#include <cmath>
#include <numbers>

namespace spark {
namespace {

// Llama 3.1's scaling: low frequencies are divided by `factor`, high ones stay, between them the
// two are blended by where the wavelength lies.
double ScaleLlama3(double frequency, const RopeConfig& config) {
  const auto original = static_cast<double>(config.original_context_length);
  const double low = config.low_freq_factor;
  const double high = config.high_freq_factor;
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < original / high) return frequency;
  if (wavelength > original / low) return frequency / config.factor;
  const double blend = (original / wavelength - low) / (high - low);
  return (1 - blend) * frequency / config.factor + blend * frequency;
}

}  // namespace

std::vector<float> RopeFrequencies(const RopeConfig& config, std::span<const float> divisors) {
  std::vector<float> frequencies(config.dim / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(config.dim);
    double frequency = std::pow(static_cast<double>(config.theta), exponent);
    if (config.scaling == RopeScaling::kLinear) frequency /= config.factor;
    if (config.scaling == RopeScaling::kLlama3) frequency = ScaleLlama3(frequency, config);
    if (!divisors.empty()) frequency /= divisors[i];
    frequencies[i] = static_cast<float>(frequency);
  }
  return frequencies;
}

RopeAngles MakeRopeAngles(const RopeConfig& config, std::span<const float> frequencies,
                          size_t first, size_t n) {
  RopeAngles angles;
  angles.interleaved = config.style == RopeStyle::kInterleaved;
  angles.dim = config.dim;
  angles.cos.reserve(n * frequencies.size());
  angles.sin.reserve(n * frequencies.size());
  for (size_t i = 0; i < n; ++i) {
    const auto position = static_cast<float>(first + i);
    for (const float frequency : frequencies) {
      const float angle = position * frequency;  // f32, as the weights were trained
      angles.cos.push_back(std::cos(angle));
      angles.sin.push_back(std::sin(angle));
    }
  }
  return angles;
}

}  // namespace spark
