"""Cross-attention that can be told not to listen to some text positions, and that can keep its probabilities."""

import torch
import torch.nn.functional as F


class Listening:
    """Attention as diffusers does it, for a UNet's `set_attn_processor`.

    `keep` (batch, 77), given to the UNet as `cross_attention_kwargs={"keep": keep}`, is what each text position's
    attention probability is multiplied by after the softmax; rows are not brought back to a sum of 1. This is what
    the program's `--weight WORD=0` does (Hertz et al. 2022, arXiv 2208.01626, section 3.2). Since the output is the
    sum of probability times value, and values come from a linear map without bias, multiplying what the values are
    made of is the same, and the probabilities need not be there.

    With a list `kept`, each cross-attention appends its probabilities, averaged over heads: (batch, places, 77).
    """

    def __init__(self, kept=None):
        self.kept = kept

    def __call__(self, attention, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, keep=None):
        text = encoder_hidden_states
        source = hidden_states if text is None else text
        values = source if text is None or keep is None else source * keep[..., None]

        def heads(x):
            return x.unflatten(2, (attention.heads, -1)).transpose(1, 2)

        query, key = heads(attention.to_q(hidden_states)), heads(attention.to_k(source))
        if text is not None and self.kept is not None:
            scores = query @ key.transpose(2, 3) * attention.scale
            self.kept.append(scores.softmax(-1).mean(1))
        out = F.scaled_dot_product_attention(query, key, heads(attention.to_v(values)))
        out = out.transpose(1, 2).flatten(2)
        return attention.to_out[1](attention.to_out[0](out))


def listening(unet, kept=None):
    """The UNet, with attention as above."""
    unet.set_attn_processor(Listening(kept))
    return unet


def keeping(count, silenced, device="cpu"):
    """Ones of shape (count, 77), 0 where row i's `silenced[i]` names a position."""
    keep = torch.ones(count, 77, device=device)
    for row, positions in zip(keep, silenced):
        row[list(positions)] = 0
    return keep
