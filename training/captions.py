"""Words for a scene, as people type them: names, keywords, styles, colours, counts, backgrounds, two objects, faces, hats."""

import random
import re
from collections import Counter

from pictures import COLOUR_NAMES, Pictures, Scene
from recipe import STYLES

# Words that put a smiley's expression on anything ("a sad pizza"); each is a keyword of some smiley.
MOODS = """happy sad angry crying laughing sleepy sleeping tired scared surprised shocked worried confused smiling grinning
winking kissing silly crazy dizzy sick evil mad bored annoyed grumpy embarrassed shy nervous disappointed excited drooling
nerdy joyful cheerful upset furious unhappy frowning screaming""".split()
HAT_WORDS = {"woman’s hat": ["hat"], "top hat": ["hat"], "billed cap": ["cap", "baseball cap"], "ribbon": ["bow"]}
HAT_WORDS |= {"rescue worker’s helmet": ["helmet"], "graduation cap": ["academic cap"], "crown": ["golden crown"]}
# Words that people type around what they want, and that change nothing in a drawing.
FILLERS = """cute|little|tiny|small|big|huge|pretty|beautiful|lovely|funny|nice|simple|fancy|adorable|fluffy|shiny|colorful|minimal|
clean|modern|vintage|magical|fantasy|cartoon|detailed|high quality|amazing|cozy|epic|random|good|new|my|the|one|some|a single|
a picture of|a drawing of|an illustration of|an image of|an icon of|a logo of|draw|draw me|please draw|make|make me|i want|
i need|give me|show me|generate|create|can you draw|picture of|drawing of|portrait of|close-up of""".replace("\n", "").split("|")
CHATTER = """i we you he she they it me us them this that these those is are was be been do does did have has had will would can
could should may might must not no yes ok hey hello hi so well just only really very much more most also too maybe perhaps how
what which who when where why if then than but or because while about after again all any before both each ever every few for
from get go here into like look lets let long many need never next now of off once our out over own put same say see seems set
should since still such take tell thanks thank there thing think through to try under until up use want way went with without
work your yours their his her its kind sort type stuff something anything thinking feeling going using having doing saying
looking trying chat server channel team room post reply today tonight tomorrow week day time bit lot quick quickly""".split()
ENDINGS = "please|for my server|for our team|with clean lines|high quality|very cute|in the middle|cartoon|vector art|art|drawing|picture".split("|")
# What the picture sets' own words lack.
ALSO = {
    "cat": ["kitten", "kitty", "tomcat"], "dog": ["puppy", "doggy", "doggo", "pup", "hound"], "rabbit": ["bunny", "hare"],
    "hamburger": ["cheeseburger", "burger"], "automobile": ["car", "red car"], "airplane": ["plane", "jet", "aeroplane"],
    "deciduous tree": ["tree", "oak"], "rocket": ["spaceship", "space rocket"], "flying saucer": ["ufo", "spacecraft"],
    "red heart": ["heart", "love heart"], "house": ["home", "cottage"], "bear": ["grizzly"], "horse": ["stallion", "foal"],
    "mobile phone": ["smartphone", "phone", "cell phone"], "laptop": ["notebook computer", "macbook"], "robot": ["android", "droid"],
    "ghost": ["spook", "phantom", "spectre"], "dragon": ["wyvern", "drake"], "unicorn": ["magic horse"], "skull": ["cranium"],
    "hot beverage": ["coffee", "coffee cup", "cup of coffee", "cappuccino", "latte"], "beer mug": ["beer", "pint"],
    "wine glass": ["wine", "red wine"], "birthday cake": ["cake", "birthday cake with candles"], "doughnut": ["donut"],
    "soccer ball": ["football", "soccer"], "musical note": ["note", "melody"], "guitar": ["electric guitar", "acoustic guitar"],
    "sun": ["sunshine"], "crescent moon": ["moon"], "snowman": ["snow man"], "wrapped gift": ["present", "gift"],
    "jack-o-lantern": ["halloween pumpkin", "pumpkin", "carved pumpkin"], "Christmas tree": ["xmas tree", "christmas tree"],
    "T-Rex": ["dinosaur", "tyrannosaurus", "dino"], "baby chick": ["chick", "little bird"], "bird": ["birdie", "songbird"],
    "tropical fish": ["clownfish"], "fish": ["goldfish"], "honeybee": ["bee", "bumblebee"], "lady beetle": ["ladybug", "ladybird"],
    "locomotive": ["steam train", "train"], "bicycle": ["bike"], "motorcycle": ["motorbike"], "sailboat": ["boat", "yacht"],
    "ship": ["cruise ship"], "books": ["pile of books"], "closed book": ["book"], "crossed swords": ["swords", "battle"],
    "dagger": ["sword", "knife"], "magic wand": ["wand"], "mage": ["wizard", "witch", "sorcerer"], "crystal ball": ["orb"],
    "camera": ["photo camera"], "light bulb": ["lamp", "idea"], "money bag": ["sack of money"], "gem stone": ["diamond", "gem"],
    "cheese wedge": ["cheese"], "french fries": ["fries", "chips"], "shortcake": ["slice of cake"], "soft ice cream": ["ice cream cone"],
    "tangerine": ["orange fruit", "mandarin"], "red apple": ["apple"], "grapes": ["bunch of grapes"], "eggplant": ["aubergine"],
    "ear of corn": ["corn", "maize"], "steaming bowl": ["ramen", "noodles", "soup"], "cooked rice": ["bowl of rice"],
    "person in lotus position": ["meditation", "yoga"], "water wave": ["wave", "tsunami"], "fire": ["flame"],
    "high voltage": ["lightning", "thunderbolt"], "umbrella": ["brolly"], "cactus": ["succulent"], "sunflower": ["yellow flower"],
    "rose": ["red rose"], "tulip": ["pink flower"], "mushroom": ["toadstool"], "frog": ["toad"], "monkey": ["chimp", "ape"],
    "pile of poo": ["poop", "poo"], "alien": ["extraterrestrial", "martian"], "wolf": ["werewolf"], "eagle": ["hawk", "falcon"],
}  # fmt: skip
COUNTS = {"two": ["two", "2", "a pair of", "two"], "three": ["three", "3"], "four": ["four", "4"]}


class Captions:
    def __init__(self, pictures: Pictures):
        self.pictures = pictures
        concepts = {a["code"]: a for a in pictures.about}
        self.shared = Counter(word for a in concepts.values() for word in set(a["keywords"]))
        self.words = {code: [*a["keywords"], *ALSO.get(a["name"], [])] for code, a in concepts.items()}
        # A keyword that many concepts share ("face", "animal") says little: it is drawn rarely.
        seldom = {code: [self.shared[w] ** -0.75 for w in a["keywords"]] for code, a in concepts.items()}
        self.weights = {code: [*seldom[code], *[4.0 for _ in ALSO.get(a["name"], [])]] for code, a in concepts.items()}
        self.moods = {code: [m for m in MOODS if m in a["keywords"] or m in a["name"].split()] for code, a in concepts.items()}

    def phrase(self, picture: int, rng: random.Random, short=False) -> str:
        about = self.pictures.about[picture]
        kind = rng.random()
        if short or kind < 0.4 or not self.words[about["code"]]:
            return plain(about["name"])
        keyword = rng.choices(self.words[about["code"]], self.weights[about["code"]])[0]
        if kind < 0.8:
            return keyword
        return f"{plain(about['name'])}, {keyword}" if kind < 0.9 else f"{keyword} {plain(about['name'])}"

    def caption(self, scene: Scene, rng: random.Random) -> str:
        """One of many ways to ask for the scene."""
        style = rng.choice(STYLES[self.pictures.about[scene.first]["style"]])
        say_style = rng.random()
        first = self.phrase(scene.first, rng, short=scene.second is not None and rng.random() < 0.6)
        if scene.dye:
            first = f"{scene.dye} {first}"
        text = getattr(self, f"_{scene.layout}")(scene, first, rng)
        if rng.random() < 0.25:
            text = f"{rng.choice(FILLERS)} {text}"
        if rng.random() < 0.2:
            text = chatter(text, rng)
        if say_style < 0.25:
            text = re.sub(r"^(an? )?", lambda article: f"{'a ' if article[0] else ''}{style} ", text)
        elif say_style < 0.4:
            text += f", {style} style"
        if rng.random() < 0.12:
            text += rng.choice([" emoji", " sticker", " icon"])
        if rng.random() < 0.1:
            text += rng.choice([" ", ", "]) + rng.choice(ENDINGS)
        if scene.background:
            text += rng.choices([f" on a {scene.background} background", f", {scene.background} background"], [3, 1])[0]
        return text

    def _single(self, scene: Scene, first: str, rng: random.Random) -> str:
        if rng.random() < 0.06:
            return plural(first)
        return with_article(first) if rng.random() < 0.4 else first

    def _beside(self, scene: Scene, first: str, rng: random.Random) -> str:
        return self._joined(scene, first, ["and", "and", "and", "next to", "beside", "with", "holding", "vs"], rng)

    def _above(self, scene: Scene, first: str, rng: random.Random) -> str:
        return self._joined(scene, first, ["on top of", "above", "on", "over", "riding", "sitting on", "standing on"], rng)

    def _joined(self, scene: Scene, first: str, words: list[str], rng: random.Random) -> str:
        articles = with_article if rng.random() < 0.7 else str
        second = self.phrase(scene.second, rng, short=rng.random() < 0.6)
        return f"{articles(first)} {rng.choice(words)} {articles(second)}"

    def _counted(self, scene: Scene, first: str, rng: random.Random) -> str:
        return f"{rng.choice(COUNTS[scene.layout])} {plural(first) if rng.random() < 0.9 else first}"

    _two = _three = _four = _counted

    def _face(self, scene: Scene, first: str, rng: random.Random) -> str:
        smiley = self.pictures.about[scene.second]
        moods = self.moods[smiley["code"]]
        if moods and rng.random() < 0.6:
            mood = rng.choice(moods)
            return rng.choice([with_article(f"{mood} {first}"), f"{mood} {first}", f"{with_article(first)} with {with_article(mood)} face"])
        words = self.phrase(scene.second, rng, short=rng.random() < 0.7)
        return f"{with_article(first)} {rng.choice(['with the face of', 'with', 'with a face like'])} {with_article(words)}"

    def _hat(self, scene: Scene, first: str, rng: random.Random) -> str:
        name = self.pictures.about[scene.second]["name"]
        return self._wearing(first, with_article(rng.choice([plain(name), *HAT_WORDS.get(name, [])])), rng)

    def _glasses(self, scene: Scene, first: str, rng: random.Random) -> str:
        name = self.pictures.about[scene.second]["name"]
        if name == "sunglasses" and rng.random() < 0.3:
            return with_article(f"cool {first}")
        return self._wearing(first, name, rng)

    def _wearing(self, first: str, what: str, rng: random.Random) -> str:
        return f"{with_article(first)} {rng.choice(['wearing', 'wearing', 'with', 'in'])} {what}"


def chatter(text: str, rng: random.Random) -> str:
    """A few words before and behind that have nothing to do with the picture."""
    some = lambda: " ".join(rng.choices(CHATTER, k=rng.choice((0, 1, 1, 2, 3))))  # noqa: E731
    return re.sub(r" +", " ", f"{some()}{rng.choice(('', '', ',', ':'))} {text}{rng.choice(('', '', ',', '!', '?', '.'))} {some()}").strip()


def plain(name: str) -> str:
    return name.replace("’", "'")


def with_article(text: str) -> str:
    return ("an " if text[0] in "aeiou" else "a ") + text


def plural(text: str) -> str:
    if re.search(r"[^aeiou]y$", text):
        return text[:-1] + "ies"
    return text + ("es" if re.search(r"(s|x|z|ch|sh)$", text) else "s")


def corpus(pictures: Pictures) -> list[str]:
    """What the tokenizer learns its merges from."""
    lines = [a["name"] for a in pictures.about] + [w for a in pictures.about for w in a["keywords"]]
    words = [w for words in STYLES.values() for w in words] + COLOUR_NAMES
    frame = [f"a {w} emoji sticker icon and an {w} one next to, above, wearing, riding a {w} background, {w} style" for w in words]
    frame += [f"a {mood} one with the face of, on top of, in two three four {mood} ones" for mood in MOODS]
    frame += [word for words in ALSO.values() for word in words] * 3 + [*FILLERS, *ENDINGS] * 20
    return [plain(line).lower() for line in lines] + [plain(plural(a["name"])).lower() for a in pictures.about] + frame * 50
