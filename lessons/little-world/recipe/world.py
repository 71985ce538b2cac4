"""The little world: scenes, the captions that are true of them, and how they are drawn.

A scene is sampled first (`sample_scene`: things, colours, sizes, positions, place, manner, caption) and drawn from
that description (`render`), so that everything a caption says is known exactly. `masks` gives the true region of
each thing, for measuring attention.

Every word of a caption knows what it says (`Word.role`), and `without` gives the scene that is true when one word is
missing: "a photograph of a riding a horse" is a horse that nobody rides, "a red on the grass" is grass. The word may
be missing in the caption, or be there and not be listened to (`Scene.silenced`). Some pairs of things are never in
one picture of the training (`NEVER_TOGETHER`), so that composing can be told from remembering.

    python world.py --count 40 --out world.png      # a sheet of scenes, captions on standard output
    python world.py --riding --out riding.png       # every rider on every mount
"""

import argparse
import math
import random
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 128  # side of a picture in pixels
OVERSAMPLING = 3  # scenes are drawn this much larger, then averaged down
CANVAS = SIZE * OVERSAMPLING

COLOURS = {
    "red": (214, 40, 40),
    "orange": (244, 132, 40),
    "yellow": (250, 212, 50),
    "green": (50, 160, 70),
    "blue": (40, 90, 210),
    "purple": (130, 60, 180),
    "pink": (245, 140, 180),
    "white": (245, 245, 245),
    "black": (30, 30, 34),
    "brown": (130, 82, 45),
}
# A repeated word is said more often. Colours and things without an entry have their own name only.
COLOUR_WORDS = {
    "red": ["red", "red", "crimson", "scarlet"],
    "yellow": ["yellow", "yellow", "golden"],
    "green": ["green", "green", "emerald"],
    "blue": ["blue", "blue", "azure"],
    "purple": ["purple", "purple", "violet"],
}
THING_WORDS = {
    "circle": ["circle", "circle", "ball", "disc"],
    "man": ["man", "gentleman", "guy"],
    "cat": ["cat", "cat", "kitten"],
    "boat": ["boat", "boat", "ship"],
    "house": ["house", "house", "cottage"],
}
SIZE_WORDS = {
    "small": ["small", "tiny", "little"],
    "large": ["large", "big", "huge"],
}
# Of what stands at a place, `*` marks the word that names it.
PLACE_WORDS = {
    "plain": [],
    "night": ["at *night"],
    "sunset": ["at *sunset"],
    "snow": ["in the *snow"],
    "grass": ["on the *grass", "in a *meadow"],
    "beach": ["on the *beach"],
    "space": ["in *space"],
    "sea": ["at *sea", "on the *sea"],
}
OPENINGS = ["", "", "", "a photograph of ", "a photo of ", "a picture of ", "a drawing of ", "a painting of "]
PAINTERS = ["monet", "manet", "degas"]
STYLES = PAINTERS + ["dream"]
RELATIONS = {
    "left": ["to the *left of"],
    "right": ["to the *right of"],
    "above": ["*above", "*above", "*over"],
    "below": ["*below", "*below", "*under"],
    "and": ["and"],
}
# Who rides, and on what; a repeated name comes more often.
RIDERS = ["man", "man", "astronaut", "astronaut", "cat", "cat", "fish", "star", "heart"]
MOUNTS = ["horse", "horse", "fish", "boat", "rocket", "balloon", "mushroom"]
# Pairs that the training never shows in one picture, in whatever kind of scene.
NEVER_TOGETHER = {
    frozenset(pair)
    for pair in [
        ("man", "balloon"),  # the first six are riders and mounts, each of them once
        ("astronaut", "fish"),
        ("cat", "rocket"),
        ("fish", "mushroom"),
        ("star", "horse"),
        ("heart", "boat"),
        ("circle", "tree"),
        ("square", "flower"),
        ("triangle", "moon"),
        ("sun", "house"),
        ("apple", "astronaut"),
        ("mushroom", "rocket"),
    ]
}
# What lies behind things: the colours of a place's bands, from top to bottom. A plain place has its background's.
GROUNDS = {
    "night": [(25, 30, 75)],
    "sunset": [(170, 100, 100), (72, 49, 59)],
    "snow": [(200, 218, 236), (239, 244, 250)],
    "grass": [(160, 209, 248), (90, 170, 70)],
    "beach": [(172, 220, 252), (65, 165, 200), (236, 209, 145)],
    "space": [(8, 8, 20)],
    "sea": [(182, 220, 246), (29, 86, 158)],
}
PLAIN = (225, 228, 232)  # of a plain background without a colour
MELTS = 60  # in RGB: a colour that is no further than this from all that lies behind a thing is not given to it
# The colour a thing has when the caption names none.
USUAL_COLOURS = {
    "circle": "red",
    "square": "blue",
    "triangle": "green",
    "star": "yellow",
    "heart": "red",
    "sun": "yellow",
    "moon": "yellow",
    "apple": "red",
    "tree": "green",
    "house": "red",
    "flower": "pink",
    "fish": "orange",
    "cat": "orange",
    "boat": "brown",
    "balloon": "red",
    "mushroom": "red",
    "man": "blue",
    "rocket": "red",
    "horse": "brown",
    "astronaut": "white",
}


@dataclass
class Thing:
    """One thing of a scene; `x`, `y` and `radius` are fractions of the picture's side."""

    name: str
    word: str
    colour: str
    colour_word: str  # empty where the caption leaves the colour out
    size: str  # "small", "" or "large"
    x: float
    y: float
    radius: float
    rgb: tuple
    pose: str = ""  # "riding", "ridden" or empty


@dataclass
class Word:
    """A word of a caption.

    `role` is what it says: "thing", "colour" (both with the thing's number: "thing 0"), "size", "position",
    "relation", "riding", "place", "background" (the colour of a plain one), "style"; empty for words that say
    nothing alone. `part` is the number of the thing whose phrase it belongs to, or -1.
    """

    text: str
    role: str = ""
    part: int = -1


@dataclass
class Scene:
    """All that is drawn and all that is said.

    `kind` is what is drawn: "none", "one", "two" or "riding" (then the rider is the first thing).
    """

    kind: str
    things: list
    place: str
    background: str  # the colour of a plain background, or empty
    position: str  # one thing: "", "left" or "right"
    relation: str  # two things: a key of RELATIONS, else empty
    style: str  # a key of STYLES, or empty
    seed: int  # of the details that no caption mentions: stars, waves, brush strokes
    words: list  # of the caption
    missing: str = ""  # the role of the word that the picture does without
    silenced: list = field(default_factory=list)  # numbers of the words that are in the caption and not listened to

    @property
    def caption(self):
        return " ".join(word.text for word in self.words).replace(" ,", ",")

    def as_dict(self):
        return asdict(self) | {"caption": self.caption}


@dataclass(frozen=True)
class Mixture:
    """How often the kinds of scene come. The rest after `one` and `riding` are scenes of two things.

    `missing` is the share of scenes that do without a word. `pairs` says which pairs of things may come: those of the
    training, only those that the training never shows ("unseen"), or "all".
    """

    one: float = 0.36
    riding: float = 0.20
    styled: float = 0.12
    missing: float = 0.26
    pairs: str = "training"

    def allows(self, one, other):
        unseen = frozenset((one, other)) in NEVER_TOGETHER
        return self.pairs == "all" or unseen == (self.pairs == "unseen")


def sample_scene(seed, mixture=Mixture()):
    """The scene of a seed."""
    r = random.Random(seed)
    place = "plain" if r.random() < 0.25 else r.choice(list(PLACE_WORDS))
    background = r.choice(list(COLOURS)) if place == "plain" and r.random() < 0.7 else ""
    style = r.choice(STYLES) if r.random() < mixture.styled else ""
    draw = r.random()
    colours = visible_colours(place, background)
    position = relation = ""
    if draw < mixture.riding:
        kind, (things, words) = "riding", _riding(r, colours, mixture)
    elif draw < mixture.riding + mixture.one:
        kind, (things, position, words) = "one", _one(r, colours)
    else:
        kind, (things, relation, words) = "two", _two(r, colours, mixture)
    scene = Scene(kind, things, place, background, position, relation, style, r.getrandbits(32), [])
    scene = replace(scene, words=_caption(r, scene, words))
    if r.random() < mixture.missing:
        scene = _with_a_word_missing(r, scene)
    return scene


def visible_colours(place, background):
    """The colours that stand out from a place: no black cat at night, no white heart in the snow."""
    grounds = GROUNDS.get(place) or [_light(COLOURS[background], 0.55) if background else PLAIN]
    return [name for name, rgb in COLOURS.items() if any(math.dist(rgb, ground) > MELTS for ground in grounds)]


def _thing(r, colours, name, size, x, y, radius, pose=""):
    named = r.random() < 0.72 or USUAL_COLOURS[name] not in colours
    colour = r.choice(colours) if named else USUAL_COLOURS[name]
    word = r.choice(COLOUR_WORDS.get(colour, [colour])) if named else ""
    said = r.choice(THING_WORDS.get(name, [name]))
    return Thing(name, said, colour, word, size, x, y, radius, _jitter(COLOURS[colour], r), pose)


def _phrase(thing, number, size_word=""):
    """A thing's words, with their article."""
    words = [Word(size_word, "size", number)] if size_word else []
    words += [Word(thing.colour_word, f"colour {number}", number)] if thing.colour_word else []
    words += [Word(thing.word, f"thing {number}", number)]
    return [Word("an" if words[0].text[0] in "aeiou" else "a", part=number), *words]


def _words(text, role):
    """The words of a text, `role` for the one with an asterisk."""
    return [Word(word[1:], role) if word[0] == "*" else Word(word) for word in text.split()]


def _one(r, colours):
    size = r.choice(["small", "", "", "large"])
    radius = {"small": r.uniform(0.15, 0.18), "": r.uniform(0.21, 0.28), "large": r.uniform(0.34, 0.40)}[size]
    position = r.choice(["", "", "left", "right"]) if size != "large" else ""
    x = {"": r.uniform(0.4, 0.6), "left": r.uniform(0.2, 0.3), "right": r.uniform(0.7, 0.8)}[position]
    thing = _thing(r, colours, r.choice(list(DRAWINGS)), size, x, r.uniform(0.42, 0.6), radius)
    words = _phrase(thing, 0, r.choice(SIZE_WORDS[size]) if size else "")
    return [thing], position, words + _words(f"on the *{position}" if position else "", "position")


def _layout(r, relation):
    """Where two things are, and how large: (x, y, radius) of each."""
    layout = relation if relation != "and" else r.choice(["left", "right"])
    near, far = r.uniform(0.22, 0.3), r.uniform(0.7, 0.78)
    middles = r.uniform(0.44, 0.56), r.uniform(0.44, 0.56)
    first, second = (near, far) if layout in ("left", "above") else (far, near)
    places = [(first, middles[0]), (second, middles[1])]
    if layout in ("above", "below"):
        places = [(middle, along) for along, middle in places]
    return [(x, y, r.uniform(0.18, 0.23)) for x, y in places]


def _two(r, colours, mixture):
    relation = r.choice(list(RELATIONS))
    while not mixture.allows(*(names := r.choices(list(DRAWINGS), k=2))):
        pass
    things = [_thing(r, colours, name, "", *place) for name, place in zip(names, _layout(r, relation))]
    words = _phrase(things[0], 0) + _words(r.choice(RELATIONS[relation]), "relation") + _phrase(things[1], 1)
    return things, relation, words


def _riding(r, colours, mixture):
    """A rider, and what it rides: together they fill most of the picture's height."""
    while (names := (r.choice(RIDERS), r.choice(MOUNTS)))[0] == names[1] or not mixture.allows(*names):
        pass
    (x_seat, y_seat, share), (sits_at, top) = SEATS[names[1]], SITTING[names[0]]
    highest = min(y_seat + share * (top - sits_at), MOUNT_TOPS.get(names[1], 0))  # in units of the mount's radius
    radius = min(r.uniform(0.74, 0.84) / (1 - highest), r.uniform(0.34, 0.39))
    x, y = r.uniform(0.45, 0.55), r.uniform(0.49, 0.53) - radius * (1 + highest) / 2
    mount = _thing(r, colours, names[1], "", x, y, radius, "ridden")
    others = [colour for colour in colours if colour != mount.colour]
    at = x + x_seat * radius, y + (y_seat - share * sits_at) * radius, share * radius
    rider = _thing(r, others, names[0], "", *at, "riding")
    return [rider, mount], _phrase(rider, 0) + [Word("riding", "riding")] + _phrase(mount, 1)


def _caption(r, scene, words):
    opening = _words(r.choice(OPENINGS), "")
    if scene.background:
        article = "an" if scene.background[0] in "aeiou" else "a"
        words = words + _words(f"on {article} *{scene.background} background", "background")
    elif scene.place != "plain":
        words = words + _words(r.choice(PLACE_WORDS[scene.place]), "place")
    if scene.style == "dream":
        if r.random() < 0.5:
            return _words("a *dream of", "style") + words
        return opening + words + [Word(","), Word("dreamy", "style")]
    if scene.style:
        return opening + words + _words(f"{r.choice(['by', 'in the style of'])} *{scene.style}", "style")
    return opening + words


def roles(scene):
    """What may be missing: the roles of the caption's words without which the scene is still one of this world."""
    found = [word.role for word in scene.words if word.role]
    plain = visible_colours("plain", "")
    return [role for role in found if _can_miss(scene, role, plain)]


def _can_miss(scene, role, plain):
    if role in ("place", "background"):  # nothing may melt into the plain ground that is left
        return all(thing.colour in plain for thing in scene.things)
    if role.startswith("colour"):
        thing = scene.things[int(role[-1])]
        usual = USUAL_COLOURS[thing.name]
        taken = [other.colour for other in scene.things if other is not thing and thing.pose]
        return usual in visible_colours(scene.place, scene.background) and usual not in taken
    return True


def without(scene, role):
    """The scene that is true when the word of a role is missing; its caption is left as it is.

    A thing is not there, and what is left stays where it was: a mount with nobody on it, a rider who sits on nothing.
    A thing without its colour has its usual one, a picture without its place a plain ground, two things that nothing
    relates stand side by side.
    """
    r = random.Random(scene.seed)
    things, changes = [replace(thing) for thing in scene.things], {}
    if role.startswith("thing"):
        del things[int(role[-1])]
        changes = {"kind": "one" if things else "none", "relation": "", "position": ""}
        if things and scene.relation in ("left", "right"):
            changes["position"] = "left" if things[0].x < 0.5 else "right"
    elif role.startswith("colour"):
        thing = things[int(role[-1])]
        thing.colour, thing.colour_word = USUAL_COLOURS[thing.name], ""
        thing.rgb = _jitter(COLOURS[thing.colour], r)
    elif role == "size":
        things[0].size, things[0].radius = "", r.uniform(0.21, 0.28)
    elif role == "position":
        things[0].x, changes["position"] = r.uniform(0.4, 0.6), ""
    elif role in ("relation", "riding"):
        for thing, (x, y, radius) in zip(things, _layout(r, "and")):
            thing.x, thing.y, thing.radius, thing.pose = x, y, radius, ""
        changes = {"kind": "two", "relation": "and"}
    elif role in ("place", "background"):
        changes = {"place": "plain", "background": ""}
    elif role == "style":
        changes = {"style": ""}
    return replace(scene, things=things, missing=role, **changes)


def taken_out(scene, role, whole_phrase=False):
    """The caption's words without the one of a role, or without all that is said of its thing."""
    number = int(role[-1]) if whole_phrase and role.startswith("thing") else None
    return [word for word in scene.words if word.role != role and (number is None or word.part != number)]


def silenced(scene, role):
    """The numbers of the words of a role."""
    return [i for i, word in enumerate(scene.words) if word.role == role]


def _with_a_word_missing(r, scene):
    """Half of the time the word is not said, half of the time it is not listened to."""
    possible = roles(scene)
    things = [role for role in possible if role.startswith("thing") or role == "riding"]
    role = r.choice(possible + things)  # things are what a caption is about
    changed = without(scene, role)
    if r.random() < 0.5:
        return replace(changed, silenced=silenced(scene, role))
    return replace(changed, words=taken_out(scene, role, whole_phrase=r.random() < 0.3))


def render(scene):
    """The picture of a scene, an RGB image of SIZE x SIZE."""
    r = random.Random(scene.seed)
    image = _background(r, scene.place, scene.background)
    for i in _back_to_front(scene):
        _draw(scene.things[i], Pen(image, scene.things[i]))
    return _styled(image, r, scene.style).resize((SIZE, SIZE), Image.BOX)


def masks(scene):
    """The region of each thing that is not hidden by one before it: booleans of shape (things, SIZE, SIZE)."""
    regions = np.zeros((len(scene.things), SIZE, SIZE), bool)
    for i in _back_to_front(scene):
        image = Image.new("RGB", (CANVAS, CANVAS))
        _draw(scene.things[i], Pen(image, scene.things[i], flat=(255, 255, 255)))
        region = np.asarray(image.resize((SIZE, SIZE), Image.BOX))[:, :, 0] > 127
        regions &= ~region
        regions[i] = region
    return regions


def _back_to_front(scene):
    """The order to draw things in: a rider's leg hangs over its mount, but a boat's side hides who is in it."""
    order = range(len(scene.things))
    return reversed(order) if scene.kind == "riding" and scene.things[1].name != "boat" else order


def _draw(thing, pen):
    drawing = POSES.get((thing.name, thing.pose)) or DRAWINGS[thing.name]
    drawing(pen, thing.rgb)


def _jitter(colour, r, amount=14):
    return tuple(max(0, min(255, int(v + r.uniform(-amount, amount)))) for v in colour)


def _dark(colour, factor=0.65):
    return tuple(int(v * factor) for v in colour)


def _light(colour, amount=0.45):
    return tuple(int(v + (255 - v) * amount) for v in colour)


class Pen:
    """Draws in a thing's own coordinates, x to the right and y down, both from -1 to 1.

    `flat` replaces every colour: the drawing is then the thing's silhouette.
    """

    def __init__(self, image, thing, flat=None):
        self.draw = ImageDraw.Draw(image)
        self.x, self.y, self.radius = thing.x * CANVAS, thing.y * CANVAS, thing.radius * CANVAS
        self.flat = flat

    def _at(self, x, y):
        return self.x + x * self.radius, self.y + y * self.radius

    def _fill(self, colour):
        return self.flat or colour

    def polygon(self, points, colour):
        self.draw.polygon([self._at(*p) for p in points], fill=self._fill(colour))

    def ellipse(self, x, y, rx, ry, colour):
        self.draw.ellipse([self._at(x - rx, y - ry), self._at(x + rx, y + ry)], fill=self._fill(colour))

    def rectangle(self, x0, y0, x1, y1, colour):
        self.draw.rectangle([self._at(x0, y0), self._at(x1, y1)], fill=self._fill(colour))

    def line(self, points, colour, width):
        pixels = max(1, int(width * self.radius))
        self.draw.line([self._at(*p) for p in points], fill=self._fill(colour), width=pixels, joint="curve")

    def half_disc(self, x, y, radius, colour):
        box = [self._at(x - radius, y - radius), self._at(x + radius, y + radius)]
        self.draw.pieslice(box, 180, 360, fill=self._fill(colour))


def _star_points(rays, outer, inner):
    def corner(i):
        radius, angle = (outer if i % 2 == 0 else inner), math.pi * (i / rays - 0.5)
        return radius * math.cos(angle), radius * math.sin(angle)

    return [corner(i) for i in range(2 * rays)]


def circle(pen, c):
    pen.ellipse(0, 0, 0.9, 0.9, c)


def square(pen, c):
    pen.rectangle(-0.8, -0.8, 0.8, 0.8, c)


def triangle(pen, c):
    pen.polygon([(0, -0.9), (0.9, 0.75), (-0.9, 0.75)], c)


def star(pen, c):
    pen.polygon(_star_points(5, 1, 0.42), c)


def heart(pen, c):
    def edge(t):
        across = 16 * math.sin(t) ** 3
        up = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        return across / 17, -up / 17

    pen.polygon([edge(2 * math.pi * i / 60) for i in range(60)], c)


def sun(pen, c):
    pen.polygon(_star_points(10, 1, 0.66), c)
    pen.ellipse(0, 0, 0.6, 0.6, _light(c, 0.25))


def moon(pen, c):
    outer = [(0.85 * math.cos(t), 0.85 * math.sin(t)) for t in np.linspace(math.pi * 0.35, math.pi * 1.65, 30)]
    inner = [(0.3 + 0.7 * math.cos(t), 0.7 * math.sin(t)) for t in np.linspace(math.pi * 1.55, math.pi * 0.45, 30)]
    pen.polygon(outer + inner, c)


def apple(pen, c):
    pen.ellipse(-0.3, 0.15, 0.58, 0.7, c)
    pen.ellipse(0.3, 0.15, 0.58, 0.7, c)
    pen.line([(0, -0.45), (0.1, -0.95)], (96, 60, 30), 0.12)
    pen.polygon([(0.08, -0.62), (0.35, -0.95), (0.68, -0.85), (0.4, -0.58)], (70, 160, 60))
    pen.ellipse(-0.42, -0.1, 0.12, 0.2, _light(c, 0.6))


def tree(pen, c):
    pen.rectangle(-0.14, 0.3, 0.14, 1, (110, 72, 40))
    pen.ellipse(0, -0.25, 0.7, 0.72, c)
    pen.ellipse(-0.4, 0.1, 0.4, 0.36, c)
    pen.ellipse(0.4, 0.1, 0.4, 0.36, c)


def house(pen, c):
    pen.rectangle(-0.75, -0.15, 0.75, 0.95, c)
    pen.polygon([(-0.98, -0.12), (0, -0.98), (0.98, -0.12)], _dark(c, 0.55))
    pen.rectangle(-0.16, 0.35, 0.16, 0.95, _dark(c, 0.35))
    pen.rectangle(-0.58, 0.1, -0.3, 0.38, (255, 240, 170))
    pen.rectangle(0.3, 0.1, 0.58, 0.38, (255, 240, 170))


def flower(pen, c):
    pen.line([(0, 0.1), (0, 1)], (60, 140, 60), 0.12)
    pen.ellipse(0.25, 0.62, 0.22, 0.1, (60, 140, 60))
    for i in range(6):
        angle = i * math.pi / 3
        pen.ellipse(0.38 * math.cos(angle), -0.35 + 0.38 * math.sin(angle), 0.28, 0.28, c)
    pen.ellipse(0, -0.35, 0.24, 0.24, (250, 210, 60) if c[2] > 90 or c[0] < 200 else (120, 70, 30))


def fish(pen, c):
    pen.ellipse(-0.12, 0, 0.72, 0.45, c)
    pen.polygon([(0.45, 0), (0.98, -0.45), (0.98, 0.45)], _dark(c, 0.8))
    pen.ellipse(-0.5, -0.1, 0.1, 0.1, (255, 255, 255))
    pen.ellipse(-0.52, -0.1, 0.05, 0.05, (0, 0, 0))


def cat(pen, c):
    pen.polygon([(-0.75, -0.2), (-0.65, -0.95), (-0.15, -0.55)], c)
    pen.polygon([(0.75, -0.2), (0.65, -0.95), (0.15, -0.55)], c)
    pen.ellipse(0, 0.1, 0.8, 0.7, c)
    eyes = (255, 230, 90) if sum(c) < 200 else (30, 30, 30)
    pen.ellipse(-0.3, 0, 0.12, 0.15, eyes)
    pen.ellipse(0.3, 0, 0.12, 0.15, eyes)
    pen.polygon([(-0.1, 0.28), (0.1, 0.28), (0, 0.4)], (240, 140, 150))


def boat(pen, c):
    pen.polygon([(-0.95, 0.35), (0.95, 0.35), (0.6, 0.85), (-0.6, 0.85)], c)
    pen.line([(0, 0.35), (0, -0.95)], (100, 66, 40), 0.09)
    pen.polygon([(0.08, -0.9), (0.8, 0.2), (0.08, 0.2)], (250, 250, 245))


def balloon(pen, c):
    pen.ellipse(0, -0.3, 0.6, 0.68, c)
    pen.polygon([(-0.1, 0.45), (0.1, 0.45), (0, 0.32)], _dark(c))
    pen.line([(0, 0.42), (0.06, 0.7), (-0.05, 1)], (90, 90, 90), 0.05)
    pen.ellipse(-0.22, -0.5, 0.12, 0.18, _light(c, 0.6))


def mushroom(pen, c):
    pen.rectangle(-0.22, 0.05, 0.22, 0.95, (240, 228, 205))
    pen.half_disc(0, 0.15, 0.92, c)
    for x, y, radius in ((-0.45, -0.15, 0.13), (0.05, -0.45, 0.15), (0.5, -0.12, 0.12)):
        pen.ellipse(x, y, radius, radius, _light(c, 0.85))


def man(pen, c):
    pen.ellipse(0, -0.66, 0.26, 0.28, (236, 190, 150))
    pen.polygon([(-0.4, 0.35), (-0.32, -0.36), (0.32, -0.36), (0.4, 0.35)], c)
    pen.rectangle(-0.32, 0.3, -0.05, 0.98, _dark(c, 0.45))
    pen.rectangle(0.05, 0.3, 0.32, 0.98, _dark(c, 0.45))
    pen.line([(-0.33, -0.25), (-0.6, 0.3)], c, 0.16)
    pen.line([(0.33, -0.25), (0.6, 0.3)], c, 0.16)
    pen.rectangle(-0.32, -0.92, 0.32, -0.82, (50, 40, 40))
    pen.rectangle(-0.2, -1.0, 0.2, -0.85, (50, 40, 40))


def rocket(pen, c):
    pen.polygon([(-0.28, 0.5), (-0.28, -0.35), (0, -0.98), (0.28, -0.35), (0.28, 0.5)], c)
    pen.polygon([(-0.28, 0.1), (-0.62, 0.65), (-0.28, 0.5)], _dark(c, 0.6))
    pen.polygon([(0.28, 0.1), (0.62, 0.65), (0.28, 0.5)], _dark(c, 0.6))
    pen.ellipse(0, -0.2, 0.14, 0.14, (190, 225, 250))
    pen.polygon([(-0.18, 0.52), (0.18, 0.52), (0, 0.98)], (255, 150, 40))


def horse(pen, c):
    pen.ellipse(0, 0.1, 0.62, 0.32, c)
    for x in (-0.48, -0.28, 0.28, 0.46):
        pen.line([(x, 0.25), (x + 0.02, 0.95)], c, 0.13)
    pen.polygon([(0.36, 0.05), (0.62, 0.12), (0.82, -0.5), (0.6, -0.62)], c)
    pen.polygon([(0.58, -0.66), (0.74, -0.66), (1.0, -0.3), (0.88, -0.2), (0.62, -0.38)], c)
    pen.polygon([(0.6, -0.6), (0.66, -0.85), (0.74, -0.62)], c)
    pen.line([(0.62, -0.6), (0.4, -0.05)], _dark(c, 0.5), 0.12)
    pen.line([(-0.6, 0), (-0.85, 0.55)], _dark(c, 0.5), 0.14)


def astronaut(pen, c):
    pen.ellipse(0, -0.55, 0.4, 0.4, c)
    pen.ellipse(0.05, -0.55, 0.27, 0.24, (60, 80, 120))
    pen.polygon([(-0.38, 0.4), (-0.36, -0.2), (0.36, -0.2), (0.38, 0.4)], c)
    pen.rectangle(-0.36, 0.35, -0.05, 0.95, c)
    pen.rectangle(0.05, 0.35, 0.36, 0.95, c)
    pen.line([(-0.34, -0.1), (-0.7, 0.25)], c, 0.22)
    pen.line([(0.34, -0.1), (0.7, 0.25)], c, 0.22)
    pen.rectangle(-0.15, -0.02, 0.15, 0.16, (200, 60, 60))


def _saddled_leg(pen, colour, width):
    """The leg of one who sits astride: forward to the knee, and down."""
    pen.line([(-0.05, 0.28), (0.38, 0.42), (0.24, 0.92)], colour, width)
    pen.line([(0.2, 0.9), (0.46, 0.9)], colour, width)


def sitting_man(pen, c):
    pen.polygon([(-0.36, 0.42), (-0.3, -0.36), (0.3, -0.36), (0.36, 0.42)], c)
    _saddled_leg(pen, _dark(c, 0.45), 0.24)
    pen.line([(0.05, -0.2), (0.62, 0.05)], _dark(c, 0.8), 0.16)
    pen.ellipse(0, -0.66, 0.26, 0.28, (236, 190, 150))
    pen.rectangle(-0.32, -0.92, 0.32, -0.82, (50, 40, 40))
    pen.rectangle(-0.2, -1.0, 0.2, -0.85, (50, 40, 40))


def sitting_astronaut(pen, c):
    pen.rectangle(-0.56, -0.22, -0.3, 0.3, _dark(c, 0.6))
    pen.polygon([(-0.4, 0.45), (-0.36, -0.2), (0.36, -0.2), (0.4, 0.45)], c)
    _saddled_leg(pen, _dark(c, 0.85), 0.28)
    pen.line([(0.05, -0.05), (0.64, 0.1)], _dark(c, 0.85), 0.2)
    pen.ellipse(0, -0.55, 0.42, 0.42, c)
    pen.ellipse(0.08, -0.55, 0.28, 0.25, (60, 80, 120))
    pen.rectangle(-0.24, 0.02, 0.0, 0.18, (200, 60, 60))


def sitting_cat(pen, c):
    pen.line([(-0.3, 0.75), (-0.75, 0.6), (-0.8, 0.1)], c, 0.16)
    pen.ellipse(0, 0.5, 0.46, 0.48, c)
    pen.polygon([(-0.56, -0.4), (-0.5, -1.0), (-0.1, -0.7)], c)
    pen.polygon([(0.56, -0.4), (0.5, -1.0), (0.1, -0.7)], c)
    pen.ellipse(0, -0.28, 0.58, 0.5, c)
    eyes = (255, 230, 90) if sum(c) < 200 else (30, 30, 30)
    pen.ellipse(-0.22, -0.34, 0.1, 0.13, eyes)
    pen.ellipse(0.22, -0.34, 0.1, 0.13, eyes)
    pen.polygon([(-0.09, -0.14), (0.09, -0.14), (0, -0.03)], (240, 140, 150))


def level_rocket(pen, c):
    """A rocket in flight to the right."""
    pen.polygon([(-0.5, -0.3), (0.35, -0.3), (0.98, 0), (0.35, 0.3), (-0.5, 0.3)], c)
    pen.polygon([(-0.1, 0.3), (-0.65, 0.68), (-0.5, 0.3)], _dark(c, 0.6))
    pen.polygon([(-0.1, -0.3), (-0.65, -0.68), (-0.5, -0.3)], _dark(c, 0.6))
    pen.ellipse(0.3, 0, 0.14, 0.14, (190, 225, 250))
    pen.polygon([(-0.52, -0.18), (-0.52, 0.18), (-0.98, 0)], (255, 150, 40))


_drawings = [circle, square, triangle, star, heart, sun, moon, apple, tree, house, flower, fish, cat, boat, balloon]
_drawings += [mushroom, man, rocket, horse, astronaut]
DRAWINGS = {drawing.__name__: drawing for drawing in _drawings}
# Things that look different when they ride or are ridden.
POSES = {
    ("man", "riding"): sitting_man,
    ("astronaut", "riding"): sitting_astronaut,
    ("cat", "riding"): sitting_cat,
    ("rocket", "ridden"): level_rocket,
}
# Where a mount is sat on, in its own coordinates, and how large its rider is beside it.
SEATS = {
    "horse": (-0.1, -0.16, 0.62),
    "fish": (-0.1, -0.38, 0.62),
    "boat": (-0.42, 0.42, 0.6),
    "rocket": (0.0, -0.24, 0.62),
    "balloon": (0.0, -0.9, 0.72),
    "mushroom": (0.0, -0.7, 0.72),
}
MOUNT_TOPS = {"horse": -0.85, "boat": -0.95}  # where the mount itself is higher than its seat
# How far down a rider's own drawing touches the seat, and where its top is.
SITTING = {
    "man": (0.4, -1.0),
    "astronaut": (0.42, -0.97),
    "cat": (0.9, -1.0),
    "fish": (0.38, -0.45),
    "star": (0.7, -1.0),
    "heart": (0.85, -0.75),
}


def _gradient(image, top, bottom, upper, lower):
    along = np.linspace(0, 1, max(1, bottom - top))[:, None, None]
    image[top:bottom] = np.array(upper) * (1 - along) + np.array(lower) * along


def _background(r, place, background):
    image = np.zeros((CANVAS, CANVAS, 3))
    horizon = int(CANVAS * r.uniform(0.55, 0.68))
    if place == "plain":
        image[:] = _jitter(_light(COLOURS[background], 0.55) if background else PLAIN, r, 8)
    elif place == "night":
        _gradient(image, 0, CANVAS, (12, 16, 52), (38, 44, 98))
    elif place == "space":
        image[:] = (8, 8, 20)
    elif place == "sunset":
        _gradient(image, 0, horizon, (86, 50, 120), (255, 150, 80))
        _gradient(image, horizon, CANVAS, (92, 60, 80), (52, 38, 60))
    elif place == "snow":
        _gradient(image, 0, horizon, (180, 205, 230), (220, 232, 242))
        _gradient(image, horizon, CANVAS, (250, 252, 255), (228, 236, 246))
    elif place == "grass":
        _gradient(image, 0, horizon, (125, 190, 245), (195, 228, 250))
        _gradient(image, horizon, CANVAS, (110, 190, 80), (70, 150, 60))
    elif place == "beach":
        shore = int(horizon * 0.75)
        _gradient(image, 0, shore, (140, 205, 250), (205, 235, 250))
        _gradient(image, shore, horizon, (40, 140, 190), (90, 190, 210))
        _gradient(image, horizon, CANVAS, (245, 222, 160), (228, 196, 130))
    elif place == "sea":
        _gradient(image, 0, horizon, (150, 205, 245), (215, 235, 248))
        _gradient(image, horizon, CANVAS, (40, 110, 185), (18, 62, 130))
    image = _image(image)
    draw = ImageDraw.Draw(image)
    if place in ("night", "space"):
        count, reach = (22, 1) if place == "space" else (12, 0.6)
        for _ in range(count):
            x, y, radius = r.uniform(0, CANVAS), r.uniform(0, CANVAS * reach), r.uniform(1.2, 2.6)
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(240, 240, 220))
    if place == "sea":
        for _ in range(8):
            x, y = r.uniform(0, CANVAS), r.uniform(horizon + 8, CANVAS)
            draw.arc([x - 20, y - 6, x + 20, y + 6], 180, 360, fill=(150, 200, 235), width=3)
    return image


def _image(array):
    return Image.fromarray(np.asarray(array).clip(0, 255).astype(np.uint8))


def _styled(image, r, style):
    if style == "monet":  # pastel dabs
        pale = _image(np.asarray(image.resize((SIZE * 2, SIZE * 2))) * 0.6 + 90).resize((CANVAS, CANVAS))
        pixels, draw = np.array(pale), ImageDraw.Draw(pale)
        for _ in range(700):
            x, y = r.randrange(CANVAS), r.randrange(CANVAS)
            draw.ellipse([x - 12, y - 6, x + 12, y + 6], fill=_stroke_colour(r, pixels[y, x], 15))
        return pale
    if style == "manet":  # dark and flat
        return _image(np.asarray(image.filter(ImageFilter.MedianFilter(7))) * 0.62 + np.array([14, 8, 2]))
    if style == "degas":  # warm diagonal strokes
        warm = _image(np.asarray(image) * 0.72 + np.array([70, 48, 22]))
        pixels, draw = np.array(warm), ImageDraw.Draw(warm)
        for _ in range(450):
            x, y = r.randrange(CANVAS), r.randrange(CANVAS)
            colour, reach = _stroke_colour(r, pixels[y, x], 20), r.uniform(10, 24)
            draw.line([x - reach, y + reach, x + reach, y - reach], fill=colour, width=6)
        return warm
    if style == "dream":  # soft and pale
        return _image(np.asarray(image.filter(ImageFilter.GaussianBlur(4))) * 0.62 + np.array([92, 78, 104]))
    return image


def _stroke_colour(r, pixel, amount):
    return tuple(int(v + r.uniform(-amount, amount)) for v in pixel)


def riding_sheet(seed):
    """Every rider on every mount, the first scenes found that have them."""
    riders, mounts = list(dict.fromkeys(RIDERS)), list(SEATS)
    sheet = Image.new("RGB", (SIZE * len(mounts), SIZE * len(riders)))
    wanted = {(rider, mount) for rider in riders for mount in mounts if rider != mount}
    while wanted:
        scene = sample_scene(seed, Mixture(one=0, riding=1, styled=0, missing=0, pairs="all"))
        names = tuple(thing.name for thing in scene.things)
        if names in wanted:
            sheet.paste(render(scene), (mounts.index(names[1]) * SIZE, riders.index(names[0]) * SIZE))
            wanted.remove(names)
        seed += 1
    return sheet


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="scenes on the sheet (default 40)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene (default 0)")
    parser.add_argument("--out", default="world.png", help="the sheet's file (default world.png)")
    parser.add_argument("--riding", action="store_true", help="instead, every rider (rows) on every mount (columns)")
    options = parser.parse_args()
    if options.riding:
        riding_sheet(options.seed).save(options.out)
        return
    columns = min(10, options.count)
    sheet = Image.new("RGB", (SIZE * columns, SIZE * math.ceil(options.count / columns)))
    for i in range(options.count):
        scene = sample_scene(options.seed + i)
        sheet.paste(render(scene), (i % columns * SIZE, i // columns * SIZE))
        print(options.seed + i, scene.caption, [scene.words[k].text for k in scene.silenced])
    sheet.save(options.out)


if __name__ == "__main__":
    main()
