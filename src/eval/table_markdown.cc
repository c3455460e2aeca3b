#include "eval/table_markdown.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eval/table_cell.h"

namespace spark {
namespace {

// Cells end at a bar, rows at a newline.
std::string Cell(const Record& record, std::string_view key) {
  const auto found = record.find(key);
  if (found == record.end() || found->is_null()) return "";
  const std::string text = CellText(*found);
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

std::string Digits(const Record& record, std::string_view key, int digits) {
  const auto number = Number(record, key);
  return number ? fmt::format("{:.{}f}", *number, digits) : "";
}

// "18.772 (+1.1 %)"
std::string Perplexity(const Record& record) {
  std::string text = Digits(record, "perplexity", 3);
  const auto loss = Number(record, "perplexity_loss");
  if (!text.empty() && loss) text += fmt::format(" ({:+.1f} %)", 100 * *loss);
  return text;
}

// "0.92 (0.85 to 0.97)"; a perplexity is in its own column.
std::string TaskScore(const Record& record) {
  if (Number(record, "perplexity")) return "";
  std::string text = Digits(record, "score", 3);
  const std::string low = Digits(record, "score_low", 2);
  const std::string high = Digits(record, "score_high", 2);
  if (!text.empty() && !low.empty() && !high.empty()) text += fmt::format(" ({} to {})", low, high);
  return text;
}

// "27.9", or of a speed task "1024: 75.1, 4096: 62.0": tokens/s at each depth.
std::string Speed(const Record& record, std::string_view key) {
  const auto rows = record.find("speed");
  if (rows == record.end() || !rows->is_array() || rows->empty()) return Digits(record, key, 1);
  std::string text;
  for (const Record& row : *rows) {
    const auto depth = Number(row, "depth");
    const auto speed = Number(row, key);
    if (!depth || !speed) continue;
    text += fmt::format("{}{}: {:.1f}", text.empty() ? "" : ", ", *depth, *speed);
  }
  return text;
}

struct Column {
  std::string title;
  bool right;  // figures are
  std::function<std::string(const Record&)> text;
};

std::vector<Column> Columns() {
  const auto of = [](std::string_view key) {
    return [key](const Record& r) { return Cell(r, key); };
  };
  const auto digits = [](std::string_view key, int n) {
    return [key, n](const Record& r) { return Digits(r, key, n); };
  };
  return {
      {"plan", false,
       [](const Record& r) {
         const std::string kv = Cell(r, "kv");
         return kv.empty() ? kv : fmt::format("`{}`", kv);
       }},
      {"keys", false, of("cache_type_k")},
      {"values", false, of("cache_type_v")},
      {"context", true, of("context")},
      {"task", false, of("task")},
      {"threads", true, of("threads")},
      {"perplexity", true, Perplexity},
      {"KL", true, digits("kl", 4)},
      {"top-1", true, digits("top1", 3)},
      {"score (95 %)", true, TaskScore},
      {"bytes/token", true, digits("kv_bytes_per_token", 0)},
      {"of f16", true, digits("kv_share", 3)},
      {"prefill t/s", true, [](const Record& r) { return Speed(r, "prefill_tokens_per_second"); }},
      {"decode t/s", true, [](const Record& r) { return Speed(r, "decode_tokens_per_second"); }},
      {"error", false, of("error")},
  };
}

// Characters, near enough: bytes that do not continue a character of UTF-8.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string MarkdownTable(std::span<const Record> records) {
  struct Filled {
    std::string title;
    bool right;
    std::vector<std::string> cells;
    size_t width;
  };
  std::vector<Filled> filled;
  for (const Column& column : Columns()) {
    Filled one{column.title, column.right, {}, std::max(Width(column.title), size_t{3})};
    bool any = false;
    for (const Record& record : records) {
      one.cells.push_back(column.text(record));
      any = any || !one.cells.back().empty();
      one.width = std::max(one.width, Width(one.cells.back()));
    }
    if (any || records.empty()) filled.push_back(std::move(one));
  }

  std::string out;
  const auto add = [&](const Filled& column, const std::string& text) {
    const std::string space(column.width - Width(text), ' ');
    out += fmt::format("| {}{} ", column.right ? space : text, column.right ? text : space);
  };
  for (const Filled& column : filled) add(column, column.title);
  out += "|\n";
  for (const Filled& column : filled) {
    out += fmt::format("|{:-<{}}{}", "", column.width + 1, column.right ? ":" : "-");
  }
  out += "|\n";
  for (size_t row = 0; row < records.size(); ++row) {
    for (const Filled& column : filled) add(column, column.cells[row]);
    out += "|\n";
  }
  return out;
}

}  // namespace spark
