// Gemma 3 270M, quantised to Q4_K_M, against transformers and the authors' functions
// (tests/data/text/gemma.json: weights dequantised to f32).
#include <catch2/catch_test_macros.hpp>

#include "tests/support/real_figures.h"
#include "tests/support/real_model.h"
#include "tests/support/sanitized.h"

namespace spark::testing {
namespace gemma3_test {

#define REQUIRE_GEMMA3()                                                   \
  if (kSanitized) SKIP("the real model is left out under the sanitizers"); \
  if (!Gemma3Path()) SKIP("no Gemma 3: run scripts/get-model.sh gemma3")

const Model& Gemma3() {
  static const Model model = Model::Load(Gemma3Path().value());
  return model;
}

TEST_CASE("Gemma 3: logits and greedy tokens with --compute f32", "[gemma3]") {
  REQUIRE_GEMMA3();
  CheckPrompts(Gemma3(), ExpectedFigures("gemma.json"), 1e-2f);
}

TEST_CASE("Gemma 3: perplexity of every method is that of the authors' functions", "[gemma3]") {
  REQUIRE_GEMMA3();
  const std::optional<std::string> text = SharedText("oracle/text/text.txt");
  if (!text) SKIP("the text is not part of the repository");
  const nlohmann::json expected = ExpectedFigures("gemma.json");
  const std::vector<TokenId> bos = expected["bos"];
  const std::vector<TokenId> ids = Gemma3().tokenizer()->Encode(*text, Tokenizer::Special::kPlain);
  const NllRow rows[] = {{"none", "full"},
                         {"spark:0.5[layers=all]", "spark:0.5"},
                         {"spark:0.8[layers=all]", "spark:0.8"},
                         {"spark:0.5", "sparkglobal:0.5"},
                         {"spark:0.8", "sparkglobal:0.8"},
                         {"think:0.8[layers=all]", "think:0.8"}};
  CHECK(std::size(rows) == expected["nll"]["results"].size());  // none left out
  CheckNllRows(Gemma3(), expected["nll"], ids, bos, rows, true, 0.007);
  const NllRow in_integers[] = {rows[0], rows[4]};
  CheckNllRows(Gemma3(), expected["nll"], ids, bos, in_integers, false, 0.02);
}

}  // namespace gemma3_test
}  // namespace spark::testing
