// Standard streams and signals of a program.
#ifndef APPS_CONSOLE_H_
#define APPS_CONSOLE_H_

#include <chrono>
#include <functional>
#include <istream>
#include <optional>
#include <string>
#include <string_view>

#include "base/terminal.h"

namespace spark {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;

void InstallSignalHandlers();  // CatchInterrupts(), with the exit code of programs

// Writes all of `text`, unbuffered. Throws Error when stdout does not take it.
void WriteStdout(std::string_view text);

void SetProgramName(const char* name);  // "spark-generate" unless told otherwise

// One line on stderr, in front of which the program's name stands.
void PrintMessage(std::string_view text);

bool StdinIsTerminal();

// Everything up to the end. `name` stands for the stream in messages. Throws Error.
std::string ReadAll(std::istream& in, const std::string& name);

// A whole file. Throws Error if it cannot be read.
std::string ReadFile(const std::string& path);
// The next line without its end; nothing at the end of stdin, or on SIGINT.
std::optional<std::string> ReadStdinLine();

// Runs `body` and returns the exit code: errors end as one line on stderr.
int RunProgram(const std::function<int()>& body);

// A line on stderr that shows how far some work is; nothing where stderr is not a terminal.
class ProgressLine {
 public:
  explicit ProgressLine(std::string label);
  ~ProgressLine();  // wipes the line
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // Shows the share done, at most ten times a second. Returns false once SIGINT has come.
  bool Update(size_t done, size_t total);
  bool Update(const std::string& text);  // likewise, with other words

 private:
  void Show(const std::string& text);

  bool enabled_;
  std::string label_;
  std::chrono::steady_clock::time_point shown_;
};

}  // namespace spark

#endif  // APPS_CONSOLE_H_
