#include "base/thread_team.h"

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace spark {
namespace thread_team_test {

TEST_CASE("a team does every item of every loop once", "[threads]") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadTeam team(threads);
    CHECK(team.size() == static_cast<size_t>(threads));
    for (size_t count = 0; count < 300; ++count) {
      std::vector<int> done(count);
      std::vector<size_t> by(count);
      team.For(count, [&](size_t item, size_t thread) {
        ++done[item];
        by[item] = thread;
      });
      CHECK(done == std::vector<int>(count, 1));
      for (const size_t thread : by) CHECK(thread < team.size());
    }
  }
}

TEST_CASE("what a loop wrote is seen by the next one", "[threads]") {
  ThreadTeam team(4);
  // Each round an item takes its neighbour's value of the round before, plus one.
  std::vector<size_t> before(64, 0), after(64, 0);
  for (size_t round = 0; round < 2000; ++round) {
    team.For(after.size(),
             [&](size_t item, size_t) { after[item] = before[(item + 1) % before.size()] + 1; });
    before.swap(after);
  }
  CHECK(before == std::vector<size_t>(64, 2000));
}

TEST_CASE("loops inside a region are those outside of one", "[threads]") {
  ThreadTeam team(4);
  std::vector<size_t> sums(50, 0);
  const auto body = [&] {
    for (size_t round = 1; round <= 400; ++round) {
      team.For(sums.size(), [&](size_t item, size_t) { sums[item] += round; });
      if (round % 100 == 0) {  // long enough for helpers to sleep
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      team.Together([&] { team.For(1, [&](size_t item, size_t) { ++sums[item]; }); });
    }
  };
  for (int i = 0; i < 3; ++i) team.Together(body);
  std::vector<size_t> expected(50, 3 * 400 * 401 / 2);
  expected[0] += 3 * 400;
  CHECK(sums == expected);
}

TEST_CASE("an exception leaves a region, and the team works on", "[threads]") {
  ThreadTeam team(3);
  std::vector<int> done(20, 0);
  const auto loop = [&] { team.For(done.size(), [&](size_t item, size_t) { ++done[item]; }); };
  CHECK_THROWS_AS(team.Together([&] {
    loop();
    throw std::runtime_error("out of the region");
  }),
                  std::runtime_error);
  team.Together(loop);
  CHECK(done == std::vector<int>(20, 2));
}

}  // namespace thread_team_test
}  // namespace spark
