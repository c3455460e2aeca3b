// Errors of the library: one family of exceptions, one line each.
#ifndef SPARK_ERROR_H_
#define SPARK_ERROR_H_

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

namespace spark {

// Where and what, for errors about input. Empty parts are left out of the message.
struct ErrorContext {
  std::string file{};                // path, or a name such as "embedded model"
  std::optional<uint64_t> offset{};  // bytes from the start of the file
  std::string field{};               // "tensor count", "llama.block_count", "--temp", …
  std::string found{};               // what stands there
  std::string allowed{};             // what could stand there
};

// Anything that ends a task: a bad file, a missing tensor, a full disk. Programs exit with 1.
// what() is one line: "FILE: offset N: FIELD: MESSAGE: found X, allowed Y".
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message);
  Error(const std::string& message, ErrorContext context);

  const ErrorContext& context() const { return context_; }

 private:
  ErrorContext context_;
};

// A flag or option that cannot be meant. Programs exit with 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace spark

#endif  // SPARK_ERROR_H_
