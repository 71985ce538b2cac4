//! Scaled dot-product attention, `softmax(Q K^T / sqrt(d) + mask) V` (Vaswani et al. 2017), a block of queries at a
//! time.
//!
//! The scores of all queries with all keys are what makes attention large: at 64x64 latents 16 million a head, 64 MiB.
//! They need not be there at once (Rabe & Staats 2021, "Self-attention Does Not Need O(n^2) Memory"). A thread takes a
//! block of queries and one head; its scores fit the core's cache; they become probabilities there, weigh the values,
//! and are overwritten by the next head's. Unlike in Flash attention (Dao et al. 2022) the block holds whole columns,
//! so softmax is exact and the probabilities exist: adding them up over the heads, or keeping them, costs one pass over
//! the block and changes no other arithmetic.
//!
//! A block lies transposed, a row a key and a column a query:
//!
//! ```text
//! scores   (keys, block) = K (keys, size)    Q^T (size, block)
//! result^T (size, block) = V^T (size, keys)  softmax of the scores
//! ```
//!
//! So the vectors of both products run along the queries, of which a block has 48, three vectors of AVX-512, while
//! heads have 40, 80 or 160 features; and softmax goes down the columns, each query in a lane of its own. Where queries
//! do not fill the last vector, it is filled with zeros.
//!
//! Queries, keys, values and the result are `(batch, length, heads * size)`, as the linear layers before and after have
//! them; a head is a strip of columns.

use super::parallel::{self, with_scratch};
use super::product::{Added, Matrix, MatrixMut, product, transpose};
use super::simd::LANES;
use super::softmax::softmax;
use crate::kernels::attention::AttentionDetail;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub batch: usize,
    pub heads: usize,
    pub queries: usize,
    pub keys: usize,
    pub size: usize,
}

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

/// A block of queries of one sequence: what is read and written for it.
struct Block<'a> {
    sequence: usize,
    first: usize,
    /// `(block, heads * size)`.
    out: &'a mut [f32],
    /// [`AttentionDetail::Mean`]: one piece, `(block, keys)`. [`AttentionDetail::Heads`]: one such piece a head.
    kept: Vec<&'a mut [f32]>,
}

impl Sizes {
    /// The result, `(batch, queries, heads * size)`, and the probabilities that are to be kept.
    pub fn attend<'a>(&self, input: &Input<'a>, detail: AttentionDetail) -> (Vec<f32>, Vec<f32>) {
        let Self {
            batch,
            heads,
            queries,
            keys,
            size,
        } = *self;
        let maps = match detail {
            AttentionDetail::None => 0,
            AttentionDetail::Mean => batch,
            AttentionDetail::Heads => batch * heads,
        };
        let mut out = vec![0.0; batch * queries * heads * size];
        let mut probs = vec![0.0; maps * queries * keys];
        let values = self.transposed_values(input);
        let scale = 1.0 / (size as f32).sqrt();

        let blocks = self.blocks(&mut out, Some(&mut probs));
        parallel::each(blocks, |mut block| {
            let rows = block.out.len() / self.width();
            let columns = rows.next_multiple_of(LANES);
            let sum = if detail == AttentionDetail::Mean {
                keys
            } else {
                0
            };
            with_scratch((2 * size + keys + sum) * columns, |scratch| {
                let (query, scratch) = scratch.split_at_mut(size * columns);
                let (weighed, scratch) = scratch.split_at_mut(size * columns);
                let (scores, sum) = scratch.split_at_mut(keys * columns);
                let mask = input.mask.map(|mask| {
                    let mut out = vec![0.0; keys * columns];
                    let mask = Matrix::new(&mask[block.first * keys..], rows, keys);
                    transpose(mask, &mut MatrixMut::strided(&mut out, keys, rows, columns));
                    out
                });
                query.fill(0.0);
                for head in 0..heads {
                    let strip = |all: &'a [f32], length, first, count| {
                        let from = self.at(block.sequence, length, first, head);
                        Matrix::strided(&all[from..], count, size, self.width())
                    };
                    let queries = strip(input.query, queries, block.first, rows);
                    transpose(queries, &mut MatrixMut::strided(query, size, rows, columns));
                    product(
                        &mut MatrixMut::new(scores, keys, columns),
                        0,
                        strip(input.key, keys, 0, keys),
                        Matrix::new(query, size, columns),
                        Added::default(),
                    );
                    softmax(scores, columns, scale, mask.as_deref());
                    let hand_out = |probs: &[f32], kept: &mut [f32]| {
                        let probs = Matrix::strided(probs, keys, rows, columns);
                        transpose(probs, &mut MatrixMut::new(kept, rows, keys));
                    };
                    match detail {
                        AttentionDetail::None => {}
                        AttentionDetail::Mean => {
                            add(sum, scores, head == 0);
                            if head + 1 == heads {
                                let share = 1.0 / heads as f32;
                                for sum in sum.iter_mut() {
                                    *sum *= share;
                                }
                                hand_out(sum, block.kept[0]);
                            }
                        }
                        AttentionDetail::Heads => hand_out(scores, block.kept[head]),
                    }
                    let values = &values[block.sequence * heads + head];
                    self.weigh_block(&mut block, head, scores, values, weighed);
                }
            });
        });
        (out, probs)
    }

    /// `probs V` for given probabilities `(batch, heads, queries, keys)`.
    pub fn weigh(&self, probs: &[f32], input: &Input) -> Vec<f32> {
        let mut out = vec![0.0; self.batch * self.queries * self.width()];
        let values = self.transposed_values(input);
        parallel::each(self.blocks(&mut out, None), |mut block| {
            let rows = block.out.len() / self.width();
            let columns = rows.next_multiple_of(LANES);
            with_scratch((self.size + self.keys) * columns, |scratch| {
                let (weighed, transposed) = scratch.split_at_mut(self.size * columns);
                transposed.fill(0.0);
                for head in 0..self.heads {
                    let strip = block.sequence * self.heads + head;
                    let map = &probs[(strip * self.queries + block.first) * self.keys..];
                    transpose(
                        Matrix::new(map, rows, self.keys),
                        &mut MatrixMut::strided(transposed, self.keys, rows, columns),
                    );
                    self.weigh_block(&mut block, head, transposed, &values[strip], weighed);
                }
            });
        });
        out
    }

    /// One head's share of a block's result: `values` `(size, keys)` times `probs` `(keys, block)`.
    fn weigh_block(
        &self,
        block: &mut Block,
        head: usize,
        probs: &[f32],
        values: &[f32],
        weighed: &mut [f32],
    ) {
        let columns = probs.len() / self.keys;
        product(
            &mut MatrixMut::new(weighed, self.size, columns),
            0,
            Matrix::new(values, self.size, self.keys),
            Matrix::new(probs, self.keys, columns),
            Added::default(),
        );
        let out = block.out.chunks_exact_mut(self.width());
        for (row, out) in out.enumerate() {
            let out = &mut out[head * self.size..][..self.size];
            for (out, feature) in out.iter_mut().zip(weighed.chunks_exact(columns)) {
                *out = feature[row];
            }
        }
    }

    /// Features of all heads.
    fn width(&self) -> usize {
        self.heads * self.size
    }

    /// Where the features of a position of a head begin, in sequences of `length`.
    fn at(&self, sequence: usize, length: usize, position: usize, head: usize) -> usize {
        (sequence * length + position) * self.width() + head * self.size
    }

    /// The values of every head of every sequence, `(size, keys)`.
    fn transposed_values(&self, input: &Input) -> Vec<Vec<f32>> {
        parallel::map(self.batch * self.heads, |index| {
            let from = self.at(index / self.heads, self.keys, 0, index % self.heads);
            let values = &input.value[from.min(input.value.len())..];
            let mut out = vec![0.0; self.size * self.keys];
            let values = Matrix::strided(values, self.keys, self.size, self.width());
            transpose(values, &mut MatrixMut::new(&mut out, self.size, self.keys));
            out
        })
    }

    /// How many queries a thread works off at once: their scores have to stay in a core's cache, there should be some
    /// blocks to share, and vectors should be whole.
    fn queries_at_once(&self) -> usize {
        const CACHE: usize = 200 << 10; // values; 800 KiB
        let fit = (CACHE / self.keys.max(1) / LANES * LANES).clamp(LANES, 3 * LANES);
        self.queries.div_ceil(4).next_multiple_of(LANES).min(fit)
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
