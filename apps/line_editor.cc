#include "apps/line_editor.h"

#include <cstdio>

#include "apps/console.h"

#ifdef SPARK_LIBEDIT
#include <histedit.h>
#include <langinfo.h>

#include <clocale>
#include <cwchar>
#include <string_view>
#endif

namespace spark {

#ifdef SPARK_LIBEDIT
namespace {

// libedit's own function tries a read again that a signal has interrupted.
int ReadCharacter(EditLine*, wchar_t* character) {
  std::mbstate_t state{};
  while (true) {
    char byte = 0;
    if (!WaitForStdin()) return -1;
    const int n = ReadStdinByte(&byte);
    if (n <= 0) return n;
    const size_t used = std::mbrtowc(character, &byte, 1, &state);
    if (used == static_cast<size_t>(-1)) state = {};  // no text: dropped
    if (used <= 1) return 1;
  }
}

char* ShowPrompt(EditLine* editor) {
  void* prompt = nullptr;
  el_get(editor, EL_CLIENTDATA, &prompt);
  return static_cast<char*>(prompt);
}

// libedit takes characters apart as the locale says; "C" would know ASCII only.
void UseUtf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

struct LineEditor::Impl {
  Impl() {
    UseUtf8();
    lines = history_init();
    editor = el_init("spark-generate", stdin, stderr, stderr);  // stdout is for answers
    history(lines, &event, H_SETSIZE, 1000);
    el_set(editor, EL_PROMPT, &ShowPrompt);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_HIST, history, lines);
    el_set(editor, EL_GETCFN, &ReadCharacter);
    el_source(editor, nullptr);  // ~/.editrc
  }
  ~Impl() {
    el_end(editor);
    history_end(lines);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::optional<std::string> Read(std::string prompt) {
    el_resize(editor);  // the window may have changed during an answer
    el_set(editor, EL_CLIENTDATA, prompt.data());
    int count = 0;
    const char* line = el_gets(editor, &count);
    if (line == nullptr || count <= 0 || InterruptRequested()) {
      std::fputs("\n", stderr);  // the shell's prompt begins on a line of its own
      return std::nullopt;
    }
    std::string text = line;
    if (text.ends_with('\n')) text.pop_back();
    if (!text.empty()) history(lines, &event, H_ENTER, text.c_str());
    return text;
  }

  History* lines = nullptr;
  EditLine* editor = nullptr;
  HistEvent event{};
};

LineEditor::LineEditor() {
  if (StdinIsTerminal() && IsTerminal(StandardStream::kErr)) impl_ = std::make_unique<Impl>();
}
#else
struct LineEditor::Impl {
  std::optional<std::string> Read(const std::string&) { return std::nullopt; }
};

LineEditor::LineEditor() = default;
#endif

LineEditor::~LineEditor() = default;

std::optional<std::string> LineEditor::Read(const std::string& prompt) {
  if (impl_) return impl_->Read(prompt);
  if (StdinIsTerminal()) std::fputs(prompt.c_str(), stderr);
  return ReadStdinLine();
}

}  // namespace spark
