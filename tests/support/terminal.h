// A program on a terminal of its own, and somebody who types.
#ifndef SPARK_TESTS_SUPPORT_TERMINAL_H_
#define SPARK_TESTS_SUPPORT_TERMINAL_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace spark::test {

class Terminal {
 public:
  static bool Available();  // false where the machine has no pseudo-terminals: a bare chroot

  Terminal(const std::string& program, const std::vector<std::string>& args);
  ~Terminal();  // kills the program if it still runs
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void Type(const std::string& keys);  // "\r" is Enter, "\x03" Ctrl-C, "\x04" Ctrl-D

  // Waits until `text` has come on the screen behind what an earlier call waited for, and returns
  // what stood in between. Throws when it does not come within 30 seconds.
  std::string WaitFor(const std::string& text);

  // The same until `n` bytes have come, whatever they are.
  void WaitForBytes(size_t n);

  // Waits for the end; returns the exit code, 128 + signal if one ended the program.
  int Wait();

 private:
  bool ReadMore();  // false at the end

  int screen_ = -1;
  pid_t pid_ = -1;
  std::string seen_;  // what WaitFor() has not passed yet
};

}  // namespace spark::test

#endif  // SPARK_TESTS_SUPPORT_TERMINAL_H_
