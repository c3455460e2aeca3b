// A value of a record as a table shows it.
#ifndef SPARK_EVAL_TABLE_CELL_H_
#define SPARK_EVAL_TABLE_CELL_H_

#include <string>

#include "eval/record.h"

namespace spark {

// Names of models and texts of errors need not be UTF-8: what is not is replaced by U+FFFD.
inline std::string DumpJson(const Record& value) {
  return value.dump(-1, ' ', false, Record::error_handler_t::replace);
}

// A text as it is, anything else as JSON.
inline std::string CellText(const Record& value) {
  const std::string json = DumpJson(value);
  return value.is_string() ? Record::parse(json).get<std::string>() : json;
}

}  // namespace spark

#endif  // SPARK_EVAL_TABLE_CELL_H_
