// Linux, macOS and other POSIX systems; terminal_windows.cc for Windows.
#include "base/terminal.h"

#ifndef _WIN32
#include <sys/select.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace spark {
namespace {

volatile std::sig_atomic_t g_interrupts = 0;
volatile std::sig_atomic_t g_exit_code = 1;

void OnInterrupt(int) {
  if (g_interrupts > 0) _exit(g_exit_code);
  g_interrupts = 1;
}

}  // namespace

bool IsTerminal(StandardStream stream) {
  const int file = stream == StandardStream::kIn    ? STDIN_FILENO
                   : stream == StandardStream::kOut ? STDOUT_FILENO
                                                    : STDERR_FILENO;
  return isatty(file) == 1;
}

void CatchInterrupts(int exit_code) {
  g_exit_code = exit_code;
  struct sigaction action {};
  action.sa_handler = OnInterrupt;  // no SA_RESTART: waiting for a line of input ends, too
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool InterruptRequested() { return g_interrupts > 0; }
void ForgetInterrupt() { g_interrupts = 0; }

int WriteToStdout(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

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

int ReadStdinByte(char* byte) {
  for (;;) {
    const ssize_t n = read(STDIN_FILENO, byte, 1);
    if (n >= 0 || errno != EINTR) return static_cast<int>(n);
  }
}

}  // namespace spark
#endif  // _WIN32
