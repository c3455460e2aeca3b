#include "apps/console.h"

#include <fmt/format.h>
#include <sys/select.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iostream>
#include <new>
#include <system_error>

#include "spark/error.h"
#include "spark/session.h"

namespace spark {
namespace {

volatile std::sig_atomic_t g_interrupts = 0;
const char* g_program_name = "spark-generate";

void OnInterrupt(int) {
  if (g_interrupts > 0) _exit(kExitInterrupted);
  g_interrupts = 1;
}

}  // namespace

void InstallSignalHandlers() {
  struct sigaction action {};
  action.sa_handler = OnInterrupt;  // no SA_RESTART: waiting for a line of input ends, too
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool InterruptRequested() { return g_interrupts > 0; }
void ForgetInterrupt() { g_interrupts = 0; }

void WriteStdout(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      throw Error("cannot write to stdout: " + std::generic_category().message(errno));
    }
  }
}

void SetProgramName(const char* name) { g_program_name = name; }

void PrintMessage(std::string_view text) {
  // Not fmt::print: it would throw where stderr is closed.
  std::fputs(fmt::format("{}: {}\n", g_program_name, text).c_str(), stderr);
}

bool StdinIsTerminal() { return isatty(STDIN_FILENO) == 1; }

bool WaitForStdin() {
  // A signal that came between a look at the flag and the wait would be missed: it is let in by
  // pselect() only.
  sigset_t interrupt, before;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  sigprocmask(SIG_BLOCK, &interrupt, &before);
  int ready = 0;
  while (ready <= 0 && !InterruptRequested()) {
    fd_set in;
    FD_ZERO(&in);
    FD_SET(STDIN_FILENO, &in);
    ready = pselect(STDIN_FILENO + 1, &in, nullptr, nullptr, nullptr, &before);
    if (ready < 0 && errno != EINTR) break;  // reading will say what is wrong
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return !InterruptRequested();
}

std::string ReadAll(std::istream& in, const std::string& name) {
  std::string text;
  std::array<char, 65536> buffer;
  do {
    in.read(buffer.data(), buffer.size());
    text.append(buffer.data(), static_cast<size_t>(in.gcount()));
  } while (in.good());
  if (InterruptRequested()) throw Interrupted();
  // Folders can be opened like files; only reading them fails.
  if (in.bad()) throw Error("cannot be read", {.file = name});
  return text;
}

std::string ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) {
    throw Error("cannot open: " + std::generic_category().message(errno), {.file = path});
  }
  return ReadAll(file, path);
}

std::optional<std::string> ReadStdinLine() {
  std::string line;
  if (!std::getline(std::cin, line) || InterruptRequested()) return std::nullopt;
  return line;
}

int RunProgram(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Interrupted&) {
    return kExitInterrupted;
  } catch (const UsageError& error) {
    PrintMessage(error.what());
    return kExitUsage;
  } catch (const std::bad_alloc&) {
    PrintMessage("out of memory");
  } catch (const std::exception& error) {
    PrintMessage(error.what());
  }
  return kExitFailure;
}

ProgressLine::ProgressLine(std::string label)
    : enabled_(isatty(STDERR_FILENO) == 1), label_(std::move(label)) {
  Show(label_);
}

ProgressLine::~ProgressLine() { Show(""); }

bool ProgressLine::Update(size_t done, size_t total) {
  if (total == 0) return !InterruptRequested();
  return Update(fmt::format("{} {:3} %", label_, 100 * done / total));
}

bool ProgressLine::Update(const std::string& text) {
  const auto now = std::chrono::steady_clock::now();
  if (enabled_ && now - shown_ > std::chrono::milliseconds(100)) {
    Show(text);
    shown_ = now;
  }
  return !InterruptRequested();
}

void ProgressLine::Show(const std::string& text) {
  if (!enabled_) return;
  std::fputs(("\r\x1b[K" + text).c_str(), stderr);  // ESC [ K wipes the rest of the line
  std::fflush(stderr);
}

}  // namespace spark
