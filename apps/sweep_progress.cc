#include "apps/sweep_progress.h"

#include <fmt/format.h>

#include <algorithm>

namespace spark {

std::string RoughTime(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::string SweepLine(const SweepProgress& progress) {
  constexpr size_t kWidth = 20;
  const double share = std::clamp(progress.share, 0.0, 1.0);
  const auto full = static_cast<size_t>(share * static_cast<double>(kWidth));
  // Before a hundredth is done, the time left is a guess.
  const std::string left =
      share < 0.01 ? "" : fmt::format("  about {} left", RoughTime(progress.seconds_left));
  return fmt::format("{}/{} points  [{}{}] {:3.0f} %{}  {}", progress.points_done, progress.points,
                     std::string(full, '#'), std::string(kWidth - full, '.'), 100 * share, left,
                     progress.doing);
}

}  // namespace spark
