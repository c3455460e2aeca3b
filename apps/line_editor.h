// Lines from a terminal, with editing and history where the program was built with libedit.
#ifndef APPS_LINE_EDITOR_H_
#define APPS_LINE_EDITOR_H_

#include <memory>
#include <optional>
#include <string>

namespace spark {

class LineEditor {
 public:
  LineEditor();
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // The next line of stdin without its end; nothing at the end of stdin, or on SIGINT. The prompt
  // goes to stderr, and only if stdin is a terminal.
  std::optional<std::string> Read(const std::string& prompt);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;  // null: lines are read as they come
};

}  // namespace spark

#endif  // APPS_LINE_EDITOR_H_
