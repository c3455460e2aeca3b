#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cctype>

#include "spark/error.h"
#include "spark/simd.h"

namespace spark {
namespace {

constexpr int64_t kNoVectors = HWY_SCALAR | HWY_EMU128;

bool EqualNames(std::string_view a, std::string_view b) {
  const auto upper = [](char c) { return std::toupper(static_cast<unsigned char>(c)); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return upper(x) == upper(y); });
}

// Bits of the targets in both the binary and the machine. A lower bit is a better target.
int64_t Usable() { return hwy::SupportedTargets() & HWY_TARGETS; }

// What the machine supports, whatever is pinned.
int64_t UsableUnpinned() {
  static const int64_t usable = [] {
    hwy::SetSupportedTargetsForTest(0);
    return Usable();
  }();
  return usable;
}

int64_t BestOf(int64_t targets) { return targets & -targets; }

}  // namespace

std::vector<std::string> SimdTargets() {
  std::vector<std::string> names;
  for (int64_t rest = UsableUnpinned(); rest != 0; rest &= rest - 1) {
    names.emplace_back(hwy::TargetName(BestOf(rest)));
  }
  return names;
}

std::string CurrentSimdTarget() { return hwy::TargetName(BestOf(Usable())); }

void PinSimdTarget(std::string_view name) {
  const int64_t usable = UsableUnpinned();
  int64_t chosen = EqualNames(name, "auto") ? usable : 0;
  for (int64_t rest = usable; rest != 0; rest &= rest - 1) {
    const int64_t target = BestOf(rest);
    const bool alias = (target & kNoVectors) != 0 && EqualNames(name, "scalar");
    if (alias || EqualNames(name, hwy::TargetName(target))) chosen = target;
  }
  if (chosen == 0) {
    std::string allowed = "auto";
    for (const std::string& target : SimdTargets()) allowed += ", " + target;
    throw UsageError("unknown SIMD target, or not supported by this machine",
                     {.found = std::string(name), .allowed = allowed + ", scalar"});
  }
  hwy::SetSupportedTargetsForTest(chosen);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace spark
