//! What the keys mean while something is typed, chosen or read.

use super::action::{Action, Typing};
use super::app::{App, Mode};
use super::cursor::{Grid, moved};
use super::destination::Destination;
use super::help::Help;
use super::run::Run;
use super::runs::By;
use crate::generation::{Error, Intervention, Request, WordChange, checked};
use crate::trace::layers_together;
use crate::tui::errors;

impl App {
    pub(super) fn act_in_mode(&mut self, action: &Action) {
        if let Action::Up | Action::Down = action
            && let Some((row, rows)) = self.list()
        {
            *row = moved(*row, rows, *action == Action::Down);
            return;
        }
        match self.mode {
            Mode::Help(_) => self.read_help(action),
            Mode::Quit(_) => self.answer_quit(action),
            _ if *action == Action::Help => {
                self.mode = Mode::Help(Box::new(Help::over(std::mem::take(&mut self.mode))));
            }
            Mode::Browse => self.browse(action),
            Mode::Edit(_) => self.edit(action),
            Mode::Jump(_) => self.jump(action),
            Mode::Runs(list) => self.choose_run(action, list),
            Mode::Lessons(row) => self.choose_lesson(action, row),
            Mode::Answer(_) => self.answer(action),
            Mode::Place => self.move_place(action),
            Mode::Weight(_) => self.weigh(action),
            Mode::Patch(_) => self.patch(action),
            Mode::Export(row) => self.choose_export(action, row),
            Mode::Destination(_) => self.choose_destination(action),
            Mode::Watches(_) => self.edit_watches(action),
        }
    }

    /// The selected row of the list that lies over the view, to be moved, and how many there are.
    fn list(&mut self) -> Option<(&mut usize, usize)> {
        match &mut self.mode {
            Mode::Runs(list) => {
                list.asks = None;
                Some((&mut list.row, self.runs.all().count()))
            }
            Mode::Lessons(row) => Some((row, self.lesson.lessons().len())),
            Mode::Export(row) => Some((row, self.export.items.len())),
            Mode::Watches(menu) if menu.input.is_none() => {
                Some((&mut menu.row, self.watches.items.len()))
            }
            _ => None,
        }
    }

    fn read_help(&mut self, action: &Action) {
        if let Mode::Help(help) = &mut self.mode
            && help.update(action)
        {
            self.mode = std::mem::take(&mut help.before);
        }
    }

    /// Stays; to quit is the same key once more.
    fn answer_quit(&mut self, action: &Action) {
        match (action, &mut self.mode) {
            (Action::Dismiss, Mode::Quit(before)) => self.mode = std::mem::take(before.as_mut()),
            (Action::Runs, _) => self.list_runs(),
            _ => {}
        }
    }

    fn edit(&mut self, action: &Action) {
        let Mode::Edit(editor) = &mut self.mode else {
            return;
        };
        match action {
            Action::Dismiss => self.leave_form(),
            Action::Type(Typing::Submit) => self.submit(),
            Action::Type(typing) => editor.apply(typing),
            _ => {}
        }
    }

    fn submit(&mut self) {
        let newest = self.newest().unwrap_or(0);
        let Mode::Edit(editor) = &self.mode else {
            return;
        };
        let other_model = editor.other_model().map(str::to_owned);
        let asked = editor.request().and_then(|request| {
            let step = editor.is_branch().then(|| editor.branches_at(newest));
            Ok((self.with_its_words(request), step.transpose()?))
        });
        let (request, step) = match asked {
            Ok(asked) => asked,
            Err((field, said)) => {
                let problem = self.lesson.language.choose(said);
                if let Mode::Edit(editor) = &mut self.mode {
                    editor.refuse(field, problem);
                }
                return;
            }
        };
        let Mode::Edit(form) = std::mem::take(&mut self.mode) else {
            return;
        };
        self.cursor.field = form.field;
        self.leave_form();
        match (step, other_model) {
            (Some(step), _) => self.branch(step, request, By::User),
            (None, Some(model)) => self.open_model(model, request, form),
            (None, None) => self.start(request, By::User),
        }
    }

    /// `request` without those changes of the attention whose words its prompt does not have any more.
    fn with_its_words(&self, mut request: Request) -> Request {
        for change in std::mem::take(&mut request.interventions) {
            let with_it = Request {
                interventions: vec![change.clone()],
                ..request.clone()
            };
            if self.can_be_run(&with_it).is_ok() {
                request.interventions.push(change);
            }
        }
        request
    }

    /// Can the model that is there carry `request` out, as far as that can be said before it is run?
    fn can_be_run(&self, request: &Request) -> Result<(), Error> {
        match &self.tokenizer {
            None => Ok(()),
            Some(tokenizer) => checked(request.clone(), tokenizer).map(|_| ()),
        }
    }

    fn leave_form(&mut self) {
        self.mode = Mode::Browse;
        self.cursor.view = self.came_from.take().unwrap_or(self.cursor.view);
    }

    fn jump(&mut self, action: &Action) {
        let Some(typed) = self.type_line(action) else {
            return;
        };
        let number = match self.step_of(&typed) {
            Ok(number) => number,
            Err(said) => return self.refuse_line(self.lesson.language.choose(said)),
        };
        self.mode = Mode::Browse;
        // A run that waits goes on until the step is done.
        let step = number - 1;
        if self.newest().is_none_or(|newest| step > newest) {
            self.go_on(Some(number));
        } else {
            self.go_to(step);
        }
    }

    /// The step that was typed, counted from 1 as on the screen: one that is done, or that the run can go on to.
    fn step_of(&self, typed: &str) -> Result<usize, [String; 2]> {
        let total = self.run().map_or(0, Run::total_steps);
        let number = typed.parse::<usize>().ok();
        let Some(number) = number.filter(|number| (1..=total).contains(number)) else {
            return Err([
                format!("steps go from 1 to {total}, and {typed:?} is not one"),
                format!("步数从 1 到 {total}，{typed:?} 不是其中之一"),
            ]);
        };
        let done = self.newest().map_or(0, |newest| newest + 1);
        if number > done && !self.can_continue() {
            return Err([
                format!("step {number} is not done yet: so far there are {done}"),
                format!("第 {number} 步还没有做：目前有 {done} 步"),
            ]);
        }
        Ok(number)
    }

    /// While a line is typed. The line, without the spaces around it, when it is to be taken; nothing is left of an
    /// empty one.
    pub(super) fn type_line(&mut self, action: &Action) -> Option<String> {
        let (Mode::Jump(input) | Mode::Weight(input) | Mode::Patch(input)) = &mut self.mode else {
            return None;
        };
        match action {
            Action::Dismiss => self.mode = Mode::Browse,
            Action::Type(Typing::Submit) if input.typed().is_empty() => self.mode = Mode::Browse,
            Action::Type(Typing::Submit) => return Some(input.typed().to_owned()),
            Action::Type(typing) => input.apply(typing),
            _ => {}
        }
        None
    }

    /// Says beside the line that is typed what is wrong with it.
    pub(super) fn refuse_line(&mut self, problem: String) {
        if let Mode::Jump(input) | Mode::Weight(input) | Mode::Patch(input) = &mut self.mode {
            input.problem = Some(problem);
        }
    }

    fn answer(&mut self, action: &Action) {
        let Mode::Answer(line) = &mut self.mode else {
            return;
        };
        match action {
            Action::Dismiss => self.mode = Mode::Browse,
            Action::Type(Typing::Submit) => {
                let typed = line.text().trim().to_owned();
                self.mode = Mode::Browse;
                if !typed.is_empty() {
                    self.lesson.judge(&typed);
                }
            }
            Action::Type(typing) => line.apply(typing),
            _ => {}
        }
    }

    fn choose_lesson(&mut self, action: &Action, row: usize) {
        let mut lessons = self.lesson.lessons();
        match action {
            Action::Choose if row < lessons.len() => self.begin(lessons.swap_remove(row)),
            Action::Switch => self.lesson.translate(),
            Action::Lessons | Action::Dismiss => self.mode = Mode::Browse,
            _ => {}
        }
    }

    fn choose_export(&mut self, action: &Action, row: usize) {
        match action {
            Action::Choose => {
                if let Some(path) = self.export.default_path(row) {
                    self.mode = Mode::Destination(Box::new(Destination::new(row, path)));
                }
            }
            Action::Export | Action::Dismiss => {
                self.export.items.clear();
                self.mode = Mode::Browse;
            }
            _ => {}
        }
    }

    /// A branch from the first step on, in which the selected word's attention is changed: the whole picture is another
    /// one then, made from the same noise.
    fn weigh(&mut self, action: &Action) {
        let Some(typed) = self.type_line(action) else {
            return;
        };
        let (Some(word), Some(request)) = (self.selected_word(), self.request()) else {
            return;
        };
        let language = self.lesson.language;
        let asked = weighed(word, &typed, request).map_err(|said| language.choose(said));
        let asked = asked.and_then(|request| match self.can_be_run(&request) {
            Ok(()) => Ok(request),
            // What is no word and begins like a number was meant as one.
            Err(_) if is_like_a_number(&typed) => Err(language.choose(no_factor(&typed))),
            Err(error) => Err(language.choose(errors::said(&error))),
        });
        match asked {
            Ok(request) => {
                self.mode = Mode::Browse;
                self.branch(0, request, By::User);
            }
            Err(problem) => self.refuse_line(problem),
        }
    }

    fn move_place(&mut self, action: &Action) {
        let is_matrix = self.cursor.attention.grid == Grid::Matrix;
        let (by_across, by_down) = self.stride();
        let (across, down) = &mut self.cursor.attention.place;
        let shift = |value: &mut f32, by: f32| *value = (*value + by).clamp(0.0, 0.999);
        match action {
            Action::StepBack | Action::StepForward if is_matrix => {
                let forward = *action == Action::StepForward;
                self.with_run(|cursor, run| cursor.attention.move_head(&run.info, forward));
            }
            Action::Up | Action::Down if is_matrix => self.browse(action),
            Action::Choose if is_matrix => {
                self.mode = Mode::Browse;
                self.browse(action);
            }
            Action::StepBack => shift(across, -by_across),
            Action::StepForward => shift(across, by_across),
            Action::Up => shift(down, -by_down),
            Action::Down => shift(down, by_down),
            Action::Place | Action::Choose | Action::Dismiss => self.mode = Mode::Browse,
            Action::PlaceAt(to_across, to_down) => (*across, *down) = (*to_across, *to_down),
            Action::PreviousToken
            | Action::NextToken
            | Action::NextHead
            | Action::OtherHalf
            | Action::Switch
            | Action::SwitchMeasure
            | Action::GoTo(_)
            | Action::PlayPause => self.browse(action),
            Action::Show(_) | Action::NextView | Action::PreviousView => {
                self.mode = Mode::Browse;
                self.browse(action);
            }
            _ => {}
        }
    }
}

impl App {
    /// How far a key moves over the picture, across and down, as a part of it: a twenty-fourth, fine enough to point and
    /// coarse enough to travel; or a place of the layer whose places are looked at, where those are larger.
    fn stride(&self) -> (f32, f32) {
        let cursor = &self.cursor.attention;
        let layers = self.run().map_or(&[][..], |run| &run.info.cross_attention);
        let layer = match cursor.grid {
            Grid::Own => layers_together(layers, cursor.layer).first().copied(),
            Grid::Numbers => Some(cursor.by_hand().0),
            _ => None,
        };
        let part = |count: usize| 1.0 / count.clamp(1, 24) as f32;
        match layer.and_then(|layer| layers.get(layer)) {
            Some(layer) => (part(layer.width), part(layer.height)),
            None => (part(24), part(24)),
        }
    }
}

/// `request` with the attention to `word` changed as was `typed`: multiplied, or exchanged with another word's.
fn weighed(word: &str, typed: &str, request: &Request) -> Result<Request, [String; 2]> {
    let mut request = request.clone();
    let is_number = |factor: &f32| factor.is_finite() || is_like_a_number(typed);
    let Some(factor) = typed.parse::<f32>().ok().filter(is_number) else {
        if typed.to_lowercase() == word.to_lowercase() {
            return Err([
                format!(
                    "“{word}” cannot change places with itself: type another word, or a factor"
                ),
                format!("“{word}”不能和自己交换：请输入另一个词，或一个倍数"),
            ]);
        }
        let swap = Intervention::swap(word, typed);
        request.interventions.push(swap);
        return Ok(request);
    };
    if !(0.0..=100.0).contains(&factor) {
        return Err(no_factor(typed));
    }
    // A word has one weight: the new one replaces the old.
    request
        .interventions
        .retain(|other| !matches!(other.change, WordChange::Weight(_)) || other.word != word);
    // A word times one is the word as it was.
    if factor.to_bits() != 1.0_f32.to_bits() {
        let weight = Intervention::weight(word, factor);
        request.interventions.push(weight);
    }
    Ok(request)
}

fn is_like_a_number(typed: &str) -> bool {
    typed.starts_with(|first: char| first.is_ascii_digit() || "+-.,".contains(first))
}

fn no_factor(typed: &str) -> [String; 2] {
    [
        format!("a factor is a number from 0 to 100, such as 0.5, and {typed:?} is not"),
        format!("倍数是 0 到 100 的数，例如 0.5；{typed:?} 不是"),
    ]
}
