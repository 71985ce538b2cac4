"""Captions as tokens, and what is asked of them in training."""

from dataclasses import dataclass

import torch

import common
from train_judge import COLOURS, UNASKED, answers

# What a thing's own word can be asked: where it is beside the thing that was named before it.
OWN_PLACES = ["left", "right", "above", "below", "ridden"]
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


@dataclass
class Captions:
    """One row for each scene.

    `ids` are tokens (n, 77); `silenced` lists the positions that the picture does not listen to. `right` holds the
    right answers to the judge's questions (n, questions). `own_at` is the position of the words of at most two
    things that are drawn (n, 2), `own_colour` their colours (n, 2), and `own_place` (n) where the second one is.
    What is not asked is UNASKED, and the position 0. Captions with a silenced word are asked nothing: they say more
    than is drawn.
    """

    ids: torch.Tensor
    silenced: list
    right: torch.Tensor
    own_at: torch.Tensor
    own_colour: torch.Tensor
    own_place: torch.Tensor

    @classmethod
    def of(cls, scenes, tokenizer):
        """From scenes as dictionaries."""
        pieces = Pieces(tokenizer)
        count = len(scenes)
        captions = cls(
            torch.full((count, common.POSITIONS), common.END),
            [[] for _ in scenes],
            torch.full((count, len(answers(scenes[0]))), UNASKED),
            torch.zeros(count, 2, dtype=torch.long),
            torch.full((count, 2), UNASKED),
            torch.full((count,), UNASKED),
        )
        for i, scene in enumerate(scenes):
            captions._fill(i, scene, pieces)
        return captions

    def _fill(self, i, scene, pieces):
        ids, spans = pieces.encode([word["text"] for word in scene["words"]])
        self.ids[i, : len(ids)] = torch.tensor(ids)
        if scene["silenced"]:
            self.silenced[i] = [position for word in scene["silenced"] for position in spans[word]]
            return
        self.right[i] = torch.tensor(list(answers(scene).values()))
        said = {word["role"]: spans[k][-1] for k, word in enumerate(scene["words"])}
        whole = scene["missing"] not in ("thing 0", "thing 1")
        numbers = range(len(scene["things"])) if whole else [1 - int(scene["missing"][-1])]
        for number, thing in zip(numbers, scene["things"]):
            if f"thing {number}" in said:
                self.own_at[i, number] = said[f"thing {number}"]
                self.own_colour[i, number] = COLOURS.index(thing["colour"])
        if whole and scene["kind"] == "riding":
            self.own_place[i] = OWN_PLACES.index("ridden")
        elif whole and scene["relation"] in OPPOSITE:
            self.own_place[i] = OWN_PLACES.index(OPPOSITE[scene["relation"]])


class Pieces:
    """Tokenizes word by word, so that each word's positions are known; CLIP's tokens never reach across a space."""

    def __init__(self, tokenizer):
        self.tokenizer, self.known = tokenizer, {}

    def encode(self, words):
        """The tokens from the start to the first end, and the positions of each word."""
        ids, spans = [common.START], []
        for word in words:
            if word not in self.known:
                self.known[word] = self.tokenizer(word, add_special_tokens=False).input_ids
            spans.append(list(range(len(ids), len(ids) + len(self.known[word]))))
            ids += self.known[word]
        return [*ids, common.END], spans
