// Standard streams and Ctrl-C, as the operating system has them.
#ifndef SPARK_BASE_TERMINAL_H_
#define SPARK_BASE_TERMINAL_H_

#include <string_view>

namespace spark {

enum class StandardStream { kIn, kOut, kErr };

// What is written to a terminal may move the cursor: `\r`, ESC [ K.
bool IsTerminal(StandardStream stream);

// Ctrl-C (SIGINT) sets a flag, a second one ends the process at once with `exit_code`; a closed
// pipe is an error of the write instead of a signal.
void CatchInterrupts(int exit_code);
bool InterruptRequested();
void ForgetInterrupt();  // it has been answered: the program goes on

// Writes all of `text`, unbuffered. Returns 0, or what went wrong (an errno).
int WriteToStdout(std::string_view text);

// Waits until stdin can be read; false on Ctrl-C.
bool WaitForStdin();

// One byte of stdin, unbuffered: 1; 0 at its end, -1 where reading fails.
int ReadStdinByte(char* byte);

}  // namespace spark

#endif  // SPARK_BASE_TERMINAL_H_
