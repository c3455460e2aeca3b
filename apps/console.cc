#include "apps/console.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <new>
#include <system_error>

#include "spark/error.h"
#include "spark/session.h"

namespace spark {
namespace {

const char* g_program_name = "spark-generate";

}  // namespace

void InstallSignalHandlers() { CatchInterrupts(kExitInterrupted); }

void WriteStdout(std::string_view text) {
  if (const int error = WriteToStdout(text); error != 0) {
    throw Error("cannot write to stdout: " + std::generic_category().message(error));
  }
}

void SetProgramName(const char* name) { g_program_name = name; }

void PrintMessage(std::string_view text) {
  // Not fmt::print: it would throw where stderr is closed.
  std::fputs(fmt::format("{}: {}\n", g_program_name, text).c_str(), stderr);
}

bool StdinIsTerminal() { return IsTerminal(StandardStream::kIn); }

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
    : enabled_(IsTerminal(StandardStream::kErr)), label_(std::move(label)) {
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
