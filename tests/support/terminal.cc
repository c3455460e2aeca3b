#include "tests/support/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "tests/support/subprocess.h"

namespace spark::test {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

bool Terminal::Available() {
  const int screen = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (screen >= 0) close(screen);
  return screen >= 0;
}

Terminal::Terminal(const std::string& program, const std::vector<std::string>& args) {
  std::vector<std::string> words = {program};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  screen_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  RequireCall(screen_ >= 0 && grantpt(screen_) == 0 && unlockpt(screen_) == 0, "posix_openpt");
  const std::string name = ptsname(screen_);
  setenv("TERM", "xterm", 1);
  pid_ = fork();
  RequireCall(pid_ >= 0, "fork");
  if (pid_ == 0) {
    std::signal(SIGINT, SIG_DFL);
    setsid();
    const int keyboard = open(name.c_str(), O_RDWR);  // becomes the controlling terminal
    for (int fd = 0; fd < 3; ++fd) dup2(keyboard, fd);
    execv(argv[0], argv.data());
    _exit(127);
  }
}

Terminal::~Terminal() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(screen_);
}

void Terminal::Type(const std::string& keys) {
  RequireCall(write(screen_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()),
              "write");
}

bool Terminal::ReadMore() {
  pollfd fd{screen_, POLLIN, 0};
  if (poll(&fd, 1, 50) <= 0) return true;
  std::array<char, 4096> buffer;
  const ssize_t n = read(screen_, buffer.data(), buffer.size());
  if (n > 0) seen_.append(buffer.data(), static_cast<size_t>(n));
  return n > 0;
}

std::string Terminal::WaitFor(const std::string& text) {
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(30);
  size_t at = seen_.find(text);
  for (; at == std::string::npos; at = seen_.find(text)) {
    if (!ReadMore() || Clock::now() > deadline) {
      throw std::runtime_error("'" + text + "' did not come on the screen: " + seen_);
    }
  }
  const std::string before = seen_.substr(0, at);
  seen_.erase(0, at + text.size());
  return before;
}

void Terminal::WaitForBytes(size_t n) {
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(30);
  while (seen_.size() < n) {
    if (!ReadMore() || Clock::now() > deadline) {
      throw std::runtime_error("too little came on the screen: " + seen_);
    }
  }
  seen_.erase(0, n);
}

int Terminal::Wait() {
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(30);
  while (ReadMore()) {
    if (Clock::now() > deadline) throw std::runtime_error("the program did not end: " + seen_);
  }
  int status = 0;
  RequireCall(waitpid(pid_, &status, 0) == pid_, "waitpid");
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace spark::test
