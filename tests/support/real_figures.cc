#include "tests/support/real_figures.h"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <fstream>

namespace spark::testing {
namespace {

// -log p(id)
double Nll(std::span<const float> logits, TokenId id) {
  double largest = logits[0];
  for (const float logit : logits) largest = std::max(largest, static_cast<double>(logit));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum) - logits[static_cast<size_t>(id)];
}

// Of every plan. Their sessions read each context together, which is as if each did so by itself
// (tests/generate/shared_prefill_test.cc).
std::vector<double> Perplexities(const Model& model, const nlohmann::json& nll,
                                 std::span<const TokenId> text, std::span<const TokenId> bos,
                                 std::span<const NllRow> rows, bool compute_f32) {
  const size_t context = nll["context"];
  const size_t continuation = nll["continuation"];
  std::vector<double> sums(rows.size());
  for (const size_t start : nll["segment_starts"]) {
    std::vector<TokenId> segment(bos.begin(), bos.end());
    const auto from = text.subspan(start, context + continuation - bos.size());
    segment.insert(segment.end(), from.begin(), from.end());
    const std::span<const TokenId> ids = segment;
    std::vector<Session> sessions;
    sessions.reserve(rows.size());
    std::vector<Session*> together;
    for (const NllRow& row : rows) {
      together.push_back(&sessions.emplace_back(model, FigureOptions(row.plan, compute_f32)));
    }
    Session::PrefillTogether(together, ids.first(context));
    for (size_t i = 0; i < rows.size(); ++i) {
      NllMeter meter(ids.subspan(context));
      sessions[i].Append(ids.subspan(context), {}, meter.Sink());
      sums[i] += meter.mean();
    }
  }
  for (double& sum : sums) sum = std::exp(sum / static_cast<double>(nll["segment_starts"].size()));
  return sums;
}

}  // namespace

nlohmann::json ExpectedFigures(const std::string& name) {
  std::ifstream in(SPARK_TEST_DATA "/text/" + name);
  return nlohmann::json::parse(in);
}

SessionOptions FigureOptions(const std::string& plan, bool compute_f32) {
  SessionOptions options;
  options.plan = CompressionPlan::Parse(plan);
  options.compute_f32 = compute_f32;
  if (compute_f32) options.cache_type_k = options.cache_type_v = CacheType::kF32;
  options.context_size = 4096;
  return options;
}

LogitsSink NllMeter::Sink() {
  return [this](size_t n, std::span<const float> logits) {
    const size_t vocab = logits.size() / n;
    for (size_t i = 0; i < n; ++i, ++row_) {
      if (row_ + 1 == ids_.size()) return;  // nothing follows the last token
      sum_ += Nll(logits.subspan(i * vocab, vocab), ids_[row_ + 1]);
    }
  };
}

TokenId Largest(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

void CheckPrompts(const Model& model, const nlohmann::json& expected, float tolerance) {
  const std::vector<TokenId> bos = expected["bos"];
  for (const auto& prompt : expected["logits"]) {
    const std::vector<TokenId> ids = prompt["ids"];
    INFO(prompt["prompt"]);
    std::vector<TokenId> encoded = bos;
    for (const TokenId id : model.tokenizer()->Encode(prompt["prompt"].get<std::string>(),
                                                      Tokenizer::Special::kParse)) {
      encoded.push_back(id);
    }
    CHECK(encoded == ids);
    Session session(model, FigureOptions("none", true));
    NllMeter meter(ids);
    session.Prefill(ids, {}, meter.Sink());
    CHECK(meter.mean() == Catch::Approx(prompt["mean_nll"].get<double>()).epsilon(1e-3));

    const std::vector<size_t> top = prompt["last"]["ids"];
    const std::vector<float> logits = prompt["last"]["logits"];
    for (size_t i = 0; i < top.size(); ++i) {
      CHECK(std::abs(session.NextLogits()[top[i]] - logits[i]) < tolerance);
    }
    std::vector<TokenId> greedy;
    const std::vector<TokenId> expected_greedy = prompt["greedy_ids"];
    for (size_t i = 0; i < expected_greedy.size(); ++i) {
      greedy.push_back(Largest(session.NextLogits()));
      session.Append({&greedy.back(), 1});
    }
    CHECK(greedy == expected_greedy);
  }
}

void CheckNllRows(const Model& model, const nlohmann::json& nll, std::span<const TokenId> text,
                  std::span<const TokenId> bos, std::span<const NllRow> rows, bool compute_f32,
                  double limit) {
  const std::vector<double> found = Perplexities(model, nll, text, bos, rows, compute_f32);
  for (size_t i = 0; i < rows.size(); ++i) {
    const double expected = nll["results"][rows[i].name]["ppl"];
    WARN(rows[i].plan << ": perplexity " << found[i]
                      << (compute_f32 ? " in f32 (" : " by default (")
                      << 100 * (found[i] / expected - 1) << " %), expected " << expected);
    CHECK(found[i] == Catch::Approx(expected).epsilon(limit));
  }
}

}  // namespace spark::testing
