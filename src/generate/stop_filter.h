// Ends a stream of text at the first of some stop texts.
#ifndef SPARK_GENERATE_STOP_FILTER_H_
#define SPARK_GENERATE_STOP_FILTER_H_

#include <string>
#include <string_view>
#include <vector>

namespace spark {

// Stop texts may span pieces, so the end of what came so far is held back while it could be the
// beginning of one, and nothing else is.
class StopFilter {
 public:
  // Throws UsageError for an empty stop text.
  explicit StopFilter(std::vector<std::string> stops);

  // What can be shown now: all text before a stop text. Nothing any more once stopped().
  std::string Push(std::string_view text);

  // The stream ends: what was held back.
  std::string Flush();

  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace spark

#endif  // SPARK_GENERATE_STOP_FILTER_H_
