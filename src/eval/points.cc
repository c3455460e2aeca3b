#include "eval/points.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "spark/error.h"

namespace spark {
namespace {

// The plan without its numbers: "spark:0.8[keep=32]" and "spark:0.5[keep=32]" are one family.
// Digits behind a ':' or '=' count as numbers, those in names do not.
std::string Family(const std::string& plan) {
  std::string family;
  bool value = false;
  for (const char c : plan) {
    if (c == ':' || c == '=') {
      value = true;
    } else if (c == '+' || c == '[' || c == ',' || c == ']') {
      value = false;
    }
    const bool digit = (c >= '0' && c <= '9') || c == '.';
    if (!(value && digit)) family += c;
  }
  return family;
}

// `none`, then the ends of all families, then their middles, …
std::vector<std::string> CoarsePlans(const std::vector<std::string>& plans) {
  std::map<std::string, std::vector<size_t>> families;
  for (size_t i = 0; i < plans.size(); ++i) families[Family(plans[i])].push_back(i);
  std::vector<std::pair<size_t, size_t>> order;  // turn, plan
  for (const auto& [ignored, members] : families) {
    const std::vector<size_t> turns = CoarseToFine(members.size());
    for (size_t turn = 0; turn < turns.size(); ++turn) {
      const size_t plan = members[turns[turn]];
      order.emplace_back(plans[plan] == "none" ? 0 : turn + 1, plan);
    }
  }
  std::ranges::sort(order);
  std::vector<std::string> sorted;
  for (const auto& [ignored, plan] : order) sorted.push_back(plans[plan]);
  return sorted;
}

void AddGroup(const SweepOptions& options, const std::vector<std::string>& plans, Point point,
              std::vector<Point>& points) {
  for (const std::string& plan : plans) {
    for (const CacheType k : options.cache_types_k) {
      for (const CacheType v : options.cache_types_v) {
        point.kv = plan;
        point.k = k;
        point.v = v;
        points.push_back(point);
      }
    }
  }
}

}  // namespace

std::string Point::Key() const {
  const std::string at = context == 0 ? "" : fmt::format(" context={}", context);
  return fmt::format("kv={} k={} v={}{} task={} t={}", kv, Name(k), Name(v), at, task, threads);
}

std::vector<size_t> CoarseToFine(size_t n) {
  std::vector<size_t> order;
  if (n > 0) order.push_back(0);
  if (n > 1) order.push_back(n - 1);
  // Spans whose ends have been taken, in turn: those of one width before the narrower ones.
  std::vector<std::pair<size_t, size_t>> spans;
  if (n > 2) spans.emplace_back(0, n - 1);
  for (size_t i = 0; i < spans.size(); ++i) {
    const auto [low, high] = spans[i];
    const size_t middle = low + (high - low) / 2;
    order.push_back(middle);
    if (middle - low > 1) spans.emplace_back(low, middle);
    if (high - middle > 1) spans.emplace_back(middle, high);
  }
  return order;
}

std::vector<Point> MakePoints(const SweepOptions& options) {
  std::vector<std::string> plans = {"none"};
  for (const std::string& plan : options.plans) {
    const std::string name = plan == "full" ? "none" : plan;
    if (std::ranges::find(plans, name) == plans.end()) plans.push_back(name);
  }
  plans = CoarsePlans(plans);
  std::vector<Point> points;
  for (const int threads : options.threads) {
    for (size_t i = 0; i < options.contexts.size(); ++i) {
      for (const std::string& task : options.tasks) {
        Point point;
        point.task = task;
        point.threads = threads;
        point.context = task == "speed" ? 0 : options.contexts[i];
        if (task == "speed" && i > 0) continue;
        AddGroup(options, plans, point, points);
      }
    }
  }
  return points;
}

std::vector<Point> ShardPoints(const std::vector<Point>& points, size_t shard, size_t n_shards) {
  const auto cut = [&](size_t i) {
    return points.begin() + static_cast<std::ptrdiff_t>(points.size() * i / n_shards);
  };
  return {cut(shard - 1), cut(shard)};
}

}  // namespace spark
