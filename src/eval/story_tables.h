// Words and sentence templates of the text that the default model was trained on (data/train).
#ifndef SPARK_EVAL_STORY_TABLES_H_
#define SPARK_EVAL_STORY_TABLES_H_

#include <span>
#include <string_view>

namespace spark::story {

using List = std::span<const std::string_view>;

extern const List kShe, kHe;              // names
extern const List kAdjectives, kAnimals;  // "the amber falcon"
extern const List kPlaceKinds, kPlaces;   // "the old mill"
extern const List kThings, kColors;
extern const List kFruits, kFoods;
extern const List kSeasons, kDays, kOutdoors;

// Templates: "<name>" is a variable that is chosen once a story, "{a|b}" an alternative.
extern const List kOpenings, kEndings;
extern const List kNotes;                   // sentences that stand alone
extern const std::span<const List> kPlots;  // the sentences of a story, in order

}  // namespace spark::story

#endif  // SPARK_EVAL_STORY_TABLES_H_
