// report.html: a sweep as one page that can be sent to a colleague.
#ifndef SPARK_EVAL_REPORT_H_
#define SPARK_EVAL_REPORT_H_

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "eval/record.h"

namespace spark {

// The whole page: style, scripts (src/eval/web) and data in one text that asks nothing of a
// network. `config` is shown as the sweep's settings. Texts from records stay texts: no markup gets
// through.
std::string MakeReport(std::span<const Record> records, const nlohmann::ordered_json& config);

// Replaces `path` whole or leaves it alone; throws Error if it cannot be written.
void WriteReport(const std::string& path, std::span<const Record> records,
                 const nlohmann::ordered_json& config);

}  // namespace spark

#endif  // SPARK_EVAL_REPORT_H_
