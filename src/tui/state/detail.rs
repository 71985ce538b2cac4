//! What the views of the text, the noise and the schedule show beside the shared cursor: small choices, each with one
//! key.

use super::action::Action;
use crate::generation::LeftOutOf;
pub use crate::lesson::{Curve, Part, Side};
use crate::lesson::{Said, View};
use crate::scheduler::SchedulerKind;

/// Step counts that the schedule laid over this run's can have.
pub const OTHER_STEPS: [usize; 9] = [4, 8, 10, 15, 20, 25, 30, 50, 100];

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Token, Self::Position, Self::Sum];

    pub(crate) fn name(self) -> Said {
        match self {
            Self::Token => ["token", "词元"],
            Self::Position => ["position", "位置"],
            Self::Sum => ["sum", "相加"],
        }
    }
}

impl Curve {
    pub(crate) const ALL: [Self; 3] = [Self::Sigma, Self::Alphas, Self::Betas];

    /// Its name in papers and in diffusers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sigma => "sigmas",
            Self::Alphas => "alphas_cumprod",
            Self::Betas => "betas",
        }
    }
}

/// What the view of the prompt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PromptPart {
    #[default]
    Request,
    /// What the picture loses with every word.
    Effects(LeftOutOf),
}

impl PromptPart {
    pub const ALL: [Self; 3] = [
        Self::Request,
        Self::Effects(LeftOutOf::Input),
        Self::Effects(LeftOutOf::Reads),
    ];

    pub(crate) fn name(self) -> Said {
        match self {
            Self::Request => ["request", "请求"],
            Self::Effects(LeftOutOf::Input) => ["words left out of the input", "输入中去掉词"],
            Self::Effects(LeftOutOf::Reads) => {
                ["left out of what the UNet reads", "UNet 读到的内容中去掉词"]
            }
        }
    }
}

/// By what the words of the prompt are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EffectsOrder {
    #[default]
    Prompt,
    Attention,
    Picture,
}

impl EffectsOrder {
    pub const ALL: [Self; 3] = [Self::Prompt, Self::Attention, Self::Picture];
}

/// What the view of the text encoder shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextPart {
    #[default]
    Layers,
    /// A picture from every layer.
    Pictures,
}

impl TextPart {
    pub const ALL: [Self; 2] = [Self::Layers, Self::Pictures];

    pub(crate) fn name(self) -> Said {
        match self {
            Self::Layers => ["layers", "各层"],
            Self::Pictures => ["a picture from every layer", "每一层一张图"],
        }
    }
}

/// What the view of denoising shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepPart {
    #[default]
    Pictures,
    /// Both predictions as arrows.
    Guidance,
    /// The way through latent space.
    Path,
}

impl StepPart {
    pub const ALL: [Self; 3] = [Self::Pictures, Self::Guidance, Self::Path];

    pub(crate) fn name(self) -> Said {
        match self {
            Self::Pictures => ["the step", "这一步"],
            Self::Guidance => ["guidance as arrows", "引导的箭头"],
            Self::Path => ["the way through latent space", "潜空间里的路径"],
        }
    }
}

/// What the view of the picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImagePart {
    #[default]
    Picture,
    /// Every step of the run.
    Steps,
    /// The same step of several runs.
    Runs,
}

impl ImagePart {
    pub const ALL: [Self; 3] = [Self::Picture, Self::Steps, Self::Runs];

    pub(crate) fn name(self) -> Said {
        match self {
            Self::Picture => ["picture", "图片"],
            Self::Steps => ["every step", "每一步"],
            Self::Runs => ["this step of every run", "每个运行的这一步"],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Axis {
    Linear,
    #[default]
    Logarithmic,
}

/// The choices of all views but attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detail {
    pub prompt: PromptPart,
    pub order: EffectsOrder,
    pub text: TextPart,
    pub step: StepPart,
    pub image: ImagePart,
    /// The text whose tokens are shown.
    pub side: Side,
    pub part: Part,
    /// The text encoder's attention head; `None` for the mean over all.
    pub text_head: Option<usize>,
    /// Is the noise shown times the initial sigma?
    pub scaled: bool,
    pub curve: Curve,
    pub axis: Axis,
    /// The scheduler whose schedule lies over this run's.
    pub other: Option<SchedulerKind>,
    /// How many steps that schedule has; `None` for as many as this run was asked for.
    pub other_steps: Option<usize>,
}

impl Detail {
    /// Carries out `action` in `view`. `heads` is the number of heads that the text encoder's layer has, `steps` that
    /// of the steps that were asked for.
    pub fn update(&mut self, action: &Action, view: View, heads: usize, steps: usize) {
        match (action, view) {
            (Action::Switch, View::Tokens) => {
                self.side = after(&[Side::Prompt, Side::Negative], self.side, 1);
            }
            (Action::Switch, View::Prompt) => {
                self.prompt = after(&PromptPart::ALL, self.prompt, 1);
            }
            (Action::SwitchMeasure, View::Prompt) => {
                self.order = after(&EffectsOrder::ALL, self.order, 1);
            }
            (Action::Switch, View::TextEncoder) => self.text = after(&TextPart::ALL, self.text, 1),
            (Action::Switch, View::Denoising) => self.step = after(&StepPart::ALL, self.step, 1),
            (Action::Switch, View::Image) => self.image = after(&ImagePart::ALL, self.image, 1),
            (Action::Switch, View::Embedding) => self.part = after(&Part::ALL, self.part, 1),
            (Action::Switch, View::Noise) => self.scaled = !self.scaled,
            (Action::Switch, View::Schedule) => self.curve = after(&Curve::ALL, self.curve, 1),
            (Action::SwitchAxis, View::Schedule) => {
                self.axis = after(&[Axis::Linear, Axis::Logarithmic], self.axis, 1);
            }
            (Action::NextSchedule, View::Schedule) => {
                let mut all = SchedulerKind::ALL.into_iter();
                // What is left of all of them begins with the next.
                self.other.and_then(|kind| all.find(|&one| one == kind));
                self.other = all.next();
            }
            (Action::Less | Action::More, View::Schedule) => {
                let now = self.other_steps.unwrap_or(steps);
                let mut all = OTHER_STEPS.into_iter();
                let next = match action {
                    Action::Less => all.rfind(|&steps| steps < now),
                    _ => all.find(|&steps| steps > now),
                };
                self.other_steps = next.or(self.other_steps);
            }
            (Action::NextHead, View::TextEncoder) => {
                self.text_head = next_head(self.text_head, heads);
            }
            _ => {}
        }
    }
}

/// The head after `now` of so many; the mean after the last, and the first after the mean.
pub(super) fn next_head(now: Option<usize>, heads: usize) -> Option<usize> {
    let next = now.map_or(0, |head| head + 1);
    (next < heads).then_some(next)
}

/// The one that comes so many after `now` in `all`; the first after the last.
pub(super) fn after<T: Copy + PartialEq>(all: &[T], now: T, by: usize) -> T {
    let at = all.iter().position(|&one| one == now).unwrap_or(0);
    all[(at + by) % all.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(detail: &mut Detail, view: View, action: &Action, times: usize) {
        for _ in 0..times {
            detail.update(action, view, 2, 10);
        }
    }

    #[test]
    fn every_choice_comes_round_again() {
        let mut detail = Detail::default();
        press(&mut detail, View::Tokens, &Action::Switch, 1);
        assert_eq!(detail.side, Side::Negative);
        press(&mut detail, View::Tokens, &Action::Switch, 1);
        press(&mut detail, View::Embedding, &Action::Switch, 3);
        press(&mut detail, View::Prompt, &Action::Switch, 3);
        press(&mut detail, View::Prompt, &Action::SwitchMeasure, 3);
        press(&mut detail, View::TextEncoder, &Action::Switch, 2);
        press(&mut detail, View::Denoising, &Action::Switch, 3);
        press(&mut detail, View::Image, &Action::Switch, 3);
        press(&mut detail, View::Schedule, &Action::Switch, 3);
        press(&mut detail, View::Schedule, &Action::NextSchedule, 8);
        press(&mut detail, View::TextEncoder, &Action::NextHead, 3);
        assert_eq!(detail, Detail::default());
    }

    #[test]
    fn the_other_schedule_has_more_or_fewer_steps() {
        let mut detail = Detail::default();
        // The run has 10 steps: from there it goes up and down.
        press(&mut detail, View::Schedule, &Action::More, 2);
        assert_eq!(detail.other_steps, Some(20));
        press(&mut detail, View::Schedule, &Action::More, 20);
        assert_eq!(detail.other_steps, Some(100));
        press(&mut detail, View::Schedule, &Action::Less, 20);
        assert_eq!(detail.other_steps, Some(4));
        let mut detail = Detail::default();
        press(&mut detail, View::Schedule, &Action::Less, 1);
        assert_eq!(detail.other_steps, Some(8));
    }

    #[test]
    fn a_key_changes_nothing_in_another_view() {
        let mut detail = Detail::default();
        press(&mut detail, View::Image, &Action::SwitchMeasure, 1);
        press(&mut detail, View::Tokens, &Action::NextSchedule, 1);
        press(&mut detail, View::Attention, &Action::NextHead, 1);
        assert_eq!(detail, Detail::default());
    }
}
