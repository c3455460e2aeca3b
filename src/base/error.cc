#include "spark/error.h"

#include <fmt/format.h>

#include <utility>

namespace spark {
namespace {

// Names and strings from files may hold control characters; a message stays one printable line.
std::string Printable(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string Compose(const std::string& message, const ErrorContext& context) {
  std::string line;
  if (!context.file.empty()) line += context.file + ": ";
  if (context.offset) line += fmt::format("offset {}: ", *context.offset);
  if (!context.field.empty()) line += context.field + ": ";
  line += message;
  if (!context.found.empty()) line += ": found " + context.found;
  if (!context.allowed.empty()) {
    line += (context.found.empty() ? ": allowed " : ", allowed ") + context.allowed;
  }
  return Printable(line);
}

}  // namespace

Error::Error(const std::string& message) : Error(message, ErrorContext{}) {}

Error::Error(const std::string& message, ErrorContext context)
    : std::runtime_error(Compose(message, context)), context_(std::move(context)) {}

}  // namespace spark
