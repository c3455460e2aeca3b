// Written for Windows, compiled, never run.
#include "base/terminal.h"

#ifdef _WIN32
#include <io.h>
#include <windows.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace spark {
namespace {

std::atomic<int> g_interrupts{0};
std::atomic<int> g_exit_code{1};

// On a thread that Windows starts. TRUE: the process goes on.
BOOL WINAPI OnControl(DWORD event) {
  if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) return FALSE;
  if (g_interrupts.fetch_add(1) > 0) ExitProcess(static_cast<UINT>(g_exit_code.load()));
  return TRUE;
}

}  // namespace

// Consoles take escape sequences and UTF-8 when they are told to (Windows 10 and later).
bool IsTerminal(StandardStream stream) {
  const DWORD number = stream == StandardStream::kIn    ? STD_INPUT_HANDLE
                       : stream == StandardStream::kOut ? STD_OUTPUT_HANDLE
                                                        : STD_ERROR_HANDLE;
  const HANDLE handle = GetStdHandle(number);
  DWORD mode = 0;
  if (handle == INVALID_HANDLE_VALUE || !GetConsoleMode(handle, &mode)) return false;
  if (stream == StandardStream::kIn) return true;
  SetConsoleOutputCP(CP_UTF8);
  return SetConsoleMode(handle, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING) != 0;
}

void CatchInterrupts(int exit_code) {
  g_exit_code = exit_code;
  SetConsoleCtrlHandler(OnControl, TRUE);
}

bool InterruptRequested() { return g_interrupts > 0; }
void ForgetInterrupt() { g_interrupts = 0; }

int WriteToStdout(std::string_view text) {
  const HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
  while (!text.empty()) {
    const auto size = static_cast<DWORD>(std::min(text.size(), size_t{1} << 20));
    DWORD written = 0;
    if (!WriteFile(out, text.data(), size, &written, nullptr)) {
      const DWORD error = GetLastError();
      return error == ERROR_NO_DATA || error == ERROR_BROKEN_PIPE ? EPIPE : EIO;
    }
    text.remove_prefix(written);
  }
  return 0;
}

// Ctrl-C makes a read of the console return, so reading is where it is seen.
bool WaitForStdin() {
  const HANDLE in = GetStdHandle(STD_INPUT_HANDLE);
  if (GetFileType(in) != FILE_TYPE_CHAR) return !InterruptRequested();
  while (!InterruptRequested() && WaitForSingleObject(in, 50) == WAIT_TIMEOUT) {
  }
  return !InterruptRequested();
}

int ReadStdinByte(char* byte) { return _read(0, byte, 1); }

}  // namespace spark
#endif  // _WIN32
