//! The networks as their modules: what one can step into, and the lines of its computation.

/// A module of a network, in the order of a forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its path, which is the site of its output.
    pub path: String,
    /// What it is.
    pub kind: ModuleKind,
    /// How many times the network's largest feature map is halved where its output is.
    pub level: usize,
    /// On which side of a UNet it is; all of a decoder but its middle lies on the way up.
    pub side: Side,
    /// Of a residual block on the way up: the index of the module whose output it takes as its skip.
    pub skip: Option<usize>,
}

/// What a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleKind {
    /// A convolution by itself: the first one, and the last.
    Convolution,
    /// A residual block (He et al. 2015).
    Resnet {
        /// Is the time added in its middle?
        takes_time: bool,
        /// Is its shortcut a convolution?
        has_shortcut: bool,
    },
    /// A spatial transformer (Rombach et al. 2022): it attends to the picture and to the prompt.
    Transformer {
        /// Transformer blocks.
        blocks: usize,
        /// Do pixels become a sequence before its projection, and not after it?
        is_linear: bool,
    },
    /// Attention of all places to all, with one head.
    PixelAttention,
    /// A convolution that halves height and width.
    Downsampler,
    /// Twice the height and width, then a convolution.
    Upsampler,
    /// A layer of the text encoder.
    TextLayer,
}

/// On which side of the U a module lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On the way down.
    Down,
    /// At the bottom.
    Middle,
    /// On the way up.
    Up,
}

impl Module {
    /// A module without a skip.
    pub fn new(path: &str, kind: ModuleKind, level: usize, side: Side) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            level,
            side,
            skip: None,
        }
    }

    /// The lines of its computation, in their order; of a module that has none but its own, nothing.
    pub fn lines(&self) -> Vec<Line> {
        let lines: Vec<(LineKind, String)> = match self.kind {
            ModuleKind::Resnet {
                takes_time,
                has_shortcut,
            } => resnet_lines(takes_time, has_shortcut),
            ModuleKind::Transformer { blocks, is_linear } => transformer_lines(blocks, is_linear),
            ModuleKind::TextLayer => text_lines(),
            _ => Vec::new(),
        };
        let site = |name: String| match name.as_str() {
            "" => self.path.clone(),
            name => format!("{}.{name}", self.path),
        };
        let line = |(kind, name)| Line {
            kind,
            site: site(name),
        };
        lines.into_iter().map(line).collect()
    }
}

/// One line of a module's computation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it does.
    pub kind: LineKind,
    /// The path of its value's site: an output, or a value inside of a module.
    pub site: String,
}

/// What a line of a module's computation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// What comes in.
    Input,
    /// Group normalisation.
    GroupNorm,
    /// Layer normalisation.
    LayerNorm,
    /// The activation after a normalisation.
    Silu,
    /// A 3x3 convolution.
    Convolution,
    /// What the time gives this block: one number a channel.
    Time,
    /// The time is added, at every place.
    PlusTime,
    /// The 1x1 projection into the transformer.
    ProjectionIn,
    /// `b c h w -> b (h w) c`.
    Flatten,
    /// Attention of a sequence to itself.
    SelfAttention,
    /// Attention to the prompt.
    CrossAttention,
    /// The gated GELU of the feed-forward network.
    Gated,
    /// The feed-forward network.
    FeedForward,
    /// What came before, plus what the line above gives.
    Sum,
    /// `b (h w) c -> b c h w`.
    Unflatten,
    /// The projection out of the transformer, which training began at 0.
    ProjectionOut,
    /// A 1x1 convolution of what came in.
    Shortcut,
    /// The first layer of the text encoder's two-layer network.
    FirstLinear,
    /// Its activation.
    Activation,
    /// What goes out: what came in, plus what was computed from it.
    Output,
}

impl LineKind {
    /// Is its value added to something, and not handed on by itself?
    pub fn is_branch(self) -> bool {
        matches!(
            self,
            Self::SelfAttention | Self::CrossAttention | Self::FeedForward | Self::ProjectionOut
        )
    }
}

fn resnet_lines(takes_time: bool, has_shortcut: bool) -> Vec<(LineKind, String)> {
    let time = [
        (LineKind::Time, "time_emb_proj"),
        (LineKind::PlusTime, "conv1.sum"),
    ];
    let mut lines = vec![
        (LineKind::Input, "input"),
        (LineKind::GroupNorm, "norm1"),
        (LineKind::Silu, "norm1.silu"),
        (LineKind::Convolution, "conv1"),
    ];
    lines.extend(time.into_iter().filter(|_| takes_time));
    lines.extend([
        (LineKind::GroupNorm, "norm2"),
        (LineKind::Silu, "norm2.silu"),
        (LineKind::Convolution, "conv2"),
    ]);
    if has_shortcut {
        lines.push((LineKind::Shortcut, "shortcut"));
    }
    lines.push((LineKind::Output, ""));
    owned(lines)
}

fn transformer_lines(blocks: usize, is_linear: bool) -> Vec<(LineKind, String)> {
    let in_block = [
        (LineKind::LayerNorm, "norm1"),
        (LineKind::SelfAttention, "attn1"),
        (LineKind::Sum, "attn1.sum"),
        (LineKind::LayerNorm, "norm2"),
        (LineKind::CrossAttention, "attn2"),
        (LineKind::Sum, "attn2.sum"),
        (LineKind::LayerNorm, "norm3"),
        (LineKind::Gated, "ff.net.0"),
        (LineKind::FeedForward, "ff"),
        (LineKind::Sum, "ff.sum"),
    ];
    let of_block = |block: usize, name: &str| format!("transformer_blocks.{block}.{name}");
    let last = of_block(blocks.saturating_sub(1), "ff.sum");
    let mut lines = owned([(LineKind::Input, "input"), (LineKind::GroupNorm, "norm")]);
    // The sequence is the same numbers as the picture that it was made of.
    let project = (LineKind::ProjectionIn, "proj_in".to_owned());
    let flatten = |site: &str| (LineKind::Flatten, site.to_owned());
    if is_linear {
        lines.extend([flatten("norm"), project]);
    } else {
        lines.extend([project, flatten(&of_block(0, "input"))]);
    }
    for block in 0..blocks {
        let of_block = |(kind, name): (LineKind, &str)| (kind, of_block(block, name));
        lines.extend(in_block.map(of_block));
    }
    let project = (LineKind::ProjectionOut, "proj_out".to_owned());
    if is_linear {
        lines.extend([project, (LineKind::Unflatten, "proj_out".to_owned())]);
    } else {
        lines.extend([(LineKind::Unflatten, last), project]);
    }
    lines.push((LineKind::Output, String::new()));
    lines
}

fn text_lines() -> Vec<(LineKind, String)> {
    owned([
        (LineKind::Input, "input"),
        (LineKind::LayerNorm, "layer_norm1"),
        (LineKind::SelfAttention, "self_attn"),
        (LineKind::Sum, "self_attn.sum"),
        (LineKind::LayerNorm, "layer_norm2"),
        (LineKind::FirstLinear, "mlp.fc1"),
        (LineKind::Activation, "mlp.activation_fn"),
        (LineKind::FeedForward, "mlp"),
        (LineKind::Output, ""),
    ])
}

fn owned<'a>(lines: impl IntoIterator<Item = (LineKind, &'a str)>) -> Vec<(LineKind, String)> {
    let lines = lines.into_iter();
    lines.map(|(kind, name)| (kind, name.to_owned())).collect()
}

/// Gives every residual block on the way up of a UNet the module whose output it takes: skips are taken in the reverse of
/// the order in which they were left.
pub(super) fn link_skips(modules: &mut [Module]) {
    let mut left = Vec::new();
    for index in 0..modules.len() {
        let is_resnet = |module: &Module| matches!(module.kind, ModuleKind::Resnet { .. });
        let is_transformer =
            |module: &Module| matches!(module.kind, ModuleKind::Transformer { .. });
        match modules[index].side {
            Side::Down => {
                // A residual block that a transformer comes after leaves nothing itself.
                let goes_on = is_resnet(&modules[index])
                    && modules.get(index + 1).is_some_and(is_transformer);
                if !goes_on {
                    left.push(index);
                }
            }
            Side::Up if is_resnet(&modules[index]) => modules[index].skip = left.pop(),
            Side::Middle | Side::Up => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_taken_in_the_reverse_order() {
        let resnet = ModuleKind::Resnet {
            takes_time: true,
            has_shortcut: false,
        };
        let transformer = ModuleKind::Transformer {
            blocks: 1,
            is_linear: false,
        };
        let mut modules: Vec<Module> = [
            ("conv_in", ModuleKind::Convolution, Side::Down),
            ("down.res", resnet, Side::Down),
            ("down.attn", transformer, Side::Down),
            ("down.down", ModuleKind::Downsampler, Side::Down),
            ("mid.res", resnet, Side::Middle),
            ("up.res.0", resnet, Side::Up),
            ("up.attn.0", transformer, Side::Up),
            ("up.res.1", resnet, Side::Up),
            ("up.res.2", resnet, Side::Up),
            ("conv_out", ModuleKind::Convolution, Side::Up),
        ]
        .map(|(path, kind, side)| Module::new(path, kind, 0, side))
        .into();
        link_skips(&mut modules);
        let skips: Vec<_> = modules.iter().filter_map(|module| module.skip).collect();
        assert_eq!(skips, [3, 2, 0]);
    }

    #[test]
    fn a_transformer_has_the_lines_of_the_paper_in_their_order() {
        let module = |is_linear| {
            let kind = ModuleKind::Transformer {
                blocks: 1,
                is_linear,
            };
            Module::new("attentions.0", kind, 0, Side::Middle)
        };
        let kinds = |is_linear| -> Vec<LineKind> {
            let lines = module(is_linear).lines().into_iter();
            lines.map(|line| line.kind).collect()
        };
        let lines = module(false).lines();
        assert_eq!(lines[3].site, "attentions.0.transformer_blocks.0.input");
        assert_eq!(lines[lines.len() - 1].site, "attentions.0");
        assert_eq!(
            kinds(false)[..4],
            [
                LineKind::Input,
                LineKind::GroupNorm,
                LineKind::ProjectionIn,
                LineKind::Flatten
            ]
        );
        assert_eq!(
            kinds(true)[2..4],
            [LineKind::Flatten, LineKind::ProjectionIn]
        );
        assert_eq!(kinds(true).len(), kinds(false).len());
    }
}
