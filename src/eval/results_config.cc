// The settings of a sweep, and the order that they give its points.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <tuple>

#include "base/hash.h"
#include "eval/results.h"
#include "spark/error.h"
#include "spark/version.h"

namespace spark {
namespace {

using Json = nlohmann::ordered_json;

// Lists that a further run may add to. They name the keys of a record.
constexpr std::array<const char*, 6> kLists = {"task",         "context",      "threads",
                                               "cache_type_k", "cache_type_v", "kv"};

bool IsList(const std::string& key) { return std::ranges::find(kLists, key) != kLists.end(); }

// Settings that do not decide what is measured. "text" is a path: its hash counts.
bool IsRemark(const std::string& key) {
  return key == "version" || key == "model_path" || key == "text" || key == "shard";
}

// Of what a file holds; "" without a file.
std::string FileHash(const std::string& path) {
  if (path.empty()) return "";
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot be read", {.file = path});
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  Fnv1a hash;
  hash.Add(std::string_view(text));
  return fmt::format("{:016x}", hash.value());
}

Json NameList(const std::vector<CacheType>& types) {
  Json names = Json::array();
  for (const CacheType type : types) names.push_back(Name(type));
  return names;
}

std::vector<std::string> WithNone(const std::vector<std::string>& plans) {
  std::vector<std::string> all = {"none"};
  for (const std::string& plan : plans) {
    if (plan != "none" && plan != "full") all.push_back(plan);
  }
  return all;
}

// Where a record's value stands in a list of the settings; those that do not stand there come last.
size_t PlaceIn(const Json& config, const char* key, const Record& record) {
  const auto value = record.find(key);
  const auto list = config.find(key);
  if (list == config.end() || !list->is_array() || value == record.end()) return SIZE_MAX;
  const auto at = std::find(list->begin(), list->end(), *value);
  return at == list->end() ? SIZE_MAX : static_cast<size_t>(at - list->begin());
}

}  // namespace

Json MakeConfig(const Model& model, const SweepOptions& options) {
  Json config = {{"model", model.info().name},
                 {"model_path", options.model_path},
                 {"fingerprint", model.fingerprint()},
                 {"backend", options.backend},
                 {"compute", options.compute_f32 ? "f32" : "auto"},
                 {"batch_size", options.batch_size},
                 {"seed", options.seed},
                 {"samples", options.samples},
                 {"query_aware", options.query_aware},
                 {"text", options.text},
                 {"text_hash", FileHash(options.text)},
                 {"continuation", options.continuation},
                 {"depth", options.depths},
                 {"depth_read", options.depth_read},
                 {"version", Version()}};
  if (options.n_shards > 1) {
    config["shard"] = fmt::format("{}/{}", options.shard, options.n_shards);
  }
  config["task"] = options.tasks;
  config["context"] = options.contexts;
  config["threads"] = options.threads;
  config["cache_type_k"] = NameList(options.cache_types_k);
  config["cache_type_v"] = NameList(options.cache_types_v);
  config["kv"] = WithNone(options.plans);
  for (const std::string& task : options.tasks) {
    constexpr std::string_view kFile = "jsonl:";
    if (task.starts_with(kFile)) {
      // Options may stand behind the path: "jsonl:FILE[metric=f1]".
      const size_t end = task.ends_with(']') ? task.rfind('[') : task.size();
      config["file_hash"][task] = FileHash(task.substr(kFile.size(), end - kFile.size()));
    }
  }
  return config;
}

Json JoinConfigs(const Json& before, const Json& now, const std::string& folder) {
  Json joined = before;
  for (const auto& [key, value] : now.items()) {
    const auto old = joined.find(key);
    if (old == joined.end() || IsRemark(key)) {
      joined[key] = value;
    } else if (IsList(key) && old->is_array()) {
      for (const Json& entry : value) {
        if (std::find(old->begin(), old->end(), entry) == old->end()) old->push_back(entry);
      }
    } else if (key == "file_hash") {
      for (const auto& [task, hash] : value.items()) {
        if (old->contains(task) && old->at(task) != hash) {
          throw Error(fmt::format("the file of {} has changed since", task), {.file = folder});
        }
        (*old)[task] = hash;
      }
    } else if (*old != value) {
      throw Error("the folder holds a sweep with another setting",
                  {.file = folder, .field = key, .found = value.dump(), .allowed = old->dump()});
    }
  }
  return joined;
}

std::vector<Record> Ordered(std::span<const Record> records, const Json& config) {
  std::map<std::string, size_t> last;  // a point that failed may have been tried again
  for (size_t i = 0; i < records.size(); ++i) last[records[i]["point"].get<std::string>()] = i;
  using Place = std::array<size_t, kLists.size()>;
  std::vector<std::tuple<Place, std::string, size_t>> order;
  for (const auto& [point, i] : last) {
    Place place;
    for (size_t j = 0; j < kLists.size(); ++j) place[j] = PlaceIn(config, kLists[j], records[i]);
    order.emplace_back(place, point, i);
  }
  std::ranges::sort(order);
  std::vector<Record> ordered;
  for (const auto& [place, point, i] : order) ordered.push_back(records[i]);
  return ordered;
}

}  // namespace spark
