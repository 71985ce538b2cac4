//! The places at which a hook meets the UNet's values.

/// A place in the UNet at which a hook may look at a value, or replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The module's path, whose output the value is: `mid_block.resnets.1`. Two kinds of values are no module's output in
    /// diffusers: `….attn1.heads` and `….attn2.heads` are what the heads of an attention layer give, side by side,
    /// `(batch, pixels, channels)`, before `to_out.0`; `up_blocks.I.resnets.J.skip` is the skip that this residual
    /// block takes.
    pub path: String,
    /// Of an attention layer: its number of heads.
    pub heads: Option<usize>,
}

impl Site {
    /// A module that is no attention layer, or a skip.
    pub(super) fn plain(path: impl Into<String>) -> Self {
        let path = path.into();
        Self { path, heads: None }
    }
}

/// The path of the site that has what the heads of the layer at `path` give.
pub fn heads_path(path: &str) -> String {
    format!("{path}.heads")
}

/// The paths of the sites that have what the layer at `path` makes its queries, keys and values: of the linear layers
/// `to_q`, `to_k` and `to_v`.
pub fn projection_paths(path: &str) -> [String; 3] {
    ["to_q", "to_k", "to_v"].map(|projection| format!("{path}.{projection}"))
}
