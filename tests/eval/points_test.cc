// The language of --kv lists, and the order of points.
#include "eval/points.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <set>

#include "spark/error.h"

namespace spark {
namespace points_test {

using Strings = std::vector<std::string>;

TEST_CASE("ranges of plans are written out", "[points]") {
  CHECK(ExpandPlans("spark:0.1-0.9+0.2,think:0.5,snapkv:0.5+spark:0.8") ==
        Strings{"spark:0.1", "spark:0.3", "spark:0.5", "spark:0.7", "spark:0.9", "think:0.5",
                "snapkv:0.5+spark:0.8"});
  CHECK(ExpandPlans("none") == Strings{"none"});
  // Decimals stay decimals, and a step may pass the end by.
  CHECK(ExpandPlans("spark:0-0.3+0.1") ==
        Strings{"spark:0", "spark:0.1", "spark:0.2", "spark:0.3"});
  CHECK(ExpandPlans("spark:0.25-0.8+0.25") == Strings{"spark:0.25", "spark:0.5", "spark:0.75"});
  CHECK(ExpandPlans("think:.5-.5+1") == Strings{"think:0.5"});
  // The '+' behind a range joins stages again.
  CHECK(ExpandPlans("snapkv:0.3-0.5+0.2+spark:0.7-0.8+0.1") ==
        Strings{"snapkv:0.3+spark:0.7", "snapkv:0.3+spark:0.8", "snapkv:0.5+spark:0.7",
                "snapkv:0.5+spark:0.8"});
  CHECK(ExpandPlans("snapkv:n=64-192+64") ==
        Strings{"snapkv:n=64", "snapkv:n=128", "snapkv:n=192"});
  CHECK(ExpandPlans("spark:0.8[keep=0-32+32,sinks=4],none") ==
        Strings{"spark:0.8[keep=0,sinks=4]", "spark:0.8[keep=32,sinks=4]", "none"});
  CHECK(ExpandPlans("spark:0.5[recovery=zero,keep=4]") ==
        Strings{"spark:0.5[recovery=zero,keep=4]"});
  CHECK(ExpandPlans("spark-group,spark-topp:0.9") == Strings{"spark-group", "spark-topp:0.9"});
  CHECK(ExpandPlans("think:0.5,think:0.5,think:0.5-0.6+0.1") == Strings{"think:0.5", "think:0.6"});
}

TEST_CASE("what is no list of plans is refused", "[points]") {
  for (const std::string list :
       {"", ",", "spark:0.5,", ",spark:0.5", "spark:0.5,,think:0.5", "spark:0.1-0.9",
        "spark:0.1-0.9+", "spark:0.1-0.9+0", "spark:0.9-0.1+0.2", "spark:0.1-+0.2", "spark:1.5",
        "nosuch:0.5", "spark:0.5[keep=1", "spark:0.5]", "spark:0-0.9+0.0000001",
        "spark:0.1-0.9+99999999999999999999", "spark:0.1-0.9999999999999999999+0.1",
        "spark:0.5[keep=0-9999999+1]", "spark:0.5 ,think:0.5"}) {
    CAPTURE(list);
    CHECK_THROWS_AS(ExpandPlans(list), UsageError);
  }
}

TEST_CASE("coarse to fine takes the ends, then the middles", "[points]") {
  CHECK(CoarseToFine(0).empty());
  CHECK(CoarseToFine(1) == std::vector<size_t>{0});
  CHECK(CoarseToFine(2) == std::vector<size_t>{0, 1});
  CHECK(CoarseToFine(5) == std::vector<size_t>{0, 4, 2, 1, 3});
  CHECK(CoarseToFine(9) == std::vector<size_t>{0, 8, 4, 2, 6, 1, 3, 5, 7});
  for (size_t n = 0; n < 40; ++n) {
    std::vector<size_t> order = CoarseToFine(n);
    std::ranges::sort(order);
    REQUIRE(order.size() == n);
    for (size_t i = 0; i < n; ++i) CHECK(order[i] == i);
  }
}

SweepOptions SomeOptions() {
  SweepOptions options;
  options.plans = ExpandPlans("spark:0.1-0.9+0.2,think:0.3-0.7+0.2");
  options.cache_types_k = {CacheType::kF16, CacheType::kQ8_0};
  options.contexts = {256, 512};
  options.tasks = {"nll", "needle", "speed"};
  options.threads = {1, 2};
  return options;
}

TEST_CASE("points are the product of the lists, each once", "[points]") {
  const std::vector<Point> points = MakePoints(SomeOptions());
  // 9 plans with none × 2 types × (2 tasks × 2 contexts + speed) × 2 thread counts.
  CHECK(points.size() == 9 * 2 * 5 * 2);
  std::set<std::string> keys;
  for (const Point& point : points) keys.insert(point.Key());
  CHECK(keys.size() == points.size());
  CHECK(keys.contains("kv=spark:0.9 k=q8_0 v=f16 context=512 task=needle t=2"));
  CHECK(keys.contains("kv=none k=f16 v=f16 task=speed t=1"));
}

TEST_CASE("a group shows none and the ends of every range first", "[points]") {
  const std::vector<Point> points = MakePoints(SomeOptions());
  Strings first;
  for (size_t i = 0; i < 18; i += 2) first.push_back(points[i].kv);
  CHECK(first[0] == "none");
  CHECK(std::set<std::string>(first.begin() + 1, first.begin() + 5) ==
        std::set<std::string>{"spark:0.1", "spark:0.9", "think:0.3", "think:0.7"});
  CHECK(std::set<std::string>(first.begin() + 5, first.begin() + 7) ==
        std::set<std::string>{"spark:0.5", "think:0.5"});
  // Groups are whole.
  for (size_t i = 0; i < points.size(); ++i) CHECK(points[i].SameGroup(points[i / 18 * 18]));
}

TEST_CASE("`full` is none, and none is not measured twice", "[points]") {
  SweepOptions options;
  options.tasks = {"needle"};
  options.plans = {"full", "none", "think:0.5"};
  CHECK(MakePoints(options).size() == 2);
}

TEST_CASE("shards are all points, in equal parts", "[points]") {
  const std::vector<Point> points = MakePoints(SomeOptions());
  for (const size_t n : {1, 2, 3, 7, 180, 200}) {
    Strings joined, all;
    for (size_t shard = 1; shard <= n; ++shard) {
      const std::vector<Point> part = ShardPoints(points, shard, n);
      CHECK(part.size() <= points.size() / n + 1);
      for (const Point& point : part) joined.push_back(point.Key());
    }
    for (const Point& point : points) all.push_back(point.Key());
    CHECK(joined == all);
  }
}

}  // namespace points_test
}  // namespace spark
