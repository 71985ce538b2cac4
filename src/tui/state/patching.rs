//! Changing the output of a module that one looks at: another run from the first step on, beside the one as it was.

use super::action::Action;
use super::app::{App, Mode};
use super::runs::By;
use crate::checkpoint::Component;
use crate::generation::{Patch, PatchChange, Request};
use crate::model::modules::{LineKind, Module};

impl App {
    /// Can one step further into the network of `view`?
    pub fn can_step_into(&self, view: super::View) -> bool {
        self.shows(view, |cursor, run| cursor.leads_to(run).is_some())
    }

    /// Is one inside of a network, in this view?
    pub fn is_inside(&self, view: super::View) -> bool {
        self.shows(view, |cursor, _| cursor.inside().is_some())
    }

    /// Is something over the view, or beside it, that `esc` closes first?
    pub fn has_something_to_close(&self) -> bool {
        self.notice.is_some() || self.explain.is_some() || self.runs.compared().is_some()
    }

    /// Is a network being looked into, which can be cancelled?
    pub fn is_probing(&self) -> bool {
        self.requests.is_probing()
    }

    /// The module of the UNet that a patch would change here: the one that is looked at, or its attention or feed-forward
    /// network.
    pub fn patched_module(&self) -> Option<String> {
        let (run, inside) = (self.run()?, self.cursor.inside()?);
        if inside.network != Component::UNet {
            return None;
        }
        let of_line = |line: usize| {
            let line = inside.lines(&run.info).into_iter().nth(line)?;
            let is_module = matches!(
                line.kind,
                LineKind::SelfAttention | LineKind::CrossAttention | LineKind::FeedForward
            );
            is_module.then_some(line.site)
        };
        let part = inside.line.and_then(of_line);
        let whole = || {
            inside
                .module(&run.info)
                .map(|module: &Module| module.path.clone())
        };
        part.or_else(whole)
    }

    pub fn can_patch(&self) -> bool {
        self.can_branch() && self.patched_module().is_some()
    }

    /// A branch from the first step on, in which the module's output is changed.
    pub(super) fn patch(&mut self, action: &Action) {
        let Some(typed) = self.type_line(action) else {
            return;
        };
        let (Some(module), Some(request)) = (self.patched_module(), self.request()) else {
            return;
        };
        match patched(&module, &typed, request) {
            Ok(request) => {
                self.mode = Mode::Browse;
                self.branch(0, request, By::User);
            }
            Err(said) => self.refuse_line(self.lesson.language.choose(said)),
        }
    }
}

/// `request` with the output of `module` changed as was `typed`: `off`, or times a factor; times one is as it was.
fn patched(module: &str, typed: &str, request: &Request) -> Result<Request, [String; 2]> {
    let value = match typed {
        "off" | "关" | "关闭" => "off",
        // What is no number would be a run's folder.
        typed if typed.parse::<f32>().is_ok() => typed,
        _ => return Err(no_change(typed)),
    };
    let patch: Patch = format!("{module}={value}")
        .parse()
        .map_err(|_| no_change(typed))?;
    let mut request = request.clone();
    // A module has one change: the new one takes the place of the old.
    let is_same = |patch: &Patch| patch.module == module && patch.head.is_none();
    request.patches.retain(|patch| !is_same(patch));
    if patch.change != PatchChange::Scale(1.0) {
        request.patches.push(patch);
    }
    Ok(request)
}

fn no_change(typed: &str) -> [String; 2] {
    [
        format!("type off, or a factor from -100 to 100 such as 0.5; {typed:?} is neither"),
        format!("请输入 off，或 -100 到 100 的倍数，例如 0.5；{typed:?} 都不是"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_one_change_and_times_one_takes_it_away() {
        let plain = Request::plain("a cat");
        let off = patched("mid_block.resnets.0", "off", &plain).unwrap();
        assert_eq!(off.patches.len(), 1);
        let half = patched("mid_block.resnets.0", "0.5", &off).unwrap();
        assert_eq!(half.patches.len(), 1);
        assert_eq!(half.patches[0].change, PatchChange::Scale(0.5));
        let none = patched("mid_block.resnets.0", "1", &half).unwrap();
        assert!(none.patches.is_empty());
        for wrong in ["on", "1000", "NaN", ""] {
            assert!(patched("conv_in", wrong, &plain).is_err(), "{wrong}");
        }
    }
}
