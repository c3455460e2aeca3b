// The records of a sweep as a table, for people and for other programs.
#ifndef SPARK_EVAL_TABLE_H_
#define SPARK_EVAL_TABLE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "eval/record.h"

namespace spark {

enum class TableFormat : uint8_t {
  kMarkdown,  // what a reader wants to compare; columns that no record fills are left out
  kCsv,       // a header and a line a record: every figure except kept.channels
  kJsonl,     // the records as they are, one a line
  kJson,      // the same in one array
};

// "md", "csv", "jsonl" or "json"; throws UsageError for anything else.
TableFormat ParseTableFormat(std::string_view name);

// Ends with a newline. CSV has RFC 4180's quoting, lines that end in LF, empty cells for null, and
// a column for every figure inside a record: "kv_bytes.total", "kept.layers.0" and, by the depth
// they were measured at, "by_depth.0.5.score", "speed.4096.decode_tokens_per_second".
std::string FormatTable(std::span<const Record> records, TableFormat format);

}  // namespace spark

#endif  // SPARK_EVAL_TABLE_H_
