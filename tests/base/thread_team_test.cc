#include "base/thread_team.h"

#include <catch2/catch_test_macros.hpp>
#include <vector>

namespace spark {
namespace {

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

}  // namespace
}  // namespace spark
