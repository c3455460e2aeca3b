"""Story and note templates.

`<name>` is replaced by a variable chosen once a story, so a story stays consistent; `{a|b}` picks
one alternative. Each plot is a list of sentences with a beginning, a problem and an end.
"""

OPENINGS: tuple[str, ...] = (
    "Once upon a time, there was a {little|kind|happy|young} <child> named <A>.",
    "Once upon a time, a {little|kind|happy|young} <child> named <A> lived near the <out>.",
    "Once upon a time, there lived a {little|kind|happy|young} <child> named <A>.",
    "One {morning|evening|day} in <season>, <A> went for a walk near the <out>.",
    "<A> was a {little|kind|happy|young} <child> who lived near the <out>.",
)

PLOTS: tuple[tuple[str, ...], ...] = (
    (  # a lost thing
        "<A> had a <color> <thing> and loved it {very much|more than anything}.",
        "One {day|morning}, the <color> <thing> was gone.",
        "<A> {looked|searched} in the <place>, but it was not there.",
        "<A> felt {very sad|sad and tired} and began to cry.",
        "Then <his> friend <B> came and asked, \"Why are you crying?\"",
        "\"I lost my <color> <thing>,\" said <A>.",
        "\"{Do not worry|Do not cry}, I will help you,\" said <B>.",
        "They looked {together|everywhere} and found the <thing> {under a tree|behind the door|near the <out>}.",
        "<A> was so happy that <he> {hugged <B>|laughed and danced}.",
    ),
    (  # a hurt animal
        "One {day|morning}, <A> saw a {small|little} <animal> near the <out>.",
        "The <animal> could not walk, because its leg was hurt.",
        "\"{Poor <animal>|Poor little one}, I will help you,\" said <A>.",
        "<A> carried it home {in a basket|in <his> arms} and gave it {some water|some <food>}.",
        "Every day the <animal> grew {stronger|a little stronger}.",
        "After a week it could {run and jump|walk} again.",
        "<A> took the <animal> back to the <out> and said goodbye.",
        "The <animal> never forgot how kind <A> was.",
    ),
    (  # sharing food
        "<A> {picked|gathered} a basket of <fruit> {in the garden|near the <out>}.",
        "On the way home <he> met <B>, who was very hungry.",
        "<A> wanted to keep all the <fruit>, but <he> saw that <B> was sad.",
        "\"{Please take some|You can have half of them},\" said <A>.",
        "<B> smiled and said, \"Thank you, you are a good friend.\"",
        "They sat {under a big tree|on the grass} and ate the <fruit> together.",
        "The <fruit> tasted {better|sweeter} because they shared them.",
    ),
    (  # a storm
        "One {day|evening}, <A> and <B> were playing near the <out>.",
        "Suddenly the sky grew dark and {it began to rain|a big storm came}.",
        "<B> was {afraid|scared}, but <A> took <his2> hand.",
        "\"{Come with me|Follow me}, we will be safe in the <place>,\" said <A>.",
        "They ran to the <place> and waited {for a long time|until the rain stopped}.",
        "When the sun came out, they saw a {beautiful|bright} rainbow.",
        "\"You were very brave,\" said <B>.",
        "Then they walked home, {wet but happy|hand in hand}.",
    ),
    (  # learning something
        "<A> wanted to learn how to {swim|sing|paint|bake bread|ride a horse}.",
        "At first it was very hard, and <he> {wanted to stop|was not good at it}.",
        "\"{Try again|Do not give up},\" said <B>, \"I will show you how.\"",
        "<A> {tried again every day|worked hard every morning}.",
        "{Slowly|Day by day} <he> became better and better.",
        "On <day>, everybody in the village came to watch.",
        "<A> did it very well, and everybody {clapped|cheered}.",
        "<A> was proud and thanked <B> for the help.",
    ),
    (  # a secret map
        "One {day|evening}, <A> found an old map in the <place>.",
        "The map showed a way to {a secret|a hidden} place near the <out>.",
        "<A> ran to <B> and said, \"Let us go and find it!\"",
        "They walked over the hill and {crossed the river|along the river}.",
        "There they found a small box, and in the box was a <color> <thing>.",
        "\"Who {left|put} it here?\" asked <B>.",
        "A {wise|kind} old <animal> came and said, \"It was mine, but now it is yours.\"",
        "They thanked the <animal> and {took the <thing> home|promised to come back}.",
    ),
    (  # a present
        "It was the birthday of <B>, and <A> wanted to give <him2> a present.",
        "<A> had {no money|only one coin}, so <he> {was sad|had to think}.",
        "Then <he> had {a good|an} idea.",
        "<A> made a <color> <thing> {with <his> own hands|out of wood and paper}.",
        "In the evening <he> {brought|gave} it to <B>.",
        "<B> opened the box and smiled.",
        "\"This is the best present of all,\" said <B>, \"because you made it for me.\"",
        "They ate {cake|<food>} and {sang songs|told stories} until it was late.",
    ),
    (  # a mistake told
        "<A> was playing {with a ball|a game} in the <place> and broke a <thing>.",
        "It was the <thing> of <B>, and <A> was {afraid|scared} to tell <him2>.",
        "All night <A> could not sleep.",
        "In the morning <he> went to <B> and told the truth.",
        "\"I am sorry, I broke your <thing>,\" said <A>.",
        "<B> was {quiet|sad} for a moment, but then <he2> smiled.",
        "\"Thank you for telling me, we can {mend|fix} it together,\" said <B>.",
        "They worked all day, and the <thing> {looked like new|was as good as before}.",
    ),
)

ENDINGS: tuple[str, ...] = (
    "From that day on, {they|<A> and <B>} were {best|good} friends.",
    "That night <A> slept well and {had sweet dreams|dreamed of the <out>}.",
    "And they all lived happily ever after.",
    "<A> {smiled|went home} and was happy.",
    "<A> never forgot that day.",
)

NOTES: tuple[str, ...] = (
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
    "The <color> <thing> of <A> is {new|broken|very old}.",
)
