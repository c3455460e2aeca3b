// --conversation: turns in, answers out, one cache.
#ifndef APPS_CONVERSATION_H_
#define APPS_CONVERSATION_H_

#include <string>

#include "apps/generate_flags.h"
#include "apps/line_editor.h"
#include "spark/conversation.h"
#include "spark/statistics.h"

namespace spark {

class ConversationTask {
 public:
  // `statistics` describes the run so far.
  ConversationTask(const GenerateFlags& flags, const Model& model, Statistics statistics);

  // Answers turns until stdin or the user ends it.
  void Run();

  Statistics TakeStatistics();
  bool interrupted() const { return interrupted_; }  // that is why it ended

 private:
  void Converse();
  // Returns whether to go on.
  bool RunCommand(const std::string& line);
  bool Answer(const std::string& turn);
  bool AnswerOrReport(const std::string& turn);
  void Save(const std::string& path) const;

  const GenerateFlags& flags_;
  Conversation conversation_;
  Statistics start_;       // of a conversation without turns
  Statistics statistics_;  // since then
  LineEditor editor_;
  bool interrupted_ = false;
};

}  // namespace spark

#endif  // APPS_CONVERSATION_H_
