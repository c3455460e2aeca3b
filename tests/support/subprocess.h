// Runs a program and looks at what it does.
#ifndef TESTS_SUPPORT_SUBPROCESS_H_
#define TESTS_SUPPORT_SUBPROCESS_H_

#include <optional>
#include <string>
#include <vector>

namespace spark::test {

// Throws std::runtime_error with errno's text unless the system call `what` went well.
void RequireCall(bool fine, const char* what);

struct ProcessOptions {
  std::string input{};           // stdin
  bool keep_input_open = false;  // stdin does not end behind `input`
  std::string stdout_path{};     // what stdout is sent to instead, e.g. "/dev/full"
  bool close_stdout = false;     // stdout is a pipe that nobody reads
  // Sent once `signal_after_bytes` have come on stdout and `signal_after_ms` have passed.
  std::optional<int> signal{};
  size_t signal_after_bytes = 0;
  int signal_after_ms = 0;
  int timeout_seconds = 120;  // then the program is killed and RunProcess() throws
};

struct ProcessResult {
  int exit_code = -1;  // 128 + signal if one ended the program
  std::string out;
  std::string err;
};

ProcessResult RunProcess(const std::string& program, const std::vector<std::string>& args,
                         const ProcessOptions& options = {});

}  // namespace spark::test

#endif  // TESTS_SUPPORT_SUBPROCESS_H_
