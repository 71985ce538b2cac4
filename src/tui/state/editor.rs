//! The form in which a request is edited.

use std::str::FromStr;

use super::action::Typing;
use super::detail::after;
use super::line::LineEditor;
use crate::generation::{NoPatch, Patch, Request, RequestError};
use crate::lesson::Said;
use crate::random::{NoEntropy, random_seed};
use crate::scheduler::SchedulerKind;
use crate::tui::errors;

/// A field that does not have what it must, and what is said of it, in English and in Chinese.
pub type Refusal = (Field, [String; 2]);

/// What asks for a seed that nobody has chosen, in English and in Chinese.
const RANDOM: Said = ["random", "随机"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Prompt,
    Negative,
    Seed,
    Steps,
    Guidance,
    Scheduler,
    Model,
    /// What is done to modules of the UNet; there where something is.
    Patches,
}

impl Field {
    const ALL: [Self; 8] = [
        Self::Prompt,
        Self::Negative,
        Self::Seed,
        Self::Steps,
        Self::Guidance,
        Self::Scheduler,
        Self::Model,
        Self::Patches,
    ];

    /// Those of a new run's form, or of a branch's, which keeps its model; with modules of the UNet where something is done
    /// to them.
    pub fn of(branch: bool, request: &Request) -> &'static [Self] {
        let all = if request.patches.is_empty() {
            &Self::ALL[..Self::ALL.len() - 1]
        } else {
            &Self::WITH_PATCHES
        };
        &all[..all.len() - usize::from(branch)]
    }

    /// All of them in their order on the screen.
    const WITH_PATCHES: [Self; 8] = [
        Self::Prompt,
        Self::Negative,
        Self::Seed,
        Self::Steps,
        Self::Guidance,
        Self::Scheduler,
        Self::Patches,
        Self::Model,
    ];

    pub fn name(self) -> Said {
        match self {
            Self::Prompt => ["prompt", "提示词"],
            Self::Negative => ["negative prompt", "负面提示词"],
            Self::Seed => ["seed", "种子"],
            Self::Steps => ["steps", "步数"],
            Self::Guidance => ["guidance scale", "引导强度"],
            Self::Scheduler => ["scheduler", "采样器"],
            Self::Model => ["model", "模型"],
            Self::Patches => ["patches", "改动的模块"],
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Editor {
    pub field: Field,
    pub error: Option<String>,
    /// By field; the scheduler is chosen and not typed.
    lines: [LineEditor; Field::ALL.len()],
    scheduler: SchedulerKind,
    model_before: String,
    /// Is it the form of a branch, which keeps the number of steps and asks for its first own step instead?
    is_branch: bool,
    before: Request,
}

impl Editor {
    /// A form filled with `request` and the name of the model that is there, with the cursor in the field `field`.
    pub fn new(request: &Request, model: &str, field: Field) -> Self {
        let lines = Field::ALL.map(|field| match field {
            Field::Prompt => request.prompt.clone(),
            Field::Negative => request.negative_prompt.clone(),
            Field::Seed => request.seed.to_string(),
            Field::Steps => request.steps.to_string(),
            Field::Guidance => request.guidance_scale.to_string(),
            Field::Scheduler => String::new(),
            Field::Model => model.to_owned(),
            Field::Patches => typed_patches(request),
        });
        Self {
            field,
            error: None,
            lines: lines.map(|text| LineEditor::new(&text)),
            scheduler: request.scheduler,
            model_before: model.to_owned(),
            is_branch: false,
            before: request.clone(),
        }
    }

    /// A form for a branch that leaves the run of `request` before `step`.
    pub fn branch(request: &Request, step: usize) -> Self {
        let mut form = Self {
            is_branch: true,
            ..Self::new(request, "", Field::Prompt)
        };
        form.lines[Field::Steps as usize] = LineEditor::new(&(step + 1).to_string());
        form
    }

    pub fn is_branch(&self) -> bool {
        self.is_branch
    }

    pub fn name(&self, field: Field) -> Said {
        match field {
            Field::Steps if self.is_branch => ["from step", "从第几步"],
            field => field.name(),
        }
    }

    /// For a branch: the first step that will be its own, from 0, which must not be beyond `newest`.
    pub fn branches_at(&self, newest: usize) -> Result<usize, Refusal> {
        let typed = self.text(Field::Steps);
        let number = typed.trim().parse::<usize>().unwrap_or(0);
        let last = newest + 1;
        if (1..=last).contains(&number) {
            return Ok(number - 1);
        }
        let said = [
            format!("a branch begins at a step from 1 to {last}, and {typed:?} is not one"),
            format!("分支从第 1 到 {last} 步中的一步开始，{typed:?} 不是其中之一"),
        ];
        Err((Field::Steps, said))
    }

    /// The line of `field`; `None` for the scheduler, which is chosen and not typed.
    pub fn line(&self, field: Field) -> Option<&LineEditor> {
        (field != Field::Scheduler).then(|| &self.lines[field as usize])
    }

    fn text(&self, field: Field) -> &str {
        self.lines[field as usize].text()
    }

    /// The number in `field`, which must be what is `expected`.
    fn number<T: FromStr>(&self, field: Field, expected: Said) -> Result<T, Refusal> {
        let (name, typed) = (field.name(), self.text(field));
        let said = |_| {
            [
                format!("{} must be {}, and {typed:?} is not", name[0], expected[0]),
                format!("{}应是{}，{typed:?} 不是", name[1], expected[1]),
            ]
        };
        typed.trim().parse().map_err(|error| (field, said(error)))
    }

    /// The model that was typed in the place of the one that is there, as `--model` names it.
    pub fn other_model(&self) -> Option<&str> {
        let typed = self.text(Field::Model).trim();
        (!typed.is_empty() && typed != self.model_before).then_some(typed)
    }

    pub fn scheduler(&self) -> SchedulerKind {
        self.scheduler
    }

    /// Says what is wrong with what was typed in `field`, and goes there.
    pub fn refuse(&mut self, field: Field, problem: String) {
        self.field = field;
        self.error = Some(problem);
    }

    /// Carries out one edit; `Submit` is the caller's business.
    pub fn apply(&mut self, typing: &Typing) {
        self.error = None;
        let all = Field::of(self.is_branch, &self.before);
        match typing {
            Typing::NextField => self.field = after(all, self.field, 1),
            Typing::PreviousField => self.field = after(all, self.field, all.len() - 1),
            _ if self.field == Field::Scheduler => self.choose_scheduler(typing),
            _ => self.lines[self.field as usize].apply(typing),
        }
    }

    pub fn request(&self) -> Result<Request, Refusal> {
        let prompt = self.text(Field::Prompt);
        let request = Request {
            prompt: prompt.to_owned(),
            negative_prompt: self.text(Field::Negative).to_owned(),
            seed: self.seed()?,
            steps: if self.is_branch {
                self.before.steps
            } else {
                self.number(Field::Steps, ["a whole number such as 25", "整数，例如 25"])?
            },
            guidance_scale: self
                .number(Field::Guidance, ["a number such as 7.5", "数，例如 7.5"])?,
            scheduler: self.scheduler,
            patches: self.patches()?,
            // What the form has no field for.
            ..self.before.with_prompt(prompt)
        };
        let request = request.kept_within(&self.before);
        request.validate_numbers().map_err(|error| {
            let field = match error {
                RequestError::Steps(_) => Field::Steps,
                RequestError::Guidance(_) => Field::Guidance,
                RequestError::Seed(_) => Field::Seed,
                _ => Field::Prompt,
            };
            (field, errors::said(&error))
        })?;
        Ok(request)
    }

    /// The patches that were typed: those that were there before keep their steps.
    fn patches(&self) -> Result<Vec<Patch>, Refusal> {
        let typed = self.text(Field::Patches).split(';').map(str::trim);
        let patch = |typed: &str| {
            let mut before = self.before.patches.iter();
            let kept = before.find(|patch| patch.typed() == typed).cloned();
            let said = |error: NoPatch| {
                let chinese = "一个改动写作 路径=off、路径=倍数（-100 到 100）或 路径=运行文件夹，例如 mid_block.resnets.1=off；几个之间用 ; 隔开";
                (
                    Field::Patches,
                    [
                        format!("{error}; several with ; between them"),
                        chinese.to_owned(),
                    ],
                )
            };
            kept.map_or_else(|| typed.parse().map_err(said), Ok)
        };
        let typed = typed.filter(|typed| !typed.is_empty());
        typed.map(patch).collect()
    }

    /// The seed that was typed, or one that is drawn now.
    fn seed(&self) -> Result<i128, Refusal> {
        let typed = self.text(Field::Seed).trim().to_lowercase();
        if !RANDOM.contains(&typed.as_str()) {
            let expected = [
                "a whole number such as 42, or random",
                "整数，例如 42，或 random（随机）",
            ];
            return self.number(Field::Seed, expected);
        }
        let refused = |error: NoEntropy| {
            let chinese = "系统没有给出随机数；请写一个种子".to_owned();
            (Field::Seed, [error.to_string(), chinese])
        };
        Ok(random_seed().map_err(refused)?.into())
    }

    /// What the form is of.
    pub fn before(&self) -> &Request {
        &self.before
    }

    fn choose_scheduler(&mut self, typing: &Typing) {
        let count = SchedulerKind::ALL.len();
        let at = |by| after(&SchedulerKind::ALL, self.scheduler, by);
        let is_typed = |kind: &SchedulerKind| match typing {
            Typing::Insert(text) => kind.to_string().starts_with(text.trim()),
            _ => false,
        };
        self.scheduler = match typing {
            Typing::Right => at(1),
            Typing::Left => at(count - 1),
            // The next one whose name begins so.
            _ => (1..=count).map(at).find(is_typed).unwrap_or(self.scheduler),
        };
    }
}

/// The patches of `request` as they are typed.
pub fn typed_patches(request: &Request) -> String {
    let patches: Vec<String> = request.patches.iter().map(Patch::typed).collect();
    patches.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::StepRange;

    fn a_cat() -> Request {
        Request {
            seed: 1,
            steps: 5,
            guidance_scale: 3.0,
            ..Request::plain("a cat")
        }
    }

    #[test]
    fn a_wrong_number_is_named_with_its_field() {
        let request = a_cat();
        let mut editor = Editor::new(&request, "little-world", Field::Steps);
        assert_eq!(editor.request(), Ok(request));
        editor.apply(&Typing::Insert("x".into()));
        assert!(
            matches!(editor.request(), Err((Field::Steps, said)) if said.iter().all(|said| said.contains("5x")))
        );
        editor.apply(&Typing::DeleteToStart);
        editor.apply(&Typing::Insert("5000".into()));
        assert!(
            matches!(editor.request(), Err((Field::Steps, said)) if said.iter().all(|said| said.contains("1000")))
        );
    }

    #[test]
    fn patches_are_taken_away_and_those_that_stay_keep_their_steps() {
        let patch = |typed: &str, steps| Patch {
            steps,
            ..typed.parse().unwrap()
        };
        let some = Some(StepRange { first: 1, last: 2 });
        let request = Request {
            patches: vec![
                patch("conv_in=0.5", some),
                patch("mid_block.resnets.1=off", None),
            ],
            ..a_cat()
        };
        let mut editor = Editor::new(&request, "little-world", Field::Patches);
        assert_eq!(editor.request(), Ok(request));
        editor.apply(&Typing::DeleteToStart);
        editor.apply(&Typing::Insert("conv_in=0.5 ; conv_out=2".into()));
        let patches = editor.request().unwrap().patches;
        assert_eq!(
            patches,
            [patch("conv_in=0.5", some), patch("conv_out=2", None)]
        );
        editor.apply(&Typing::DeleteToStart);
        assert!(editor.request().unwrap().patches.is_empty());
        editor.apply(&Typing::Insert("nonsense".into()));
        assert!(matches!(editor.request(), Err((Field::Patches, _))));
        // Where nothing is patched, there is no such field.
        assert!(!Field::of(false, &a_cat()).contains(&Field::Patches));
    }

    #[test]
    fn the_scheduler_is_chosen_with_arrows_or_by_its_letters() {
        let mut editor = Editor::new(&a_cat(), "little-world", Field::Scheduler);
        editor.apply(&Typing::Right);
        assert_eq!(editor.scheduler(), SchedulerKind::Euler);
        editor.apply(&Typing::Insert("p".into()));
        assert_eq!(editor.scheduler(), SchedulerKind::Pndm);
        editor.apply(&Typing::Right);
        assert_eq!(editor.scheduler(), SchedulerKind::Lms);
    }
}
