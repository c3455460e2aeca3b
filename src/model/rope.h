// Rotary position embedding (Su et al., arXiv 2104.09864): the angles.
#ifndef SPARK_MODEL_ROPE_H_
#define SPARK_MODEL_ROPE_H_

#include <cstddef>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "model/config.h"

namespace spark {

// Radians a position of each pair: theta^(-2i/dim), after scaling. `divisors` are those of a GGUF
// `rope_freqs.weight` tensor, or empty. Returns [config.dim / 2].
std::vector<float> RopeFrequencies(const RopeConfig& config, std::span<const float> divisors);

// The rotations of positions [first, first + n).
RopeAngles MakeRopeAngles(const RopeConfig& config, std::span<const float> frequencies,
                          size_t first, size_t n);

}  // namespace spark

#endif  // SPARK_MODEL_ROPE_H_
