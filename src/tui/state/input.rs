//! What the keys mean while something is typed, chosen or read.

use super::action::{Action, Typing};
use super::{App, ExportItem, Mode};
use crate::generation::{AttentionChange, Intervention};
use crate::tui::worker::Command;

impl App {
    pub(super) fn edit(&mut self, action: &Action) -> Vec<Command> {
        let Mode::Edit(editor) = &mut self.mode else {
            return Vec::new();
        };
        match action {
            Action::Dismiss => self.leave_form(),
            Action::Type(Typing::Submit) => return self.submit(),
            Action::Type(typing) => editor.apply(typing),
            _ => {}
        }
        Vec::new()
    }

    fn submit(&mut self) -> Vec<Command> {
        let newest = self.newest().unwrap_or(0);
        let Mode::Edit(editor) = &mut self.mode else {
            return Vec::new();
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
                    (None, Some(model)) => self.open(model, request),
                    (None, None) => self.start(request),
                }
            }
            Err((field, problem)) => {
                editor.field = field;
                editor.error = Some(problem);
                Vec::new()
            }
        }
    }

    fn leave_form(&mut self) {
        self.mode = Mode::Browse;
        if let Some(view) = self.came_from.take() {
            self.view = view;
        }
    }

    pub(super) fn jump(&mut self, action: &Action) -> Vec<Command> {
        let typed = if let Action::Type(Typing::Insert(text)) = action {
            let digits = text.chars().filter(char::is_ascii_digit).collect();
            self.type_line(&Action::Type(Typing::Insert(digits)))
        } else {
            self.type_line(action)
        };
        match typed.map(|typed| typed.parse()) {
            Some(Ok(step)) => self.run_to(step),
            _ => Vec::new(),
        }
    }

    /// While a line is typed. The line, without the spaces around it, when it is done; then the keys mean what they mean
    /// while looking around.
    pub(super) fn type_line(&mut self, action: &Action) -> Option<String> {
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

    /// To step `number`, counted from 1 as the screen does; a run that waits goes on until it is done.
    fn run_to(&mut self, number: usize) -> Vec<Command> {
        let step = number.saturating_sub(1);
        match self.newest() {
            Some(newest) if step <= newest => self.go_to(step),
            _ if self.can_continue() => return self.go_on(Some(number)),
            Some(newest) => self.go_to(newest),
            None => {}
        }
        Vec::new()
    }

    pub(super) fn read_help(&mut self, action: &Action) -> Vec<Command> {
        let Mode::Help(scroll) = &mut self.mode else {
            return Vec::new();
        };
        match action {
            Action::Up => *scroll = scroll.saturating_sub(1),
            Action::Down => *scroll += 1,
            Action::Help | Action::Dismiss => self.mode = Mode::Browse,
            _ => {}
        }
        Vec::new()
    }

    pub(super) fn choose_run(&mut self, action: &Action) -> Vec<Command> {
        let Mode::Runs(row) = self.mode else {
            return Vec::new();
        };
        let rows: Vec<(u64, bool)> = (self.tree().iter())
            .map(|row| (row.run.id, row.is_current))
            .collect();
        let chosen = rows.get(row).copied();
        match action {
            Action::Up => self.mode = Mode::Runs(row.saturating_sub(1)),
            Action::Down => self.mode = Mode::Runs((row + 1).min(rows.len().saturating_sub(1))),
            Action::Choose => {
                if let Some((id, _)) = chosen {
                    self.switch_to(id);
                }
                self.mode = Mode::Browse;
            }
            Action::Compare => {
                if let Some((id, is_current)) = chosen
                    && !is_current
                {
                    self.compared = (self.compared != Some(id)).then_some(id);
                    self.mode = Mode::Browse;
                }
            }
            Action::Runs | Action::Dismiss => self.mode = Mode::Browse,
            _ => {}
        }
        Vec::new()
    }

    pub(super) fn choose_export(&mut self, action: &Action) -> Vec<Command> {
        let Mode::Export(row) = self.mode else {
            return Vec::new();
        };
        let last = self.offered.len().saturating_sub(1);
        match action {
            Action::Up => self.mode = Mode::Export(row.saturating_sub(1)),
            Action::Down => self.mode = Mode::Export((row + 1).min(last)),
            Action::Choose => {
                self.mode = Mode::Browse;
                let offered = std::mem::take(&mut self.offered);
                let chosen = offered.into_iter().nth(row);
                return chosen.map(ExportItem::accept).into_iter().collect();
            }
            Action::Export | Action::Dismiss => {
                self.mode = Mode::Browse;
                self.offered = Vec::new();
            }
            _ => {}
        }
        Vec::new()
    }

    /// A branch from the first step on, in which the selected word's attention is changed: the whole picture is another
    /// one then, made from the same noise.
    pub(super) fn weigh(&mut self, action: &Action) -> Vec<Command> {
        let Some(typed) = self.type_line(action).filter(|typed| !typed.is_empty()) else {
            return Vec::new();
        };
        let (Some(word), Some(request)) = (self.selected_word().map(str::to_owned), &self.request)
        else {
            return Vec::new();
        };
        let intervention = match typed.parse::<f32>() {
            Ok(factor) => Intervention::weight(&word, factor),
            Err(_) => Intervention::swap(&word, &typed),
        };
        let mut request = request.clone();
        // A word has one weight: the new one replaces the old.
        let is_same = |other: &Intervention| {
            matches!(
                (&other.change, &intervention.change),
                (AttentionChange::Weight(_), AttentionChange::Weight(_))
            ) && other.word == word
        };
        request.interventions.retain(|other| !is_same(other));
        // A word times one is the word as it was.
        if typed.parse() != Ok(1.0_f32) {
            request.interventions.push(intervention);
        }
        self.branch(0, request)
    }

    pub(super) fn move_place(&mut self, action: &Action) -> Vec<Command> {
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
            | Action::PlayPause => return self.browse(action),
            Action::Show(_) | Action::NextView | Action::PreviousView => {
                self.mode = Mode::Browse;
                return self.browse(action);
            }
            _ => {}
        }
        Vec::new()
    }
}
