#include "generate/stop_filter.h"

#include <algorithm>
#include <utility>

#include "spark/error.h"

namespace spark {
namespace {

// Length of the longest end of `text` that `stop` begins with, without being all of it.
size_t OverlapLength(std::string_view text, std::string_view stop) {
  size_t length = std::min(text.size(), stop.size() - 1);
  while (length > 0 && text.substr(text.size() - length) != stop.substr(0, length)) --length;
  return length;
}

}  // namespace

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) throw UsageError("a stop text must not be empty");
  }
}

std::string StopFilter::Push(std::string_view text) {
  if (stopped_) return {};
  pending_ += text;
  size_t end = std::string::npos;
  size_t held = 0;
  for (const std::string& stop : stops_) {
    end = std::min(end, pending_.find(stop));
    held = std::max(held, OverlapLength(pending_, stop));
  }
  if (end != std::string::npos) {
    stopped_ = true;
    pending_.resize(end);
    return std::exchange(pending_, {});
  }
  std::string shown = pending_.substr(0, pending_.size() - held);
  pending_.erase(0, shown.size());
  return shown;
}

std::string StopFilter::Flush() { return std::exchange(pending_, {}); }

}  // namespace spark
