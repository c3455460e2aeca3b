// What a user types into a conversation: turns of one or more lines, and commands.
#ifndef APPS_TURN_INPUT_H_
#define APPS_TURN_INPUT_H_

#include <functional>
#include <optional>
#include <string>

namespace spark {

// Shows the prompt where there is a terminal, and returns the next line without its end; nothing
// at the end of the input.
using ReadLine = std::function<std::optional<std::string>(const std::string& prompt)>;

struct TurnInput {
  std::string text;
  bool is_command = false;  // "/save notes.jsonl"
};

// Lines that end with a backslash go on in the next one. """ opens a text that goes on up to the
// next """ at the end of a line. A single line that begins with / is a command. Empty lines are
// skipped.
std::optional<TurnInput> ReadTurn(const ReadLine& read_line);

}  // namespace spark

#endif  // APPS_TURN_INPUT_H_
