//! What the keys mean while something is typed, chosen or read.

use super::action::{Action, Typing};
use super::app::{App, Mode};
use super::cursor::moved;
use crate::generation::{AttentionChange, Intervention};

impl App {
    pub(super) fn act_in_mode(&mut self, action: &Action) {
        if let (Action::Up | Action::Down, Some((row, rows))) = (action, self.list()) {
            *row = moved(*row, rows, *action == Action::Down);
            return;
        }
        match self.mode {
            Mode::Browse => self.browse(action),
            Mode::Edit(_) => self.edit(action),
            Mode::Jump(_) => self.jump(action),
            Mode::Help(_) if matches!(action, Action::Help | Action::Dismiss) => {
                self.mode = Mode::Browse;
            }
            Mode::Help(_) => {}
            Mode::Runs(row) => self.choose_run(action, row),
            Mode::Lessons(row) => self.choose_lesson(action, row),
            Mode::Answer(_) => {
                let typed = self.type_line(action).filter(|typed| !typed.is_empty());
                if let Some(typed) = typed {
                    self.lesson.judge(&typed);
                }
            }
            Mode::Place => self.move_place(action),
            Mode::Weight(_) => self.weigh(action),
            Mode::Export(row) => self.choose_export(action, row),
        }
    }

    /// The selected row of the list or the text that lies over the view, and how many there are. The help is scrolled
    /// by whoever draws it no further than its end.
    fn list(&mut self) -> Option<(&mut usize, usize)> {
        match &mut self.mode {
            Mode::Help(row) => Some((row, usize::MAX)),
            Mode::Runs(row) => Some((row, self.runs.all().count())),
            Mode::Lessons(row) => Some((row, self.lesson.lessons().len())),
            Mode::Export(row) => Some((row, self.export.items.len())),
            _ => None,
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
        let Mode::Edit(editor) = &mut self.mode else {
            return;
        };
        let other_model = editor.other_model().map(str::to_owned);
        let asked = editor.request().and_then(|request| {
            let step = editor.is_branch().then(|| editor.branches_at(newest));
            Ok((request, step.transpose()?))
        });
        match asked {
            Ok((request, step)) => {
                self.cursor.field = editor.field;
                self.leave_form();
                match (step, other_model) {
                    (Some(step), _) => self.branch(step, request),
                    (None, Some(model)) => self.open_model(model, request),
                    (None, None) => self.start(request),
                }
            }
            Err((field, problem)) => {
                editor.field = field;
                editor.error = Some(problem);
            }
        }
    }

    fn leave_form(&mut self) {
        self.mode = Mode::Browse;
        self.cursor.view = self.came_from.take().unwrap_or(self.cursor.view);
    }

    fn jump(&mut self, action: &Action) {
        let mut action = action.clone();
        if let Action::Type(Typing::Insert(text)) = &mut action {
            text.retain(|typed| typed.is_ascii_digit());
        }
        let typed = self.type_line(&action);
        let Some(Ok(number)) = typed.map(|typed| typed.parse::<usize>()) else {
            return;
        };
        // Counted from 1, as on the screen; a run that waits goes on until the step is done.
        let step = number.saturating_sub(1);
        if self.can_continue() && self.newest().is_none_or(|newest| step > newest) {
            self.go_on(Some(number));
        } else if self.has_steps() {
            self.go_to(step);
        }
    }

    /// While a line is typed. The line, without the spaces around it, when it is done; then the keys mean what they
    /// mean while looking around.
    fn type_line(&mut self, action: &Action) -> Option<String> {
        let (Mode::Jump(line) | Mode::Weight(line) | Mode::Answer(line)) = &mut self.mode else {
            return None;
        };
        match action {
            Action::Dismiss => self.mode = Mode::Browse,
            Action::Type(Typing::Submit) => {
                let typed = line.text().trim().to_owned();
                self.mode = Mode::Browse;
                return Some(typed);
            }
            Action::Type(typing) => line.apply(typing),
            _ => {}
        }
        None
    }

    fn choose_run(&mut self, action: &Action, row: usize) {
        let rows = self.runs.tree();
        let other = rows.get(row).filter(|row| !row.is_current);
        match (action, other.map(|row| (row.run.id, row.is_compared))) {
            (Action::Choose, Some((id, _))) => self.switch_to(id),
            (Action::Compare, Some((id, is_compared))) => {
                self.runs.compare((!is_compared).then_some(id));
            }
            (Action::Choose | Action::Runs | Action::Dismiss, _) => {}
            _ => return,
        }
        self.mode = Mode::Browse;
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
        if matches!(action, Action::Choose | Action::Export | Action::Dismiss) {
            self.mode = Mode::Browse;
            let chosen = self.export.close(row).filter(|_| *action == Action::Choose);
            self.tasks.extend(chosen);
        }
    }

    /// A branch from the first step on, in which the selected word's attention is changed: the whole picture is another
    /// one then, made from the same noise.
    fn weigh(&mut self, action: &Action) {
        let Some(typed) = self.type_line(action).filter(|typed| !typed.is_empty()) else {
            return;
        };
        let (Some(word), Some(request)) = (self.selected_word(), self.request()) else {
            return;
        };
        let factor = typed.parse::<f32>();
        let intervention = match factor {
            Ok(factor) => Intervention::weight(word, factor),
            Err(_) => Intervention::swap(word, &typed),
        };
        let mut request = request.clone();
        // A word has one weight: the new one replaces the old.
        let is_weight = |other: &Intervention| matches!(other.change, AttentionChange::Weight(_));
        if is_weight(&intervention) {
            request
                .interventions
                .retain(|other| !is_weight(other) || other.word != word);
        }
        // A word times one is the word as it was.
        if factor != Ok(1.0) {
            request.interventions.push(intervention);
        }
        self.branch(0, request);
    }

    fn move_place(&mut self, action: &Action) {
        // A twenty-fourth of the picture: fine enough to point, coarse enough to travel.
        let by = 1.0 / 24.0;
        let (across, down) = &mut self.cursor.attention.place;
        let shift = |value: &mut f32, by: f32| *value = (*value + by).clamp(0.0, 0.999);
        match action {
            Action::StepBack => shift(across, -by),
            Action::StepForward => shift(across, by),
            Action::Up => shift(down, -by),
            Action::Down => shift(down, by),
            Action::Place | Action::Dismiss => self.mode = Mode::Browse,
            Action::PlaceAt(to_across, to_down) => (*across, *down) = (*to_across, *to_down),
            Action::PreviousToken
            | Action::NextToken
            | Action::NextHead
            | Action::OtherHalf
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
