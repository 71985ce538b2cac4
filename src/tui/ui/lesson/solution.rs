//! Solutions as text.

use crate::generation::{RequestPatch, StepRange};
use crate::lesson::{ExerciseKind, Form, LessonAction, Location, NumberOrWord};
use crate::tui::state::lesson::{Messages, OpenLesson, joined};

/// The solution of the page's exercise, a line each.
pub fn solution(reading: &OpenLesson, messages: &Messages) -> Vec<String> {
    let exercise = reading.page().exercise.as_ref();
    match exercise.map(|exercise| &exercise.kind) {
        Some(ExerciseKind::Task { solution, .. }) => {
            solution.iter().map(|act| describe(act, messages)).collect()
        }
        Some(ExerciseKind::Question { form, .. }) => {
            let value = reading.answer.clone().and_then(Result::ok);
            let answer = value.and_then(|value| form.shown(&value).ok());
            answer.map_or_else(Vec::new, |answer| match form {
                Form::Choice(choices) => {
                    let at = answer.parse().ok();
                    let choice = at.and_then(|at: usize| choices.get(at - 1));
                    vec![format!("{answer}\\. {}", choice.map_or("", String::as_str))]
                }
                _ => vec![format!("`{answer}`")],
            })
        }
        None => Vec::new(),
    }
}

fn describe(act: &LessonAction, messages: &Messages) -> String {
    match act {
        LessonAction::Look(place) => describe_place(place, messages),
        LessonAction::Run(ask) => describe_ask(ask, messages),
        LessonAction::Branch(step, ask) => {
            joined(&(messages.branch)(*step), &describe_ask(ask, messages))
        }
    }
}

fn describe_place(place: &Location, messages: &Messages) -> String {
    let or = |value: &Option<NumberOrWord>| {
        value.as_ref().map(|value| match value {
            NumberOrWord::Number(number) => number.to_string(),
            NumberOrWord::Word(word) => word.clone(),
        })
    };
    let parts = [
        ("view", name(place.view)),
        ("step", name(place.step)),
        ("token", or(&place.token)),
        ("side", name(place.side)),
        ("part", name(place.part)),
        ("text layer", name(place.text_layer)),
        ("channel", name(place.channel)),
        ("scaled", name(place.scaled)),
        ("curve", name(place.curve)),
        ("overlay", name(place.overlay)),
        ("overlay's steps", name(place.overlay_steps)),
        ("picture", name(place.tensor)),
        ("layer", place.layer.clone()),
        ("head", or(&place.head)),
        ("half", name(place.half)),
        ("small maps", name(place.grid)),
        ("decoded", name(place.decode)),
    ];
    all_named(&parts, messages).join(", ")
}

fn all_named(parts: &[(&'static str, Option<String>)], messages: &Messages) -> Vec<String> {
    let parts = parts.iter();
    let given = parts.filter_map(|(name, value)| Some(named(name, value.as_ref()?, messages)));
    given.collect()
}

/// A part of a solution, with its name in the reader's language; its value is that of the screen and of the file.
fn named(name: &'static str, value: &str, messages: &Messages) -> String {
    let value = format!("`{value}`");
    match messages.name(name) {
        name if name.contains("{}") => name.replace("{}", &value),
        name => format!("{name} {value}"),
    }
}

/// What the file calls it, which is what the screen calls it.
fn name<T: serde::Serialize>(value: Option<T>) -> Option<String> {
    let value = serde_json::to_value(value?).ok()?;
    let text = value.as_str().map(str::to_owned);
    Some(text.unwrap_or_else(|| value.to_string()))
}

fn describe_ask(ask: &RequestPatch, messages: &Messages) -> String {
    let scheduler = ask.scheduler.map(crate::tui::state::editor::scheduler_name);
    let plain = [
        ("prompt", ask.prompt.clone()),
        ("negative prompt", ask.negative_prompt.clone()),
        ("seed", ask.seed.map(|seed| seed.to_string())),
        ("steps", ask.steps.map(|steps| steps.to_string())),
        (
            "guidance",
            ask.guidance_scale.map(|scale| scale.to_string()),
        ),
        ("scheduler", scheduler),
        (
            "guidance only in steps",
            ask.guidance_steps.map(StepRange::typed),
        ),
        (
            "guidance rescale",
            ask.guidance_rescale.map(|phi| phi.to_string()),
        ),
    ];
    let plain = all_named(&plain, messages).into_iter();
    let weights = ask.weight.iter().flatten();
    let weights = weights.map(|(word, factor)| format!("`{word}` × `{factor}`"));
    let swaps = ask.swap.iter().flatten();
    let swaps = swaps.map(|(word, other)| format!("`{word}` ⇄ `{other}`"));
    let patches = ask.patches.iter().flatten();
    let patches = patches.map(|patch| format!("`{patch}`"));
    let parts: Vec<String> = plain.chain(weights).chain(swaps).chain(patches).collect();
    if parts.is_empty() {
        return messages.again.to_owned();
    }
    parts.join(", ")
}
