//! The explanations: plain paragraphs, one a line; a line that begins with two spaces is a formula, one that begins with
//! `Source:` says where it is from.

/// What is asked for.
pub mod prompt {
    pub const IDEA: &str = "\
You say in words what the picture shall show. The words never reach the picture as words: they become vectors, and those steer every denoising step.
The seed decides which of the many fitting pictures it becomes. The same request with the same model gives the same picture; on one machine's CPU, to the last bit.";

    pub const MECHANISM: &str = "\
A request is a prompt, a negative prompt, a seed, a number of steps, a guidance scale and a scheduler.
At each step the UNet answers twice in one batch: for the negative prompt (empty where you give none) and for the prompt. Guidance goes from the first answer towards the second and beyond it.
At a scale of 1 or less guidance is off: the UNet answers for the prompt alone, and the negative prompt is not used.";

    pub const FORMULA: &str = "  x ~ σ₀ · N(0, 1), fixed by the seed
  ε̂ = εᵤ + w · (εₜ − εᵤ)
  x ← step(x, ε̂), for each step
  picture = decoder(x / s)
εᵤ is the noise predicted for the negative prompt, εₜ for the prompt, w the guidance scale, s the autoencoder's scaling factor.
Source: Rombach et al. 2022, arXiv:2112.10752; Ho & Salimans 2022, arXiv:2207.12598 (whose w is this one less 1, and whose εᵤ has no prompt at all).";
}

/// The prompt as tokens.
pub mod tokens {
    pub const IDEA: &str = "\
The model reads no letters. The text is cut into pieces from a fixed list, and each piece is a number. A frequent word is one piece, a rare one several.
There are always 77 positions: a start, the pieces, an end, and padding. What finds no place is not seen.
White space is no piece of its own. Instead the last piece of a word is marked, shown here as ␣.";

    pub const MECHANISM: &str = "\
The text is put in composed form (NFC), white space collapsed, letters lower-cased. It is split into runs of letters, single digits, runs of other signs and endings such as 's; each is written as UTF-8 bytes, the last one marked </w>.
Then neighbours are joined: of all neighbouring pairs that the list of merges has, the one that stands first in it; again and again, until it has none of them.
The list was learnt once, from the pairs most frequent in much text. No list of words is needed: any text can be written in bytes.";

    pub const FORMULA: &str = "  256 bytes + 256 bytes with </w>
  + 48 894 merges + start + end
  = 49 408 tokens
  join: the pair of least rank first
  77 = start + pieces + end + padding
49406 is the start, 49407 the end; Stable Diffusion v1 pads with the end again.
Source: Sennrich et al. 2016, arXiv:1508.07909 (byte-pair encoding); Radford et al. 2021, arXiv:2103.00020 (CLIP's vocabulary).";
}

/// The tokens as vectors.
pub mod embedding {
    pub const IDEA: &str = "\
A token's number picks one row of a table: its vector. The rows were learnt; tokens that are used alike came to point in like directions.
A second table has a row for each of the 77 positions. Both rows are added, so that order can matter.";

    pub const MECHANISM: &str = "\
The token's row is the same in every prompt: nothing here depends on the words around it. In Stable Diffusion v1 a row has 768 numbers.
How alike two rows are is the cosine of the angle between them: 1 is the same direction, 0 none in common, −1 opposite. Length does not count.
The nearest words are searched in the whole table. In the embedded model, rows of zeros belong to words that its training never met; they have no direction and are left out.";

    pub const FORMULA: &str = "  xᵢ = E[idᵢ] + P[i]
  cos(a, b) = a·b / (‖a‖ ‖b‖)
  ‖a‖ = √(Σ aₖ²)
  std = √(Σ (aₖ − mean)² / n)
E is the token embedding (49408 rows), P the position embedding (77 rows), both learnt.
Source: Radford et al. 2021, arXiv:2103.00020 (CLIP); Vaswani et al. 2017, arXiv:1706.03762 (positions added to embeddings).";
}

/// The vectors in context.
pub mod text_encoder {
    pub const IDEA: &str = "\
A row of the table knows nothing of its neighbours. Layer by layer, each position looks at those before it and takes in what it finds, so that a word can come to mean what it means here.
Nobody looks ahead. The start token has nothing before it, so it comes out the same for every prompt.";

    pub const MECHANISM: &str = "\
Each layer does two things and adds the result of each to what was there: self-attention over the positions so far, in several heads, then a network of two layers at each position alone. Before each, the vectors are normalised.
Stable Diffusion v1 has 12 layers of 12 heads. The UNet gets the last layer's output of all 77 positions, after one more normalisation: padding too, and not the one pooled vector that CLIP compares with pictures.";

    pub const FORMULA: &str = "  A = softmax(Q Kᵀ / √d + M)
  Mᵢⱼ = 0 where j ≤ i, else −∞
  x ← x + Wₒ (A V)
  x ← x + W₂ g(W₁ LN(x))
  g(u) = u / (1 + e^(−1.702 u))
Q, K and V are linear in LN(x), d is a head's width; biases are left out here. Row 0 of A is (1, 0, 0, …) whatever the prompt.
Source: Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2021, arXiv:2103.00020 (masked, normalised first); g is its code's QuickGELU.";
}

/// The noise that a picture begins as.
pub mod noise {
    pub const IDEA: &str = "\
The picture begins as random numbers: a small grid in four channels, every number drawn from the bell curve. The seed fixes all of them.
There is no picture hidden in it. What the prompt does is to steer what is made of it, step by step.";

    pub const MECHANISM: &str = "\
The seed starts a Mersenne Twister, whose uniform numbers become normal ones in pairs (Box and Muller). Order and rounding are those of torch on a CPU, so that a seed means the same latents there and here.
The numbers are then multiplied with the initial sigma of the schedule: for LMS and Euler about the largest sigma, 14.61 with Stable Diffusion v1's training; for DDIM, PNDM and DPM++ it is 1.";

    pub const FORMULA: &str = "  r = √(−2 ln(1 − u₁)),  θ = 2π u₂
  z₁ = r cos θ,  z₂ = r sin θ
  x = σ₀ z
  density: e^(−z²/2) / √(2π)
u₁ and u₂ are uniform on [0, 1). About 68 % of the numbers lie between −1 and 1, about 0.3 % beyond ±3.
Source: Box & Muller 1958; Matsumoto & Nishimura 1998 (the Mersenne Twister).";
}

/// How much noise there is at each step.
pub mod schedule {
    pub const IDEA: &str = "\
The model was trained on pictures with noise of a thousand degrees, from hardly any to nearly nothing else. To make a picture we come down this curve.
The scheduler chooses which degrees to visit, and how to go from one to the next. Fewer steps are faster and make larger, rougher moves.";

    pub const MECHANISM: &str = "\
beta is the variance of the noise that a training timestep adds; alphas_cumprod is what is left of the signal's variance by then; sigma is noise over signal.
Stable Diffusion v1 was trained with scaled_linear betas, 0.00085 to 0.012: sigma 14.61 at timestep 999. diffusers' default, linear 0.0001 to 0.02, ends at 157.4: to use it with this model is a mistake that really happens.
LMS and Euler may stop between two training timesteps; DDIM, PNDM and DPM++ visit whole ones.";

    pub const FORMULA: &str = "  ᾱₜ = (1 − β₀)(1 − β₁) … (1 − βₜ)
  xₜ = √ᾱₜ x₀ + √(1 − ᾱₜ) ε
  σₜ = √((1 − ᾱₜ) / ᾱₜ)
  SNRₜ = ᾱₜ / (1 − ᾱₜ) = 1 / σₜ²
ᾱ is alphas_cumprod. Divided by √ᾱ, xₜ is x₀ + σₜ ε: the form that LMS and Euler work in.
Source: Ho, Jain & Abbeel 2020, arXiv:2006.11239, equation 4; Karras et al. 2022, arXiv:2206.00364 (sigma; the Karras spacing).";
}

/// One step of taking noise out.
pub mod denoising {
    pub const IDEA: &str = "\
The UNet looks at the noisy latents and says which part of them is noise. Taking all of that out at once gives only a guess, soft at first: the predicted x0.
So a step takes a part, and asks again with less noise. The guess sharpens. The prompt steers by the difference between the answers with it and without it.";

    pub const MECHANISM: &str = "\
The latents are scaled to a variance of about 1 and go through the UNet with the timestep and the text's vectors: once for the negative prompt, once for the prompt. Their difference, times the guidance scale, is added to the first answer.
From that the scheduler makes the next latents. It need not be a plain subtraction: LMS also uses the directions of up to three earlier steps, PNDM earlier noise predictions, DPM++ the x0 before; Euler ancestral adds fresh noise.";

    pub const FORMULA: &str = "  ε̂ = εᵤ + w (εₜ − εᵤ)
  x̂₀ = x − σ ε̂
  d = (x − x̂₀) / σ
  Euler: x ← x + (σ' − σ) d
  LMS:   x ← x + Σⱼ cⱼ dⱼ
  DDIM:  x ← √ᾱ' x̂₀ + √(1 − ᾱ') ε̂
cⱼ integrates the j-th Lagrange polynomial from σ to σ'. DDIM's x is scaled by √ᾱ, so there x̂₀ = (x − √(1 − ᾱ) ε̂) / √ᾱ.
Source: Ho & Salimans 2022, arXiv:2207.12598; Karras et al. 2022, arXiv:2206.00364; Song et al. 2020, arXiv:2010.02502.";
}

/// Which word is looked at where.
pub mod attention {
    pub const IDEA: &str = "\
Each place of the picture asks all 77 positions of the text: which of you matter to me? The answers are shares that add up to 1. The map of a word shows where its share is large.
It shows where the network listens. That is often, and not always, where the thing is drawn. Start, end and padding take their shares too.";

    pub const MECHANISM: &str = "\
In a cross-attention layer the queries come from the places of a feature map, keys and values from the text encoder's output. Each of several heads has its own. Stable Diffusion v1 has 16 such layers, of four resolutions.
A map is one position's column of these shares, laid out as the feature map; the mean over the heads unless one is chosen. Maps of several resolutions are brought to one size and averaged, as DAAM does.
The keys and values are the same at every step; the queries change with the latents.";

    pub const FORMULA: &str = "  A = softmax(Q Kᵀ / √d)
  Q = W_q f(x),  K = W_k c,  V = W_v c
  out = W_o (A V)
  Σⱼ Aₚⱼ = 1 at every place p
  share of j = mean over p of Aₚⱼ
f(x) are the features, c the text's vectors, j a position of the text, d a head's width.
Source: Rombach et al. 2022, arXiv:2112.10752; Tang et al. 2022, arXiv:2210.04885 (DAAM); Hertz et al. 2022, arXiv:2208.01626 (changing A).";
}

/// The picture.
pub mod image {
    pub const IDEA: &str = "\
All steps worked on latents: an image eight times smaller each way, whose four channels are no colours. The autoencoder's decoder turns it into pixels.
It was trained before and apart, to put pictures into few numbers and to bring them back. It adds the fine texture that the latents only hint at.";

    pub const MECHANISM: &str = "\
The latents are divided by the scaling factor and go through the decoder: convolutions and residual blocks, self-attention once at the smallest size, and three doublings of the size. Its values, −1 to 1, become 8-bit colours.
The quick previews of the other views do without it: a linear map from four channels to three colours. They cost nearly nothing and have one pixel for each of the latents'.";

    pub const FORMULA: &str = "  y = D(z / s)
  pixel = round(255 · clamp(y/2 + ½))
  preview = z W + b,  W: 4 × 3
s is the autoencoder's scaling factor, 0.18215 in Stable Diffusion v1; it gives its latents a variance of about 1. clamp is to 0 … 1.
Source: Kingma & Welling 2013, arXiv:1312.6114; Rombach et al. 2022, arXiv:2112.10752.";
}
