"""The little world: scenes, the captions that are true of them, and how they are drawn.

A scene is sampled first (`sample_scene`: things, colours, sizes, positions, place, manner, caption) and drawn from
that description (`render`), so that everything a caption says is known exactly. `masks` gives the true region of
each thing, for measuring attention.

    python world.py --count 40 --out world.png      # a sheet of scenes, captions on standard output
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
PLACE_WORDS = {
    "plain": [],
    "night": ["at night"],
    "sunset": ["at sunset"],
    "snow": ["in the snow"],
    "grass": ["on the grass", "in a meadow"],
    "beach": ["on the beach"],
    "space": ["in space"],
    "sea": ["at sea", "on the sea"],
}
OPENINGS = ["", "", "", "a photograph of ", "a photo of ", "a picture of ", "a drawing of ", "a painting of "]
PAINTERS = ["monet", "manet", "degas"]
STYLES = PAINTERS + ["dream"]
RELATIONS = {
    "left": " to the left of ",
    "right": " to the right of ",
    "above": " above ",
    "below": " below ",
    "and": " and ",
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

    def phrase(self):
        return f"{self.colour_word} {self.word}".strip()


@dataclass
class Scene:
    """All that is drawn and all that is said: `kind` is "one", "two" or "riding"."""

    kind: str
    things: list
    place: str
    background: str  # the colour of a plain background, or empty
    position: str  # one thing: "", "left" or "right"
    relation: str  # two things: a key of RELATIONS, else empty
    style: str  # a key of STYLES, or empty
    seed: int  # of the details that no caption mentions: stars, waves, brush strokes
    caption: str = field(default="")

    def as_dict(self):
        return asdict(self)


@dataclass(frozen=True)
class Mixture:
    """How often the kinds of scene come. The rest after `one` and `riding` are scenes of two things."""

    one: float = 0.50
    riding: float = 0.08
    styled: float = 0.14


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
        kind, things, said = "riding", *_riding(r)
    elif draw < mixture.riding + mixture.one:
        kind, things, position, said = "one", *_one(r, colours)
    else:
        kind, things, relation, said = "two", *_two(r, colours)
    scene = Scene(kind, things, place, background, position, relation, style, r.getrandbits(32))
    return replace(scene, caption=_caption(r, scene, said))


def visible_colours(place, background):
    """The colours that stand out from a place: no black cat at night, no white heart in the snow."""
    grounds = GROUNDS.get(place) or [_light(COLOURS[background], 0.55) if background else PLAIN]
    return [name for name, rgb in COLOURS.items() if any(math.dist(rgb, ground) > MELTS for ground in grounds)]


def _thing(r, colours, name, size, x, y, radius):
    named = r.random() < 0.72 or USUAL_COLOURS[name] not in colours
    colour = r.choice(colours) if named else USUAL_COLOURS[name]
    word = r.choice(COLOUR_WORDS.get(colour, [colour])) if named else ""
    said = r.choice(THING_WORDS.get(name, [name]))
    return Thing(name, said, colour, word, size, x, y, radius, _jitter(COLOURS[colour], r))


def _one(r, colours):
    size = r.choice(["small", "", "", "large"])
    radius = {"small": r.uniform(0.15, 0.18), "": r.uniform(0.21, 0.28), "large": r.uniform(0.34, 0.40)}[size]
    position = r.choice(["", "", "left", "right"]) if size != "large" else ""
    x = {"": r.uniform(0.4, 0.6), "left": r.uniform(0.2, 0.3), "right": r.uniform(0.7, 0.8)}[position]
    thing = _thing(r, colours, r.choice(list(DRAWINGS)), size, x, r.uniform(0.42, 0.6), radius)
    said = with_article(" ".join(([r.choice(SIZE_WORDS[size])] if size else []) + [thing.phrase()]))
    return [thing], position, said + (f" on the {position}" if position else "")


def _two(r, colours):
    relation = r.choice(list(RELATIONS))
    layout = relation if relation != "and" else r.choice(["left", "right"])
    near, far = r.uniform(0.22, 0.3), r.uniform(0.7, 0.78)
    middles = r.uniform(0.44, 0.56), r.uniform(0.44, 0.56)
    first, second = (near, far) if layout in ("left", "above") else (far, near)
    places = [(first, middles[0]), (second, middles[1])]
    if layout in ("above", "below"):
        places = [(middle, along) for along, middle in places]
    things = [_thing(r, colours, r.choice(list(DRAWINGS)), "", x, y, r.uniform(0.18, 0.23)) for x, y in places]
    said = with_article(things[0].phrase()) + RELATIONS[relation] + with_article(things[1].phrase())
    return things, relation, said


def _riding(r):
    radius, x, y = r.uniform(0.3, 0.36), r.uniform(0.44, 0.54), r.uniform(0.52, 0.6)
    named = r.random() < 0.4
    colour = r.choice(["brown", "white", "black", "orange"]) if named else "brown"
    horse = Thing("horse", "horse", colour, colour if named else "", "", x, y, radius, _jitter(COLOURS[colour], r))
    rider_at = (x - 0.1 * radius, y - 0.5 * radius, 0.62 * radius)
    rider = Thing("astronaut", "astronaut", "white", "", "", *rider_at, _jitter(COLOURS["white"], r, 8))
    return [horse, rider], "an astronaut riding " + with_article(horse.phrase())


def _caption(r, scene, said):
    opening = r.choice(OPENINGS)
    place = ""
    if scene.background:
        place = " on " + with_article(f"{scene.background} background")
    elif scene.place != "plain":
        place = " " + r.choice(PLACE_WORDS[scene.place])
    if scene.style == "dream":
        return opening + said + place + ", dreamy" if r.random() < 0.5 else "a dream of " + said + place
    if scene.style:
        return opening + said + place + r.choice([" by ", " in the style of "]) + scene.style
    return opening + said + place


def with_article(phrase):
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def render(scene):
    """The picture of a scene, an RGB image of SIZE x SIZE."""
    r = random.Random(scene.seed)
    image = _background(r, scene.place, scene.background)
    for thing in scene.things:
        _draw(thing, Pen(image, thing))
    return _styled(image, r, scene.style).resize((SIZE, SIZE), Image.BOX)


def masks(scene):
    """The region of each thing that is not hidden by a later one: booleans of shape (things, SIZE, SIZE)."""
    regions = []
    for thing in scene.things:
        image = Image.new("RGB", (CANVAS, CANVAS))
        _draw(thing, Pen(image, thing, flat=(255, 255, 255)))
        region = np.asarray(image.resize((SIZE, SIZE), Image.BOX))[:, :, 0] > 127
        regions = [earlier & ~region for earlier in regions] + [region]
    return np.stack(regions)


def _draw(thing, pen):
    DRAWINGS[thing.name](pen, thing.rgb)


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


_drawings = [circle, square, triangle, star, heart, sun, moon, apple, tree, house, flower, fish, cat, boat, balloon]
_drawings += [mushroom, man, rocket, horse, astronaut]
DRAWINGS = {drawing.__name__: drawing for drawing in _drawings}


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
        for _ in range(900):
            x, y = r.randrange(CANVAS), r.randrange(CANVAS)
            draw.ellipse([x - 9, y - 4, x + 9, y + 4], fill=_stroke_colour(r, pixels[y, x], 18))
        return pale
    if style == "manet":  # dark and flat
        return _image(np.asarray(image.filter(ImageFilter.MedianFilter(7))) * 0.62 + np.array([14, 8, 2]))
    if style == "degas":  # warm diagonal strokes
        warm = _image(np.asarray(image) * 0.72 + np.array([70, 48, 22]))
        pixels, draw = np.array(warm), ImageDraw.Draw(warm)
        for _ in range(500):
            x, y = r.randrange(CANVAS), r.randrange(CANVAS)
            colour, reach = _stroke_colour(r, pixels[y, x], 26), r.uniform(10, 26)
            draw.line([x - reach, y + reach, x + reach, y - reach], fill=colour, width=4)
        return warm
    if style == "dream":  # soft and pale
        return _image(np.asarray(image.filter(ImageFilter.GaussianBlur(4))) * 0.62 + np.array([92, 78, 104]))
    return image


def _stroke_colour(r, pixel, amount):
    return tuple(int(v + r.uniform(-amount, amount)) for v in pixel)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="scenes on the sheet (default 40)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene (default 0)")
    parser.add_argument("--out", default="world.png", help="the sheet's file (default world.png)")
    options = parser.parse_args()
    columns = min(10, options.count)
    sheet = Image.new("RGB", (SIZE * columns, SIZE * math.ceil(options.count / columns)))
    for i in range(options.count):
        scene = sample_scene(options.seed + i)
        sheet.paste(render(scene), (i % columns * SIZE, i // columns * SIZE))
        print(options.seed + i, scene.caption)
    sheet.save(options.out)


if __name__ == "__main__":
    main()
