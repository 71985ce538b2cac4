//! Scaled dot-product attention, `softmax(Q K^T / sqrt(d) + mask) V` (Vaswani et al. 2017), a block of queries at a time.
//!
//! The scores of all queries with all keys are what makes attention large: at 64x64 latents 16 million a head, 64 MiB.
//! They need not be there at once (Rabe & Staats 2021, "Self-attention Does Not Need O(n^2) Memory"). A thread takes a
//! block of queries and one head; its scores fit the core's cache; they become probabilities there, weigh the values, and
//! are overwritten by the next head's. Unlike in Flash attention (Dao et al. 2022) the block holds whole rows, so softmax is
//! exact and the probabilities exist: adding them up over the heads, or keeping them, costs one pass over the block and
//! changes no other arithmetic.
//!
//! Queries, keys, values and the result are `(batch, length, heads * size)`, as the linear layers before and after have
//! them; a head is a strip of columns.

use super::parallel::{self, with_scratch};
use super::product::{Added, Matrix, MatrixMut, Weights, product};
use super::simd::LANES;
use super::softmax::softmax;

/// The sizes of one attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Number of sequences.
    pub batch: usize,
    /// Number of heads.
    pub heads: usize,
    /// Number of queries of a sequence.
    pub queries: usize,
    /// Number of keys and values of a sequence.
    pub keys: usize,
    /// Features of a head.
    pub size: usize,
}

/// Queries, keys and values.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// `(batch, queries, heads * size)`.
    pub query: &'a [f32],
    /// `(batch, keys, heads * size)`.
    pub key: &'a [f32],
    /// `(batch, keys, heads * size)`.
    pub value: &'a [f32],
    /// Added to the scores of every head, `(queries, keys)`.
    pub mask: Option<&'a [f32]>,
}

/// Which probabilities are handed out besides the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// None.
    Nothing,
    /// Their mean over the heads, `(batch, queries, keys)`.
    Mean,
    /// All, `(batch, heads, queries, keys)`.
    Heads,
}

/// One head's keys and values.
struct Strip {
    /// `(size, keys)`.
    keys: Weights,
    /// `(keys, padded size)`.
    values: Vec<f32>,
}

/// A block of queries of one sequence: what is read and written for it.
struct Block<'a> {
    sequence: usize,
    /// Its first query.
    first: usize,
    /// `(block, heads * size)`.
    out: &'a mut [f32],
    /// [`Keep::Mean`]: one piece, `(block, keys)`. [`Keep::Heads`]: one such piece a head.
    kept: Vec<&'a mut [f32]>,
}

impl Sizes {
    /// The result, `(batch, queries, heads * size)`, and the probabilities that are to be kept.
    pub fn attend(&self, input: &Input, keep: Keep) -> (Vec<f32>, Vec<f32>) {
        let Self {
            batch,
            heads,
            queries,
            keys,
            size,
        } = *self;
        let maps = match keep {
            Keep::Nothing => 0,
            Keep::Mean => batch,
            Keep::Heads => batch * heads,
        };
        let mut out = vec![0.0; batch * queries * heads * size];
        let mut probs = vec![0.0; maps * queries * keys];
        let strips = self.strips(input);
        let scale = 1.0 / (size as f32).sqrt();

        let blocks = self.blocks(&mut out, Some(&mut probs));
        parallel::each(blocks, |mut block| {
            let rows = block.out.len() / self.width();
            with_scratch(rows * (keys + self.padded()), |scratch| {
                let (scores, weighed) = scratch.split_at_mut(rows * keys);
                let mask = input
                    .mask
                    .map(|mask| &mask[block.first * keys..][..rows * keys]);
                for head in 0..heads {
                    let strip = &strips[block.sequence * heads + head];
                    let query = &input.query[self.at(block.sequence, queries, block.first, head)..];
                    strip.keys.multiply(
                        Matrix::strided(query, rows, size, self.width()),
                        &mut MatrixMut::new(scores, rows, keys),
                        Added::default(),
                    );
                    softmax(scores, keys, scale, mask);
                    match keep {
                        Keep::Nothing => {}
                        Keep::Mean => add(block.kept[0], scores, head == 0),
                        Keep::Heads => block.kept[head].copy_from_slice(scores),
                    }
                    self.weigh_block(&mut block, head, scores, &strip.values, weighed);
                }
                if keep == Keep::Mean {
                    let share = 1.0 / heads as f32;
                    block.kept[0].iter_mut().for_each(|sum| *sum *= share);
                }
            });
        });
        (out, probs)
    }

    /// `probs V` for given probabilities `(batch, heads, queries, keys)`.
    pub fn weigh(&self, probs: &[f32], input: &Input) -> Vec<f32> {
        let mut out = vec![0.0; self.batch * self.queries * self.width()];
        let strips = self.strips(input);
        parallel::each(self.blocks(&mut out, None), |mut block| {
            let rows = block.out.len() / self.width();
            with_scratch(rows * self.padded(), |weighed| {
                for head in 0..self.heads {
                    let strip = block.sequence * self.heads + head;
                    let map = strip * self.queries + block.first;
                    let probs = &probs[map * self.keys..][..rows * self.keys];
                    self.weigh_block(&mut block, head, probs, &strips[strip].values, weighed);
                }
            });
        });
        out
    }

    /// One head's share of a block's result: `probs` `(block, keys)` times `values` `(keys, padded size)`.
    fn weigh_block(
        &self,
        block: &mut Block,
        head: usize,
        probs: &[f32],
        values: &[f32],
        weighed: &mut [f32],
    ) {
        let padded = self.padded();
        let rows = probs.len() / self.keys;
        product(
            MatrixMut::new(weighed, rows, padded),
            Matrix::new(probs, rows, self.keys),
            Matrix::new(values, self.keys, padded),
        );
        let out = block.out.chunks_exact_mut(self.width());
        for (out, weighed) in out.zip(weighed.chunks_exact(padded)) {
            out[head * self.size..][..self.size].copy_from_slice(&weighed[..self.size]);
        }
    }

    /// Features of a head with the zeros after them: products are fastest over whole vector registers.
    fn padded(&self) -> usize {
        self.size.next_multiple_of(LANES)
    }

    /// Features of all heads.
    fn width(&self) -> usize {
        self.heads * self.size
    }

    /// Where the features of a position of a head begin, in sequences of `length`.
    fn at(&self, sequence: usize, length: usize, position: usize, head: usize) -> usize {
        (sequence * length + position) * self.width() + head * self.size
    }

    /// Keys and values of every head of every sequence, in the order in which the products read them.
    fn strips(&self, input: &Input) -> Vec<Strip> {
        let Self {
            batch,
            heads,
            keys,
            size,
            ..
        } = *self;
        parallel::map(batch * heads, |index| {
            let from = self.at(index / heads, keys, 0, index % heads);
            let [key, value] = [input.key, input.value]
                .map(|all| Matrix::strided(&all[from..], keys, size, self.width()));
            let mut values = vec![0.0; keys * self.padded()];
            let padded = values.chunks_exact_mut(self.padded());
            for (out, row) in padded.zip(value.rows()) {
                out[..size].copy_from_slice(row);
            }
            Strip {
                keys: Weights::from_transposed(key),
                values,
            }
        })
    }

    /// How many queries a thread works off at once: their scores have to stay in a core's cache, and there should be
    /// some blocks to share.
    fn queries_at_once(&self) -> usize {
        const CACHE: usize = 128 << 10; // values; 512 KiB
        let fit = (CACHE / self.keys.max(1)).clamp(8, 48);
        self.queries.div_ceil(4).next_multiple_of(4).min(fit)
    }

    /// The blocks of all queries; `probs` are the probabilities to be kept, of any kind.
    fn blocks<'a>(&self, out: &'a mut [f32], probs: Option<&'a mut Vec<f32>>) -> Vec<Block<'a>> {
        let at_once = self.queries_at_once();
        let sequence = (self.queries * self.width()).max(1);
        let mut blocks: Vec<Block> = (out.chunks_mut(sequence).enumerate())
            .flat_map(|(sequence, out)| {
                let pieces = out.chunks_mut(at_once * self.width()).enumerate();
                pieces.map(move |(index, out)| Block {
                    sequence,
                    first: index * at_once,
                    out,
                    kept: Vec::new(),
                })
            })
            .collect();
        let per_sequence = blocks.len() / self.batch.max(1);
        let maps = probs
            .map_or(&mut [][..], |probs| probs)
            .chunks_mut((self.queries * self.keys).max(1));
        let per_map = maps.len() / self.batch.max(1);
        for (index, map) in maps.enumerate() {
            let first = index / per_map * per_sequence;
            let pieces = map.chunks_mut(at_once * self.keys);
            for (block, piece) in blocks[first..].iter_mut().zip(pieces) {
                block.kept.push(piece);
            }
        }
        blocks
    }
}

/// Adds up, or begins a sum.
fn add(sum: &mut [f32], values: &[f32], begins: bool) {
    if begins {
        sum.copy_from_slice(values);
    } else {
        for (sum, &value) in sum.iter_mut().zip(values) {
            *sum += value;
        }
    }
}
