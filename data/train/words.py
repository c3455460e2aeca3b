"""Word lists of the generated text. Every word becomes one token with a leading space."""

SHE: tuple[str, ...] = (
    "Mia", "Anna", "Lily", "Emma", "Nora", "Rosa", "Ella", "Clara", "Ida", "Ruth", "Tara", "Vera")
HE: tuple[str, ...] = (
    "Tom", "Ben", "Sam", "Max", "Leo", "Finn", "Oscar", "Paul", "Jack", "Hugo", "Noah", "Carl")

# Keys of facts: "the amber falcon".
ADJECTIVES: tuple[str, ...] = (
    "amber", "silver", "golden", "crimson", "scarlet", "purple", "violet", "orange", "copper",
    "ivory", "jade", "coral", "bronze", "white", "black", "green", "blue", "red", "grey", "brown",
    "yellow", "pink", "quiet", "gentle", "brave", "clever", "swift", "lazy", "proud", "shy",
    "wild", "hungry", "sleepy", "noble", "lonely", "merry", "tiny", "giant", "ancient", "young",
    "striped", "spotted", "frozen", "hidden", "humble", "royal", "rapid", "misty")
ANIMALS: tuple[str, ...] = (
    "falcon", "eagle", "owl", "raven", "swan", "heron", "robin", "sparrow", "otter", "beaver",
    "badger", "fox", "wolf", "bear", "deer", "rabbit", "hare", "squirrel", "hedgehog", "mouse",
    "turtle", "frog", "lizard", "snake", "salmon", "whale", "dolphin", "seal", "crab", "spider",
    "beetle", "moth", "tiger", "lion", "panther", "camel", "zebra", "monkey", "panda", "goose",
    "donkey", "pony", "goat", "sheep", "dragon", "parrot", "penguin", "walrus")

# Where somebody lives or keeps something: "the old mill".
PLACE_KINDS: tuple[str, ...] = (
    "old", "big", "little", "dark", "stone", "wooden", "round", "empty", "warm", "sunny")
PLACES: tuple[str, ...] = (
    "mill", "barn", "tower", "cave", "castle", "cabin", "library", "kitchen", "garden", "attic",
    "school", "harbor", "bakery", "shed", "cellar", "temple", "market", "station", "cottage",
    "workshop")

THINGS: tuple[str, ...] = (
    "ball", "kite", "hat", "lamp", "key", "map", "boat", "drum", "bell", "coin", "book", "cup",
    "ring", "scarf", "basket", "mirror", "clock", "violin", "blanket", "candle")
COLORS: tuple[str, ...] = ("red", "blue", "green", "yellow", "white", "black", "orange", "pink")
FRUITS: tuple[str, ...] = ("apples", "pears", "plums", "berries", "cherries", "grapes")
FOODS: tuple[str, ...] = ("soup", "bread", "cake", "pie", "cheese", "honey")
SEASONS: tuple[str, ...] = ("spring", "summer", "autumn", "winter")
DAYS: tuple[str, ...] = (
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
OUTDOORS: tuple[str, ...] = (
    "forest", "river", "lake", "hill", "meadow", "park", "beach", "village", "bridge", "valley")
