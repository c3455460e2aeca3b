#include "tests/support/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace spark::test {
namespace {

using Clock = std::chrono::steady_clock;

class Pipe {
 public:
  Pipe() { RequireCall(pipe2(ends_.data(), O_CLOEXEC) == 0, "pipe2"); }
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  void CloseRead() { Close(ends_[0]); }
  void CloseWrite() { Close(ends_[1]); }

 private:
  static void Close(int& end) {
    if (end >= 0) close(end);
    end = -1;
  }
  std::array<int, 2> ends_{-1, -1};
};

// In the child, between fork() and exec(): system calls only.
[[noreturn]] void Exec(const std::vector<char*>& argv, int in, int out, int err) {
  // A test runner may ignore signals; a program must not inherit that.
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  execv(argv[0], argv.data());
  _exit(127);
}

// Emulated programs (scripts/check-aarch64.sh) take many times as long.
std::chrono::seconds TimeFor(const ProcessOptions& options) {
  return std::chrono::seconds(options.timeout_seconds) *
         (std::getenv("SPARK_EMULATOR") == nullptr ? 1 : 20);
}

class Running {
 public:
  Running(const std::string& program, const std::vector<std::string>& args,
          const ProcessOptions& options)
      : options_(options), deadline_(start_ + TimeFor(options)) {
    std::vector<std::string> words = {program};
    words.insert(words.end(), args.begin(), args.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);

    int out = out_.write_end();
    if (!options.stdout_path.empty()) {
      out = open(options.stdout_path.c_str(), O_WRONLY | O_CLOEXEC);
      RequireCall(out >= 0, "open");
    }
    if (options.close_stdout) out_.CloseRead();
    pid_ = fork();
    RequireCall(pid_ >= 0, "fork");
    if (pid_ == 0) Exec(argv, in_.read_end(), out, err_.write_end());
    if (out != out_.write_end()) close(out);
    in_.CloseRead();
    out_.CloseWrite();
    err_.CloseWrite();
  }

  ProcessResult Wait() {
    const bool in_time = Communicate();
    if (!in_time) kill(pid_, SIGKILL);
    int status = 0;
    RequireCall(waitpid(pid_, &status, 0) == pid_, "waitpid");
    if (!in_time) throw std::runtime_error("the program did not end in time: " + result_.err);
    result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return std::move(result_);
  }

 private:
  // Feeds stdin and collects output until both outputs are closed.
  bool Communicate() {
    const auto ignore = std::signal(SIGPIPE, SIG_IGN);  // the program need not read its input
    while (out_.read_end() >= 0 || err_.read_end() >= 0) {
      std::array<pollfd, 3> fds{{{all_fed_ ? -1 : in_.write_end(), POLLOUT, 0},
                                 {out_.read_end(), POLLIN, 0},
                                 {err_.read_end(), POLLIN, 0}}};
      if (Clock::now() > deadline_) break;
      if (SignalIsDue()) {
        kill(pid_, *options_.signal);
        signalled_ = true;
      }
      if (poll(fds.data(), fds.size(), 20) <= 0) continue;
      if (fds[0].revents != 0) FeedInput();
      if (fds[1].revents != 0 && !Collect(out_.read_end(), result_.out)) out_.CloseRead();
      if (fds[2].revents != 0 && !Collect(err_.read_end(), result_.err)) err_.CloseRead();
    }
    std::signal(SIGPIPE, ignore);
    return out_.read_end() < 0 && err_.read_end() < 0;
  }

  bool SignalIsDue() const {
    return options_.signal && !signalled_ && result_.out.size() >= options_.signal_after_bytes &&
           Clock::now() - start_ >= std::chrono::milliseconds(options_.signal_after_ms);
  }

  void FeedInput() {
    // At most what fits into a pipe at once when it is writable, so that this never blocks.
    const size_t n = std::min<size_t>(options_.input.size() - fed_, 4096);
    const ssize_t written = n == 0 ? -1 : write(in_.write_end(), &options_.input[fed_], n);
    if (written > 0) fed_ += static_cast<size_t>(written);
    if (written < 0 || fed_ == options_.input.size()) {
      if (!options_.keep_input_open) in_.CloseWrite();
      all_fed_ = true;
    }
  }

  static bool Collect(int fd, std::string& into) {
    std::array<char, 65536> buffer;
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n > 0) into.append(buffer.data(), static_cast<size_t>(n));
    return n > 0;
  }

  const ProcessOptions& options_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point deadline_;
  Pipe in_, out_, err_;
  pid_t pid_ = -1;
  size_t fed_ = 0;
  bool all_fed_ = false;
  bool signalled_ = false;
  ProcessResult result_;
};

}  // namespace

void RequireCall(bool fine, const char* what) {
  if (!fine) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

ProcessResult RunProcess(const std::string& program, const std::vector<std::string>& args,
                         const ProcessOptions& options) {
  return Running(program, args, options).Wait();
}

}  // namespace spark::test
