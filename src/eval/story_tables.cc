// The same lists and templates as data/train/words.py and plots.py: the default model knows no
// other words. tests/eval/task_story_test.cc compares them.
#include "eval/story_tables.h"

#include <array>

namespace spark::story {
namespace {

constexpr std::string_view kSheTable[] = {"Mia",  "Anna",  "Lily", "Emma", "Nora", "Rosa",
                                          "Ella", "Clara", "Ida",  "Ruth", "Tara", "Vera"};

constexpr std::string_view kHeTable[] = {"Tom",   "Ben",  "Sam",  "Max",  "Leo",  "Finn",
                                         "Oscar", "Paul", "Jack", "Hugo", "Noah", "Carl"};

constexpr std::string_view kAdjectiveTable[] = {
    "amber",   "silver",  "golden", "crimson", "scarlet", "purple", "violet",  "orange",
    "copper",  "ivory",   "jade",   "coral",   "bronze",  "white",  "black",   "green",
    "blue",    "red",     "grey",   "brown",   "yellow",  "pink",   "quiet",   "gentle",
    "brave",   "clever",  "swift",  "lazy",    "proud",   "shy",    "wild",    "hungry",
    "sleepy",  "noble",   "lonely", "merry",   "tiny",    "giant",  "ancient", "young",
    "striped", "spotted", "frozen", "hidden",  "humble",  "royal",  "rapid",   "misty"};

constexpr std::string_view kAnimalTable[] = {
    "falcon", "eagle",    "owl",      "raven", "swan",   "heron",  "robin",   "sparrow",
    "otter",  "beaver",   "badger",   "fox",   "wolf",   "bear",   "deer",    "rabbit",
    "hare",   "squirrel", "hedgehog", "mouse", "turtle", "frog",   "lizard",  "snake",
    "salmon", "whale",    "dolphin",  "seal",  "crab",   "spider", "beetle",  "moth",
    "tiger",  "lion",     "panther",  "camel", "zebra",  "monkey", "panda",   "goose",
    "donkey", "pony",     "goat",     "sheep", "dragon", "parrot", "penguin", "walrus"};

constexpr std::string_view kPlaceKindTable[] = {"old",    "big",   "little", "dark", "stone",
                                                "wooden", "round", "empty",  "warm", "sunny"};

constexpr std::string_view kPlaceTable[] = {"mill",   "barn",    "tower",   "cave",    "castle",
                                            "cabin",  "library", "kitchen", "garden",  "attic",
                                            "school", "harbor",  "bakery",  "shed",    "cellar",
                                            "temple", "market",  "station", "cottage", "workshop"};

constexpr std::string_view kThingTable[] = {
    "ball", "kite", "hat",  "lamp",  "key",    "map",    "boat",  "drum",   "bell",    "coin",
    "book", "cup",  "ring", "scarf", "basket", "mirror", "clock", "violin", "blanket", "candle"};

constexpr std::string_view kColorTable[] = {"red",   "blue",  "green",  "yellow",
                                            "white", "black", "orange", "pink"};

constexpr std::string_view kFruitTable[] = {"apples",  "pears",    "plums",
                                            "berries", "cherries", "grapes"};

constexpr std::string_view kFoodTable[] = {"soup", "bread", "cake", "pie", "cheese", "honey"};

constexpr std::string_view kSeasonTable[] = {"spring", "summer", "autumn", "winter"};

constexpr std::string_view kDayTable[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                          "Friday", "Saturday", "Sunday"};

constexpr std::string_view kOutdoorTable[] = {"forest", "river", "lake",    "hill",   "meadow",
                                              "park",   "beach", "village", "bridge", "valley"};

constexpr std::string_view kOpeningTable[] = {
    "Once upon a time, there was a {little|kind|happy|young} <child> named <A>.",
    "Once upon a time, a {little|kind|happy|young} <child> named <A> lived near the <out>.",
    "Once upon a time, there lived a {little|kind|happy|young} <child> named <A>.",
    "In <season>, <A> often went for a walk near the <out>.",
    "<A> was a {little|kind|happy|young} <child> who lived near the <out>."};

constexpr std::string_view kEndingTable[] = {
    "From that day on, {they|<A> and <B>} were {best|good} friends.",
    "That night <A> slept well and {had sweet dreams|dreamed of the <out>}.",
    "And they all lived happily ever after.", "<A> {smiled|went home} and was happy.",
    "<A> never forgot that day."};

constexpr std::string_view kNoteTable[] = {
    "On <day>, <A> {bought|sold} <fruit> {at the market|in the village}.",
    "The weather in <season> was {warm|cold|wet|dry}.",
    "The <place> was {open|closed} on <day>.",
    "<A> and <B> {cleaned|painted} the <place> on <day>.",
    "<A> wrote a {long|short} letter to <B>.",
    "There was <food> and <fruit> for {lunch|dinner}.",
    "The way to the <out> was {long|short} and {easy|hard}.",
    "<B> saw a <animal> near the <out>.",
    "<A> likes <fruit>, but <B> likes <food>.",
    "The train was late on <day>.",
    "In <season>, <A> works in the <place>.",
    "The <color> <thing> of <A> is {new|broken|very old}."};

constexpr std::string_view kPlot0[] = {
    "<A> had a <color> <thing> and loved it {very much|more than anything}.",
    "One {day|morning}, the <color> <thing> was gone.",
    "<A> {looked|searched} in the <place>, but it was not there.",
    "<A> felt {very sad|sad and tired} and began to cry.",
    "Then <his> friend <B> came and asked, \"Why are you crying?\"",
    "\"I lost my <color> <thing>,\" said <A>.",
    "\"{Do not worry|Do not cry}, I will help you,\" said <B>.",
    "They looked {together|everywhere} and found the <thing> {under a tree|behind the door|near "
    "the <out>}.",
    "<A> was so happy that <he> {hugged <B>|laughed and danced}."};

constexpr std::string_view kPlot1[] = {
    "One {day|morning}, <A> saw a {small|little} <animal> near the <out>.",
    "The <animal> could not walk, because its leg was hurt.",
    "\"{Poor <animal>|Poor little one}, I will help you,\" said <A>.",
    "<A> carried it home {in a basket|in <his> arms} and gave it {some water|some <food>}.",
    "Every day the <animal> grew {stronger|a little stronger}.",
    "After a week it could {run and jump|walk} again.",
    "<A> took the <animal> back to the <out> and said goodbye.",
    "The <animal> never forgot how kind <A> was."};

constexpr std::string_view kPlot2[] = {
    "<A> {picked|gathered} a basket of <fruit> {in the garden|near the <out>}.",
    "On the way home <he> met <B>, who was very hungry.",
    "<A> wanted to keep all the <fruit>, but <he> saw that <B> was sad.",
    "\"{Please take some|You can have half of them},\" said <A>.",
    "<B> smiled and said, \"Thank you, you are a good friend.\"",
    "They sat {under a big tree|on the grass} and ate the <fruit> together.",
    "The <fruit> tasted {better|sweeter} because they shared them."};

constexpr std::string_view kPlot3[] = {
    "One {day|evening}, <A> and <B> were playing near the <out>.",
    "Suddenly the sky grew dark and {it began to rain|a big storm came}.",
    "<B> was {afraid|scared}, but <A> took <his2> hand.",
    "\"{Come with me|Follow me}, we will be safe in the <place>,\" said <A>.",
    "They ran to the <place> and waited {for a long time|until the rain stopped}.",
    "When the sun came out, they saw a {beautiful|bright} rainbow.",
    "\"You were very brave,\" said <B>.",
    "Then they walked home, {wet but happy|hand in hand}."};

constexpr std::string_view kPlot4[] = {
    "<A> wanted to learn how to {swim|sing|paint|bake bread|ride a horse}.",
    "At first it was very hard, and <he> {wanted to stop|was not good at it}.",
    "\"{Try again|Do not give up},\" said <B>, \"I will show you how.\"",
    "<A> {tried again every day|worked hard every morning}.",
    "{Slowly|Day by day} <he> became better and better.",
    "On <day>, everybody in the village came to watch.",
    "<A> did it very well, and everybody {clapped|cheered}.",
    "<A> was proud and thanked <B> for the help."};

constexpr std::string_view kPlot5[] = {
    "One {day|evening}, <A> found an old map in the <place>.",
    "The map showed a way to {a secret|a hidden} place near the <out>.",
    "<A> ran to <B> and said, \"Let us go and find it!\"",
    "They walked over the hill and {crossed the river|along the river}.",
    "There they found a small box, and in the box was a <color> <thing>.",
    "\"Who {left|put} it here?\" asked <B>.",
    "A {wise|kind} old <animal> came and said, \"It was mine, but now it is yours.\"",
    "They thanked the <animal> and {took the <thing> home|promised to come back}."};

constexpr std::string_view kPlot6[] = {
    "It was the birthday of <B>, and <A> wanted to give <him2> a present.",
    "<A> had {no money|only one coin}, so <he> {was sad|had to think}.",
    "Then <he> had {a good|an} idea.",
    "<A> made a <color> <thing> {with <his> own hands|out of wood and paper}.",
    "In the evening <he> {brought|gave} it to <B>.",
    "<B> opened the box and smiled.",
    "\"This is the best present of all,\" said <B>, \"because you made it for me.\"",
    "They ate {cake|<food>} and {sang songs|told stories} until it was late."};

constexpr std::string_view kPlot7[] = {
    "<A> was playing {with a ball|a game} in the <place> and broke a <thing>.",
    "It was the <thing> of <B>, and <A> was {afraid|scared} to tell <him2>.",
    "All night <A> could not sleep.",
    "In the morning <he> went to <B> and told the truth.",
    "\"I am sorry, I broke your <thing>,\" said <A>.",
    "<B> was {quiet|sad} for a moment, but then <he2> smiled.",
    "\"Thank you for telling me, we can {mend|fix} it together,\" said <B>.",
    "They worked all day, and the <thing> {looked like new|was as good as before}."};

constexpr std::string_view kPlot8[] = {
    "On <day> there was a race from the <place> to the <out>.",
    "<A> wanted to win, and <he> ran as fast as <he> could.",
    "{Halfway|Near the end}, <he> saw that <B> had fallen {down|over a stone}.",
    "<A> could win now, but <he> stopped and {helped <B> to stand up|gave <B> a hand}.",
    "\"{Go on|Run}, or you will lose!\" said <B>.",
    "\"A friend is {better|more} than a prize,\" said <A>.",
    "They crossed the line together, and everybody {clapped|cheered}.",
    "Both of them got a <color> <thing> {as a prize|for being kind}."};

constexpr std::string_view kPlot9[] = {
    "<A> had a small seed and planted it {in the garden|behind the house}.",
    "Every {morning|evening} <he> gave it some water and {waited|sang to it}.",
    "\"{Nothing will grow here|It takes so long},\" said <B>.",
    "\"Good things need time,\" said <A>.",
    "{After many days|One morning in <season>}, a green leaf came out of the ground.",
    "The leaf became a tree, and the tree was full of <fruit>.",
    "<A> gave the first of the <fruit> to <B>.",
    "<B> laughed and said, \"You were right, it was good to wait.\""};

constexpr std::string_view kPlot10[] = {
    "One {night|evening}, <A> heard a strange noise in the <place>.",
    "\"{Is it a ghost|Who is there}?\" asked <B>, who was {afraid|scared}.",
    "<A> took a lamp and went {slowly|quietly} to the door.",
    "Behind the door sat a {small|tiny} <animal> and looked at them.",
    "It was {cold|hungry} and wanted to come in.",
    "<A> and <B> laughed, because they had been afraid of a little <animal>.",
    "They gave it some <food> and a {warm|soft} blanket.",
    "The <animal> slept in the <place> {all night|until the morning}."};

constexpr std::string_view kPlot11[] = {
    "A new <child2> named <B> came to the school on <day>.",
    "<B> sat alone, because <he2> did not know {anyone|anybody}.",
    "<A> went to <him2> and said, \"{Hello|Good morning}, do you want to play with me?\"",
    "<B> {smiled|nodded} and showed <A> a <color> <thing>.",
    "They played {with it|together} until the bell rang.",
    "After school <A> {showed <B> the <out>|took <B> to the <out>}.",
    "\"I am not alone {now|anymore},\" said <B>, \"because I have a friend.\""};

constexpr List kPlotTable[] = {kPlot0, kPlot1, kPlot2, kPlot3, kPlot4,  kPlot5,
                               kPlot6, kPlot7, kPlot8, kPlot9, kPlot10, kPlot11};

}  // namespace

const List kShe = kSheTable;
const List kHe = kHeTable;
const List kAdjectives = kAdjectiveTable;
const List kAnimals = kAnimalTable;
const List kPlaceKinds = kPlaceKindTable;
const List kPlaces = kPlaceTable;
const List kThings = kThingTable;
const List kColors = kColorTable;
const List kFruits = kFruitTable;
const List kFoods = kFoodTable;
const List kSeasons = kSeasonTable;
const List kDays = kDayTable;
const List kOutdoors = kOutdoorTable;
const List kOpenings = kOpeningTable;
const List kEndings = kEndingTable;
const List kNotes = kNoteTable;
const std::span<const List> kPlots = kPlotTable;

}  // namespace spark::story
