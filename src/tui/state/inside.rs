//! Where in a network one is: which module is looked at, how deep, and as what its features are shown.

use super::cursor::{Cursor, View, moved};
use super::detail::after;
use super::run::Run;
use crate::checkpoint::Component;
use crate::generation::ModelInfo;
use crate::lesson::Said;
use crate::model::modules::{Line, LineKind, Module};
use crate::trace::{Features, Guidance};
use crate::tui::worker::{ProbeKey, Probed};

/// A place within a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    pub network: Component,
    /// The module, in the order of a forward pass.
    pub module: usize,
    /// The line of the module's computation, where one is within it.
    pub line: Option<usize>,
    pub shows: Shows,
    /// The feature that is shown by itself.
    pub channel: usize,
}

/// What of a module's features is shown as a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// The first three principal components, as a colour.
    Components,
    /// One feature.
    Channel,
    /// The length of the vector of features at each place.
    Norm,
}

impl Shows {
    pub const ALL: [Self; 3] = [Self::Components, Self::Channel, Self::Norm];

    pub fn name(self) -> Said {
        match self {
            Self::Components => ["components", "主成分"],
            Self::Channel => ["one channel", "单个通道"],
            Self::Norm => ["norm", "范数"],
        }
    }
}

impl View {
    /// The network that one can step into from this view.
    pub fn network(self) -> Option<Component> {
        match self {
            Self::Denoising => Some(Component::UNet),
            Self::TextEncoder => Some(Component::TextEncoder),
            Self::Image => Some(Component::Vae),
            _ => None,
        }
    }
}

impl Inside {
    /// At the first module of `network`.
    fn of(network: Component) -> Self {
        Self {
            network,
            module: 0,
            line: None,
            shows: Shows::Components,
            channel: 0,
        }
    }

    /// The module that is looked at; none where the model that made the run is not there.
    pub fn module(self, info: &ModelInfo) -> Option<&Module> {
        info.modules.of(self.network).get(self.module)
    }

    /// The lines of that module.
    pub fn lines(self, info: &ModelInfo) -> Vec<Line> {
        self.module(info).map(Module::lines).unwrap_or_default()
    }

    /// One module or one line on or back.
    fn select(&mut self, info: &ModelInfo, forward: bool) {
        if let Some(line) = self.line {
            self.line = Some(moved(line, self.lines(info).len(), forward));
        } else {
            let count = info.modules.of(self.network).len();
            self.module = moved(self.module, count, forward);
        }
    }

    /// To the next block, or the one before; within a module to the next module that has lines.
    fn leap(&mut self, info: &ModelInfo, forward: bool) {
        let modules = info.modules.of(self.network);
        let Some(here) = modules.get(self.module) else {
            return;
        };
        let fits = |&at: &usize| match self.line {
            Some(_) => !modules[at].lines().is_empty(),
            None => block(&modules[at].path) != block(&here.path),
        };
        let next = if forward {
            (self.module + 1..modules.len()).find(fits)
        } else {
            let before = (0..self.module).rev().find(fits);
            let first = |at: usize| {
                let same = |module: &Module| block(&module.path) == block(&modules[at].path);
                modules.iter().position(same).unwrap_or(at)
            };
            // Of a block, its first module.
            before.map(|at| self.line.map_or_else(|| first(at), |_| at))
        };
        self.module = next.unwrap_or(self.module);
        let lines = self.lines(info).len();
        self.line = self.line.map(|line| line.min(lines.saturating_sub(1)));
    }
}

/// The block that a module belongs to: `down_blocks.0`, `mid_block`, `conv_in`.
fn block(path: &str) -> &str {
    let start = path.find("decoder.").map_or(0, |_| "decoder.".len());
    let mut dots = path[start..].match_indices('.').map(|(at, _)| start + at);
    let parts = usize::from(!path[start..].starts_with("mid_block"));
    dots.nth(parts).map_or(path, |end| &path[..end])
}

/// What an `enter` does at a place.
pub enum Target {
    /// Goes to this place of the network.
    Inside(Inside),
    /// Goes to the attention of this cross-attention layer.
    Attention(usize),
}

impl Cursor {
    /// Where in the network of the view one is, if one has stepped into it.
    pub fn inside(&self) -> Option<Inside> {
        self.inside
            .filter(|inside| self.view.network() == Some(inside.network))
    }

    /// What `enter` leads to from here.
    pub fn leads_to(&self, run: &Run) -> Option<Target> {
        let network = self.view.network()?;
        let Some(inside) = self.inside() else {
            return self.enter(network, run).map(Target::Inside);
        };
        let lines = inside.lines(&run.info);
        let Some(line) = inside.line else {
            let first = Inside {
                line: Some(0),
                ..inside
            };
            return (!lines.is_empty()).then_some(Target::Inside(first));
        };
        let line = lines.get(line)?;
        let is_here = network == Component::UNet && line.kind == LineKind::CrossAttention;
        let mut layers = run.info.cross_attention.iter();
        let layer = layers.position(|layer| is_here && layer.path == line.site)?;
        Some(Target::Attention(layer))
    }

    /// The place in `network` that one comes to from its stage.
    fn enter(&self, network: Component, run: &Run) -> Option<Inside> {
        let place = Inside::of(network);
        match network {
            Component::UNet | Component::Vae => run.newest().map(|_| place),
            Component::TextEncoder => {
                // The states are what goes in, each layer's output, and the last one normed.
                let layers = run.info.text_layers;
                let layer = self.text_layer.checked_sub(1).filter(|&at| at < layers)?;
                Some(Inside {
                    module: layer,
                    line: Some(0),
                    ..place
                })
            }
        }
    }

    /// One depth in.
    pub(super) fn step_into(&mut self, run: &Run) {
        match self.leads_to(run) {
            Some(Target::Inside(place)) => self.inside = Some(place),
            Some(Target::Attention(layer)) => {
                self.view = View::Attention;
                self.attention.layer = Some(layer);
                let heads = self.attention.head_count(&run.info);
                self.attention.head = self.attention.head.filter(|&head| head < heads);
            }
            None => {}
        }
    }

    /// One depth out.
    pub(super) fn step_out(&mut self) {
        self.inside = self.inside().and_then(|inside| {
            let has_modules = inside.network != Component::TextEncoder;
            let is_within = inside.line.is_some() && has_modules;
            is_within.then_some(Inside {
                line: None,
                ..inside
            })
        });
    }

    /// Changes the place where one is inside; false where one is not.
    pub(super) fn walk(&mut self, run: &Run, step: Walk) -> bool {
        let Some(mut inside) = self.inside() else {
            return false;
        };
        let info = &run.info;
        match step {
            Walk::Next(forward) => inside.select(info, forward),
            Walk::Leap(forward) => {
                inside.leap(info, forward);
                if inside.network == Component::TextEncoder {
                    self.text_layer = inside.module + 1;
                }
            }
            Walk::Switch => inside.shows = after(&Shows::ALL, inside.shows, 1),
            Walk::Channel(forward) => {
                let count = self.channels(run);
                inside.channel = moved(inside.channel, count, forward);
                inside.shows = Shows::Channel;
            }
        }
        self.inside = Some(inside);
        true
    }

    /// How many features there are where one is.
    fn channels(&self, run: &Run) -> usize {
        let features = self.probed(run).and_then(|(probed, at)| probed.get(at));
        features.map_or(1, Features::channels)
    }

    /// What was asked of the worker for where one is: all modules, or the lines of one.
    pub fn probe_key(&self) -> Option<ProbeKey> {
        let inside = self.inside()?;
        let half = match inside.network {
            // A decoder has no prompt.
            Component::Vae => Guidance::Cond,
            _ => self.attention.half,
        };
        Some(ProbeKey {
            network: inside.network,
            half,
            step: match inside.network {
                Component::TextEncoder => 0,
                _ => self.step,
            },
            what: match inside.line {
                Some(_) => Probed::Lines(inside.module),
                None => Probed::Modules,
            },
        })
    }

    /// What is known of `run` where one is, and which of it is looked at.
    pub fn probed<'a>(&self, run: &'a Run) -> Option<(&'a [Features], usize)> {
        let (inside, key) = (self.inside()?, self.probe_key()?);
        if inside.line.is_none() {
            let what = Probed::Module(inside.module);
            let of_one = run.probes.get(ProbeKey { what, ..key });
            if let Some(features) = of_one.filter(|features| !features.is_empty()) {
                return Some((features, 0));
            }
        }
        let features = run.probes.get(key)?;
        let at = match inside.line {
            None => inside.module,
            Some(line) => {
                let lines = inside.lines(&run.info);
                let site = &lines.get(line)?.site;
                features.iter().position(|one| *one.path == **site)?
            }
        };
        (at < features.len()).then_some((features, at))
    }
}

/// A step from one place to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// To what comes next, or before.
    Next(bool),
    /// Over to the next block or module, or the one before.
    Leap(bool),
    /// To what else is shown.
    Switch,
    /// To the next channel, or the one before.
    Channel(bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_belong_to_blocks() {
        for (path, expected) in [
            ("conv_in", "conv_in"),
            ("down_blocks.0.resnets.1", "down_blocks.0"),
            ("mid_block.attentions.0", "mid_block"),
            ("decoder.conv_in", "decoder.conv_in"),
            ("decoder.mid_block.resnets.0", "decoder.mid_block"),
            ("decoder.up_blocks.2.upsamplers.0", "decoder.up_blocks.2"),
        ] {
            assert_eq!(block(path), expected);
        }
    }
}
