//! The form in which a request is edited, and the line of text that it is made of.

use unicode_segmentation::UnicodeSegmentation;

use super::action::Typing;
use crate::generation::{Intervention, Request};
use crate::scheduler::SchedulerKind;

/// The name that users type for a scheduler.
pub fn scheduler_name(kind: SchedulerKind) -> String {
    kind.to_string()
}

/// What `request` asks for that `before` did not, a few words each: `guidance 3`.
pub fn changes(request: &Request, before: &Request) -> Vec<String> {
    let mut changes = Vec::new();
    let mut add = |changed: bool, words: String| {
        if changed {
            changes.push(words);
        }
    };
    add(request.prompt != before.prompt, request.prompt.clone());
    let negative = match request.negative_prompt.as_str() {
        "" => "no negative prompt".to_owned(),
        negative => format!("without “{negative}”"),
    };
    add(request.negative_prompt != before.negative_prompt, negative);
    add(
        request.seed != before.seed,
        format!("seed {}", request.seed),
    );
    add(
        request.steps != before.steps,
        format!("{} steps", request.steps),
    );
    let guidance = format!("guidance {}", request.guidance_scale);
    let [now, then] = [request, before].map(|request| request.guidance_scale.to_bits());
    add(now != then, guidance);
    add(
        request.scheduler != before.scheduler,
        request.scheduler.to_string(),
    );
    for intervention in &request.interventions {
        let is_new = !before.interventions.contains(intervention);
        add(is_new, intervention.to_string());
    }
    changes
}

/// A field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Prompt,
    Negative,
    Seed,
    Steps,
    Guidance,
    Scheduler,
    Model,
}

impl Field {
    /// Every field, from top to bottom.
    pub const ALL: [Self; 7] = [
        Self::Prompt,
        Self::Negative,
        Self::Seed,
        Self::Steps,
        Self::Guidance,
        Self::Scheduler,
        Self::Model,
    ];

    /// Those of a new run's form, or of a branch's, which keeps its model.
    pub fn of(branch: bool) -> &'static [Self] {
        &Self::ALL[..Self::ALL.len() - usize::from(branch)]
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Negative => "negative prompt",
            Self::Seed => "seed",
            Self::Steps => "steps",
            Self::Guidance => "guidance scale",
            Self::Scheduler => "scheduler",
            Self::Model => "model",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Editor {
    /// The field that has the cursor.
    pub field: Field,
    /// What is wrong with what was typed, once it was submitted.
    pub error: Option<String>,
    lines: [LineEditor; 5],
    scheduler: SchedulerKind,
    model: LineEditor,
    model_before: String,
    /// Is it the form of a branch, which keeps the number of steps and asks for its first own step instead?
    is_branch: bool,
    before: Request,
}

impl Editor {
    /// A form filled with `request` and the name of the model that is there, with the cursor in the field `field`.
    pub fn new(request: &Request, model: &str, field: Field) -> Self {
        let line = |text: String| LineEditor::new(&text);
        Self {
            field,
            error: None,
            lines: [
                line(request.prompt.clone()),
                line(request.negative_prompt.clone()),
                line(request.seed.to_string()),
                line(request.steps.to_string()),
                line(request.guidance_scale.to_string()),
            ],
            scheduler: request.scheduler,
            model: line(model.to_owned()),
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

    pub fn name(&self, field: Field) -> &'static str {
        match field {
            Field::Steps if self.is_branch => "from step",
            field => field.name(),
        }
    }

    /// For a branch: the first step that will be its own, from 0, which must not be beyond `newest`.
    pub fn branches_at(&self, newest: usize) -> Result<usize, (Field, String)> {
        let typed = self.lines[Field::Steps as usize].text();
        match parse::<usize>(typed) {
            Some(number) if (1..=newest + 1).contains(&number) => Ok(number - 1),
            _ => {
                let problem = format!(
                    "a branch begins at a step from 1 to {}, and {typed:?} is not one",
                    newest + 1
                );
                Err((Field::Steps, problem))
            }
        }
    }

    /// The line of `field`; `None` for the scheduler, which is chosen and not typed.
    pub fn line(&self, field: Field) -> Option<&LineEditor> {
        match field {
            Field::Scheduler => None,
            Field::Model => Some(&self.model),
            field => self.lines.get(field as usize),
        }
    }

    /// The model that was typed in the place of the one that is there, as `--model` names it.
    pub fn other_model(&self) -> Option<&str> {
        let typed = self.model.text().trim();
        (!typed.is_empty() && typed != self.model_before).then_some(typed)
    }

    pub fn scheduler(&self) -> SchedulerKind {
        self.scheduler
    }

    /// Carries out one edit; `Submit` is the caller's business.
    pub fn apply(&mut self, typing: &Typing) {
        self.error = None;
        let all = Field::of(self.is_branch);
        let position = self.field as usize;
        let fields = all.len();
        match typing {
            Typing::NextField => self.field = all[(position + 1) % fields],
            Typing::PreviousField => self.field = all[(position + fields - 1) % fields],
            _ => match self.field {
                Field::Scheduler => self.choose_scheduler(typing),
                Field::Model => self.model.apply(typing),
                _ => self.lines[position].apply(typing),
            },
        }
    }

    /// The request that the form says, or what is wrong with it.
    pub fn request(&self) -> Result<Request, (Field, String)> {
        let text = |field: Field| self.lines[field as usize].text();
        let number = |field: Field, wanted: &str| {
            let problem = format!(
                "{} must be {wanted}, and {:?} is not",
                field.name(),
                text(field)
            );
            (field, problem)
        };
        let request = Request {
            prompt: text(Field::Prompt).to_owned(),
            negative_prompt: text(Field::Negative).to_owned(),
            seed: parse(text(Field::Seed))
                .ok_or_else(|| number(Field::Seed, "a whole number such as 42"))?,
            steps: if self.is_branch {
                self.before.steps
            } else {
                parse(text(Field::Steps))
                    .ok_or_else(|| number(Field::Steps, "a whole number such as 25"))?
            },
            guidance_scale: parse(text(Field::Guidance))
                .ok_or_else(|| number(Field::Guidance, "a number such as 7.5"))?,
            scheduler: self.scheduler,
            interventions: self.interventions(),
        };
        request.validate().map_err(|error| {
            use crate::generation::RequestError;
            let field = match error {
                RequestError::Steps(_) => Field::Steps,
                RequestError::Guidance(_) => Field::Guidance,
                RequestError::Seed(_) => Field::Seed,
                _ => Field::Prompt,
            };
            (field, error.to_string())
        })?;
        Ok(request)
    }

    /// Those of before, as far as the prompt still has their words.
    fn interventions(&self) -> Vec<Intervention> {
        let prompt = self.lines[Field::Prompt as usize].text();
        let words = prompt.to_lowercase();
        let mut kept = self.before.with_prompt(prompt).interventions;
        kept.retain(|intervention| words.contains(&intervention.word.to_lowercase()));
        kept
    }

    fn choose_scheduler(&mut self, typing: &Typing) {
        let count = SchedulerKind::ALL.len();
        let at = SchedulerKind::ALL
            .iter()
            .position(|&kind| kind == self.scheduler)
            .unwrap_or(0);
        match typing {
            Typing::Right => self.scheduler = SchedulerKind::ALL[(at + 1) % count],
            Typing::Left => self.scheduler = SchedulerKind::ALL[(at + count - 1) % count],
            Typing::Insert(text) => {
                // The next scheduler whose name begins so.
                let found = (1..=count).map(|i| SchedulerKind::ALL[(at + i) % count]);
                if let Some(kind) = found
                    .into_iter()
                    .find(|&kind| scheduler_name(kind).starts_with(text.trim()))
                {
                    self.scheduler = kind;
                }
            }
            _ => {}
        }
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineEditor {
    text: String,
    /// Byte index, always on a grapheme's boundary.
    cursor: usize,
}

impl LineEditor {
    /// A line that says `text`, with the cursor at its end.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            cursor: text.len(),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the cursor, and what after it.
    pub fn parts(&self) -> (&str, &str) {
        self.text.split_at(self.cursor)
    }

    /// Carries out one edit of this line; other edits change nothing.
    pub fn apply(&mut self, typing: &Typing) {
        match typing {
            Typing::Insert(text) => self.insert(text),
            Typing::Backspace => self.delete_to(self.before()),
            Typing::Delete => {
                let end = self.after();
                self.text.replace_range(self.cursor..end, "");
            }
            Typing::DeleteWord => {
                let before = self.text[..self.cursor].trim_end();
                let start = before.rfind(char::is_whitespace).map_or(0, |index| {
                    index + before[index..].chars().next().map_or(0, char::len_utf8)
                });
                self.delete_to(start);
            }
            Typing::DeleteToStart => self.delete_to(0),
            Typing::Left => self.cursor = self.before(),
            Typing::Right => self.cursor = self.after(),
            Typing::Start => self.cursor = 0,
            Typing::End => self.cursor = self.text.len(),
            Typing::NextField | Typing::PreviousField | Typing::Submit => {}
        }
    }

    /// Line breaks and tabs become spaces: it is one line.
    fn insert(&mut self, text: &str) {
        let text = text
            .replace("\r\n", " ")
            .replace(['\n', '\r', '\t', '\u{2028}', '\u{2029}'], " ");
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        // What was inserted may have joined its neighbours into one grapheme.
        if self.cursor < self.text.len() {
            let boundaries = self.text.grapheme_indices(true).map(|(index, _)| index);
            self.cursor = boundaries
                .into_iter()
                .find(|&index| index >= self.cursor)
                .unwrap_or(self.text.len());
        }
    }

    fn delete_to(&mut self, start: usize) {
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    fn before(&self) -> usize {
        self.text[..self.cursor]
            .grapheme_indices(true)
            .next_back()
            .map_or(0, |(index, _)| index)
    }

    fn after(&self) -> usize {
        self.text[self.cursor..]
            .graphemes(true)
            .next()
            .map_or(self.cursor, |grapheme| self.cursor + grapheme.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, edits: &[Typing]) -> (String, String) {
        let mut line = LineEditor::new(text);
        for edit in edits {
            line.apply(edit);
        }
        let (before, after) = line.parts();
        (before.to_owned(), after.to_owned())
    }

    fn parts(before: &str, after: &str) -> (String, String) {
        (before.to_owned(), after.to_owned())
    }

    #[test]
    fn the_cursor_moves_over_what_a_reader_calls_a_character() {
        use Typing::{Backspace, Delete, DeleteWord, Insert, Left, Start};
        assert_eq!(line("e\u{301}👩‍🚀", &[Left]), parts("e\u{301}", "👩‍🚀"));
        assert_eq!(line("苹果", &[Backspace]), parts("苹", ""));
        assert_eq!(line("a horse", &[Start, Delete]), parts("", " horse"));
        assert_eq!(line("a red horse", &[DeleteWord]), parts("a red ", ""));
        assert_eq!(
            line("red", &[Start, Insert("a ".into())]),
            parts("a ", "red")
        );
        assert_eq!(line("", &[Backspace, Delete, DeleteWord]), parts("", ""));
    }

    #[test]
    fn a_pasted_paragraph_becomes_one_line() {
        let pasted = Typing::Insert("a cat\r\non a\tmat\n".into());
        assert_eq!(line("", &[pasted]).0, "a cat on a mat ");
    }

    fn a_cat() -> Request {
        Request {
            prompt: "a cat".into(),
            negative_prompt: String::new(),
            seed: 1,
            steps: 5,
            guidance_scale: 3.0,
            scheduler: SchedulerKind::Lms,
            interventions: Vec::new(),
        }
    }

    #[test]
    fn a_wrong_number_is_named_with_its_field() {
        let request = a_cat();
        let mut editor = Editor::new(&request, "little-world", Field::Steps);
        assert_eq!(editor.request(), Ok(request));
        editor.apply(&Typing::Insert("x".into()));
        assert!(matches!(editor.request(), Err((Field::Steps, problem)) if problem.contains("5x")));
        editor.apply(&Typing::DeleteToStart);
        editor.apply(&Typing::Insert("5000".into()));
        assert!(
            matches!(editor.request(), Err((Field::Steps, problem)) if problem.contains("1000"))
        );
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
