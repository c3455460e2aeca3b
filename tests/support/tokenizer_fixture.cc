#include "tests/support/tokenizer_fixture.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace spark::testing {
namespace {

nlohmann::json ReadJson(std::string_view folder, std::string_view name) {
  const std::string path = fmt::format("{}/tokenizers/{}/{}", SPARK_TEST_DATA, folder, name);
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  return nlohmann::json::parse(file);
}

}  // namespace

BpeVocabulary OwnedVocabulary::View() const {
  BpeVocabulary view;
  view.tokens.assign(tokens.begin(), tokens.end());
  view.token_types = token_types;
  view.merges.assign(merges.begin(), merges.end());
  view.pre = pre;
  return view;
}

OwnedVocabulary LoadVocabulary(std::string_view folder, std::string_view pre) {
  const nlohmann::json json = ReadJson(folder, "tokenizer.json");
  const nlohmann::json& model = json.at("model");
  OwnedVocabulary vocabulary;
  vocabulary.pre = pre;
  vocabulary.tokens.resize(model.at("vocab").size());
  vocabulary.token_types.assign(vocabulary.tokens.size(), 1);
  for (const auto& [token, id] : model.at("vocab").items()) {
    vocabulary.tokens.at(id.get<size_t>()) = token;
  }
  for (const auto& added : json.at("added_tokens")) {
    const auto id = added.at("id").get<size_t>();
    vocabulary.token_types.at(id) = added.at("special").get<bool>() ? 3 : 4;
  }
  for (const auto& merge : model.at("merges")) {
    vocabulary.merges.push_back(merge.at(0).get<std::string>() + " " +
                                merge.at(1).get<std::string>());
  }
  return vocabulary;
}

std::vector<TokenizedText> LoadExpected(std::string_view folder) {
  std::vector<TokenizedText> texts;
  for (const auto& entry : ReadJson(folder, "expected.json")) {
    texts.push_back({entry.at("text").get<std::string>(),
                     entry.at("ids").get<std::vector<TokenId>>(),
                     entry.at("decoded").get<std::string>()});
  }
  return texts;
}

std::unique_ptr<Tokenizer> MakeSmolTokenizer() {
  return MakeBpeTokenizer(LoadVocabulary("smollm", "smollm").View());
}

}  // namespace spark::testing
