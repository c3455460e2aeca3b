// Points measured together are those measured alone.
#include "eval/runner.h"

#include <catch2/catch_test_macros.hpp>

#include "spark/error.h"
#include "tests/support/sanitized.h"
#include "tests/support/temp_dir.h"

namespace spark {
namespace runner_test {

const Model& Embedded() {
  static const Model model = Model::LoadEmbedded();
  return model;
}

// What does not depend on time.
Record Quality(Record record) {
  for (const char* key : {"prefill_tokens_per_second", "compress_seconds",
                          "decode_tokens_per_second", "peak_rss_bytes", "seconds", "started"}) {
    record.erase(key);
  }
  return record;
}

struct Fixture {
  Fixture() {
    options.samples = 3;
    options.continuation = 24;
    for (size_t i = 0; i < 700; ++i) text.push_back(static_cast<TokenId>(i * i % 251));
  }
  Bench bench() { return {Embedded(), options, text, meter}; }
  std::vector<Point> Points(const std::string& task, const std::vector<std::string>& plans) {
    std::vector<Point> points;
    for (const std::string& plan : plans) {
      points.push_back(
          {plan, CacheType::kF16, CacheType::kF16, task == "speed" ? 0u : 128u, task, 1});
    }
    return points;
  }

  SweepOptions options;
  std::vector<TokenId> text;
  double done = 0;
  WorkMeter meter{[this](double units) { return (done = units) >= 0; }};
};

const std::vector<std::string> kPlans = {
    "none", "spark:0.5", "spark:0.9", "think:0.5", "snapkv:0.5", "h2o:0.5", "random:0.3+spark:0.8"};

TEST_CASE("a point measured with others is the point measured alone", "[runner]") {
  constexpr size_t kStep = testing::kSanitized ? 3 : 1;  // two minutes otherwise
  Fixture f;
  for (const std::string task : {"nll", "needle", "vt"}) {
    for (const bool query_aware : {false, true}) {
      if (query_aware && task == "nll") continue;
      f.options.query_aware = query_aware;
      std::vector<Point> points = f.Points(task, kPlans);
      points.push_back(points[1]);
      points.back().k = CacheType::kQ8_0;
      const std::vector<Record> together = RunGroup(f.bench(), points);
      REQUIRE(together.size() == points.size());
      for (size_t i = 0; i < points.size(); ++i) {
        CAPTURE(points[i].Key());
        CHECK(together[i]["status"] == "ok");
        CHECK(together[i]["samples"] == 3);
        CHECK(together[i]["point"] == points[i].Key());
        if (i % kStep != 0) continue;
        const std::vector<Record> alone = RunGroup(f.bench(), std::span(points).subspan(i, 1));
        CHECK(Quality(alone[0]) == Quality(together[i]));
      }
    }
  }
}

TEST_CASE("nll measures what a plan costs", "[runner]") {
  Fixture f;
  const std::vector<Record> records = RunGroup(f.bench(), f.Points("nll", kPlans));
  CHECK(records[0]["kl"] == 0.0);
  CHECK(records[0]["perplexity_loss"] == 0.0);
  CHECK(records[0]["top1"] == 1.0);
  CHECK(records[0]["ratio"].is_null());
  CHECK(records[2]["kl"] > records[1]["kl"]);
  CHECK(records[2]["ratio"] == 0.9);
  CHECK(records[2]["kv_bytes"]["total"] < records[1]["kv_bytes"]["total"]);
  CHECK(records[6]["token_stage"] == "random");
  CHECK(records[6]["channel_stage"] == "spark");
  CHECK(records[6]["ratio"] == 0.8);
  for (const Record& record : records) {
    CHECK(record["perplexity_low"] <= record["perplexity"]);
    CHECK(record["perplexity"] <= record["perplexity_high"]);
    CHECK(record["kept"]["layers"].size() == Embedded().info().n_layers);
    CHECK(record["kept"]["channels"][0].size() == Embedded().info().head_dim);
  }
}

TEST_CASE("speed is measured beside none", "[runner]") {
  Fixture f;
  f.options.depths = {96, 32};
  const std::vector<Record> records = RunGroup(f.bench(), f.Points("speed", {"spark:0.5"}));
  REQUIRE(records.size() == 1);
  const Record& speed = records[0]["speed"];
  REQUIRE(speed.size() == 2);
  CHECK(speed[0]["depth"] == 32);
  CHECK(speed[1]["depth"] == 96);
  for (const Record& entry : speed) {
    CHECK(entry["decode_low"] <= entry["decode_tokens_per_second"]);
    CHECK(entry["decode_tokens_per_second"] <= entry["decode_high"]);
    CHECK(entry["decode_ratio"] > 0);
    CHECK(entry["prefill_tokens_per_second"] > 0);
    CHECK(entry["compress_share"] > 0);
  }
  CHECK(records[0]["context"].is_null());
  CHECK(records[0]["score"].is_null());
}

TEST_CASE("a depth beyond what is read is reached by copies", "[runner]") {
  Fixture f;
  f.options.depths = {32, 192};
  const std::vector<Record> all = RunGroup(f.bench(), f.Points("speed", {"none", "spark:0.5"}));
  f.options.depth_read = 64;
  const std::vector<Record> some = RunGroup(f.bench(), f.Points("speed", {"none", "spark:0.5"}));
  for (size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i]["speed"][1]["read"] == 192);
    CHECK(some[i]["speed"][0]["read"] == 32);
    CHECK(some[i]["speed"][1]["read"] == 64);
    CHECK(some[i]["speed"][1]["depth"] == 192);
    CHECK(some[i]["speed"][1]["decode_tokens_per_second"] > 0);
    CHECK(some[i]["kv_bytes_dense_f16"] == all[i]["kv_bytes_dense_f16"]);
    const auto bytes = [](const Record& r) { return r["kv_bytes"]["total"].get<double>(); };
    CHECK(bytes(some[i]) < 1.05 * bytes(all[i]));
    CHECK(bytes(some[i]) > 0.95 * bytes(all[i]));
  }
}

TEST_CASE("depths beyond what is read are multiples of it", "[runner]") {
  const test::TempDir dir;
  SweepOptions options;
  options.plans = {"none"};
  options.tasks = {"speed"};
  options.depths = {32, 100};
  options.depth_read = 64;
  options.out = dir / "sweep";
  CHECK_THROWS_AS(RunSweep(Embedded(), options), UsageError);
}

TEST_CASE("a point that fails does not keep the others from being measured", "[runner]") {
  Fixture f;
  std::vector<Point> points = f.Points("needle", {"none", "spark:0.5", "think:0.5"});
  const std::vector<Record> fine = RunGroup(f.bench(), points);
  points[1].threads = 1 << 20;  // no session has so many
  const std::vector<Record> records = RunGroup(f.bench(), points);
  CHECK(records[1]["status"] == "failed");
  CHECK(records[1]["error"].get<std::string>().find("threads") != std::string::npos);
  CHECK(records[1]["score"].is_null());
  CHECK(Quality(records[0]) == Quality(fine[0]));
  CHECK(Quality(records[2]) == Quality(fine[2]));
}

TEST_CASE("a task that cannot be is the failure of all its points", "[runner]") {
  Fixture f;
  f.text.resize(20);
  for (const Record& record : RunGroup(f.bench(), f.Points("nll", {"none", "spark:0.5"}))) {
    CHECK(record["status"] == "failed");
    CHECK(record["error"].get<std::string>().find("too short") != std::string::npos);
  }
}

TEST_CASE("a watcher can stop a group", "[runner]") {
  Fixture f;
  f.options.depths = {64};
  for (const size_t calls : {1, 2, 10, 20}) {
    size_t n = 0;
    WorkMeter meter([&](double) { return ++n < calls; });
    const Bench bench{Embedded(), f.options, f.text, meter};
    for (const std::string task : {"nll", "needle", "speed"}) {
      n = 0;
      CHECK_THROWS_AS(RunGroup(bench, f.Points(task, kPlans)), Interrupted);
    }
  }
}

TEST_CASE("how many points share a prefill is bounded by memory", "[runner]") {
  Fixture f;
  Point point = f.Points("nll", {"none"})[0];
  point.context = 1024;
  const size_t many = PointsTogether(f.bench(), point);
  const ModelInfo& info = Embedded().info();
  const size_t bytes = 1024 * info.n_layers * info.n_kv_heads * info.head_dim * 4;
  CHECK(many * bytes <= f.options.shared_cache_bytes);
  CHECK((many + 1) * bytes > f.options.shared_cache_bytes);
  point.context = size_t{1} << 40;
  CHECK(PointsTogether(f.bench(), point) == 1);
}

TEST_CASE("a sweep that shares few prefills measures the same", "[runner]") {
  const test::TempDir dir;
  const auto table = [&](const std::string& name, size_t bytes, size_t least_calls) {
    SweepOptions options;
    options.plans = kPlans;
    options.tasks = {"needle"};
    options.contexts = {128};
    options.samples = 2;
    options.threads = {1};
    options.out = dir / name;
    options.shared_cache_bytes = bytes;
    size_t calls = 0;
    const SweepSummary summary = RunSweep(Embedded(), options, [&](const SweepProgress& progress) {
      ++calls;
      CHECK(progress.share >= 0);
      CHECK(progress.share <= 1);
      CHECK(progress.points == kPlans.size());
      return true;
    });
    CHECK(summary.ok == kPlans.size());
    CHECK(calls > least_calls);
    std::string text;
    for (const Record& record : ReadRecords(dir / (name + "/results.jsonl"))) {
      text += Quality(record).dump() + "\n";
    }
    return text;
  };
  const std::string together = table("together", size_t{1} << 30, 2);
  CHECK(table("alone", 1, kPlans.size() * 2) == together);
  CHECK(table("threes", 3 * 128 * 2048, 6) == together);
}

}  // namespace runner_test
}  // namespace spark
