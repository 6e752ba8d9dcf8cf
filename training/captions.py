"""Words for a scene, as people type them: names, keywords, styles, colours, backgrounds, two objects."""

import random
from collections import Counter

from pictures import COLOUR_NAMES, Pictures, Scene
from recipe import STYLES


class Captions:
    def __init__(self, pictures: Pictures):
        self.pictures = pictures
        concepts = {a["code"]: a for a in pictures.about}
        self.shared = Counter(word for a in concepts.values() for word in set(a["keywords"]))
        # A keyword that many concepts share ("face", "animal") says little: it is drawn rarely.
        self.weights = {code: [1 / self.shared[w] ** 2 for w in a["keywords"]] for code, a in concepts.items()}

    def phrase(self, picture: int, rng: random.Random, short=False) -> str:
        about = self.pictures.about[picture]
        kind = rng.random()
        if short or kind < 0.5 or not about["keywords"]:
            return about["name"]
        keyword = rng.choices(about["keywords"], self.weights[about["code"]])[0]
        if kind < 0.8:
            return keyword
        return f"{about['name']}, {keyword}" if kind < 0.9 else f"{keyword} {about['name']}"

    def caption(self, scene: Scene, rng: random.Random) -> str:
        """One of many ways to ask for the scene; the empty prompt for one in ten, which guidance needs."""
        if rng.random() < 0.1:
            return ""
        style = rng.choice(STYLES[self.pictures.about[scene.first]["style"]])
        say_style = rng.random()
        first = self.phrase(scene.first, rng, short=scene.second is not None and rng.random() < 0.7)
        if scene.dye:
            first = f"{scene.dye} {first}"
        if scene.second is None:
            text = first
            if say_style < 0.3:
                text = f"{style} {text}"
            if rng.random() < 0.35:
                text = with_article(text)
            if rng.random() < 0.12:
                text += rng.choice([" emoji", " sticker"])
        else:
            second = self.phrase(scene.second, rng, short=rng.random() < 0.7)
            joint = {"beside": ["and", "and", "next to"], "above": ["on top of", "above", "on"]}[scene.layout]
            articles = with_article if rng.random() < 0.7 else str
            text = f"{articles(first)} {rng.choice(joint)} {articles(second)}"
            if say_style < 0.3:
                text = f"{style} {text}"
        if 0.3 <= say_style < 0.42:
            text += f", {style} style"
        if scene.background != "white" or rng.random() < 0.15:
            text += rng.choices([f" on a {scene.background} background", f", {scene.background} background"], [3, 1])[0]
        return text


def with_article(text: str) -> str:
    return ("an " if text[0] in "aeiou" else "a ") + text


def corpus(pictures: Pictures) -> list[str]:
    """What the tokenizer learns its merges from."""
    lines = [a["name"] for a in pictures.about] + [w for a in pictures.about for w in a["keywords"]]
    words = [w for words in STYLES.values() for w in words] + COLOUR_NAMES
    frame = [f"a {w} emoji sticker and an {w} one on top of, next to, above a {w} background, {w} style" for w in words]
    return [line.lower() for line in lines] + frame * 50
