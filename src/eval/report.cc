#include "eval/report.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string_view>
#include <system_error>

#include "eval/verdict.h"
#include "spark/error.h"
#include "spark/version.h"

// What src/eval/report_files.S embeds: each file as a function that returns its text.
#define SPARK_REPORT_FILE(name)                                                            \
  extern "C" const char spark_report_##name##_begin[];                                     \
  extern "C" const char spark_report_##name##_end[];                                       \
  namespace {                                                                              \
  std::string_view name() {                                                                \
    return {spark_report_##name##_begin,                                                   \
            static_cast<size_t>(spark_report_##name##_end - spark_report_##name##_begin)}; \
  }                                                                                        \
  }

SPARK_REPORT_FILE(page)
SPARK_REPORT_FILE(style)
SPARK_REPORT_FILE(chart_js)
SPARK_REPORT_FILE(data_js)
SPARK_REPORT_FILE(elements_js)
SPARK_REPORT_FILE(charts_js)
SPARK_REPORT_FILE(quality_js)
SPARK_REPORT_FILE(cost_js)
SPARK_REPORT_FILE(pictures_js)
SPARK_REPORT_FILE(table_js)
SPARK_REPORT_FILE(page_js)
#undef SPARK_REPORT_FILE

namespace spark {
namespace {

namespace fs = std::filesystem;

constexpr std::array kLimits = {0.01, 0.05};

// JSON inside <script>: no "</script>" or "<!--" can end or hide it, and what is not UTF-8 is
// replaced.
std::string ForScript(const nlohmann::ordered_json& value) {
  const std::string text =
      value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else {
      out += c;
    }
  }
  return out;
}

std::string DataBlock(std::string_view id, const nlohmann::ordered_json& value) {
  return fmt::format("<script type=\"application/json\" id=\"{}\">{}</script>\n", id,
                     ForScript(value));
}

// The records without what would only make the page heavy: of the pictures of a plan's channels
// (layers × channels each) the page shows one, that of the longest context.
nlohmann::ordered_json PageRecords(std::span<const Record> records) {
  struct Picture {
    size_t index;
    double context;
  };
  std::map<std::string, Picture> pictures;  // by plan
  const auto plan = [](const Record& record) {
    return fmt::format("{} {} {}", record.value("kv", Record()).dump(),
                       record.value("cache_type_k", Record()).dump(),
                       record.value("cache_type_v", Record()).dump());
  };
  const auto has_picture = [](const Record& record) {
    const auto kept = record.is_object() ? record.find("kept") : record.end();
    return kept != record.end() && kept->is_object() && kept->contains("channels");
  };
  for (size_t i = 0; i < records.size(); ++i) {
    if (!has_picture(records[i])) continue;
    const Record context = records[i].value("context", Record());
    const Picture picture{i, context.is_number() ? context.get<double>() : 0};
    const auto [place, is_new] = pictures.try_emplace(plan(records[i]), picture);
    if (!is_new && picture.context > place->second.context) place->second = picture;
  }

  auto rows = nlohmann::ordered_json::array();
  for (size_t i = 0; i < records.size(); ++i) {
    rows.push_back(records[i]);
    if (has_picture(records[i]) && pictures.at(plan(records[i])).index != i) {
      rows.back()["kept"] = nullptr;
    }
  }
  return rows;
}

std::string Data(std::span<const Record> records, const nlohmann::ordered_json& config) {
  auto verdicts = nlohmann::ordered_json::array();
  for (const Verdict& verdict : JudgePlans(records, kLimits)) verdicts.push_back(ToJson(verdict));
  return DataBlock("spark-records", PageRecords(records)) + DataBlock("spark-verdicts", verdicts) +
         DataBlock("spark-config", config) +
         DataBlock("spark-version",
                   {{"version", std::string(Version())}, {"commit", std::string(GitCommit())}});
}

std::string Scripts() {
  std::string out;
  for (const std::string_view script :
       {chart_js(), data_js(), elements_js(), charts_js(), quality_js(), cost_js(), pictures_js(),
        table_js(), page_js()}) {
    out += "<script>\n";
    out += script;
    out += "</script>\n";
  }
  return out;
}

[[noreturn]] void FailWriting(const std::string& path, int reason) {
  throw Error("cannot write: " + std::generic_category().message(reason),
              ErrorContext{.file = path});
}

// Removed unless the file is moved to where it belongs.
struct Temporary {
  fs::path path;
  ~Temporary() {
    std::error_code ignored;
    if (!path.empty()) fs::remove(path, ignored);
  }
};

}  // namespace

std::string MakeReport(std::span<const Record> records, const nlohmann::ordered_json& config) {
  const std::string_view whole = page();
  std::string out;
  size_t done = 0;
  // In the order of the page. What is put in is never searched: data cannot hold a placeholder.
  const auto put = [&](std::string_view placeholder, const std::string& text) {
    const size_t at = whole.find(placeholder, done);
    if (at == whole.npos) throw Error("the report's page has no " + std::string(placeholder));
    out.append(whole, done, at - done);
    out += text;
    done = at + placeholder.size();
  };
  put("/*STYLE*/", std::string(style()));
  put("<!--DATA-->", Data(records, config));
  put("<!--SCRIPTS-->", Scripts());
  out.append(whole, done);
  return out;
}

void WriteReport(const std::string& path, std::span<const Record> records,
                 const nlohmann::ordered_json& config) {
  const std::string text = MakeReport(records, config);
  Temporary temporary{fmt::format("{}.{:08x}.tmp", path, std::random_device{}())};
  const auto close = [](std::FILE* file) { return std::fclose(file); };
  std::unique_ptr<std::FILE, decltype(close)> file(
      std::fopen(temporary.path.string().c_str(), "wbx"), close);
  if (!file) {
    const int reason = errno;
    temporary.path.clear();
    FailWriting(path, reason);
  }
  if (std::fwrite(text.data(), 1, text.size(), file.get()) != text.size()) FailWriting(path, errno);
  if (std::fclose(file.release()) != 0) FailWriting(path, errno);
  std::error_code error;
  fs::rename(temporary.path, path, error);
  if (error) FailWriting(path, error.value());
  temporary.path.clear();
}

}  // namespace spark
