// The table of a sweep for people: Markdown that also reads well in a terminal.
#ifndef SPARK_EVAL_TABLE_MARKDOWN_H_
#define SPARK_EVAL_TABLE_MARKDOWN_H_

#include <span>
#include <string>

#include "eval/record.h"

namespace spark {

std::string MarkdownTable(std::span<const Record> records);

}  // namespace spark

#endif  // SPARK_EVAL_TABLE_MARKDOWN_H_
