//! Solutions as text.

use crate::generation::{Intervention, RequestPatch, StepRange};
use crate::lesson::{
    ExerciseKind, Form, Language, LessonAction, Location, NumberOrWord, Said, View,
};
use crate::tui::state::in_words;
use crate::tui::state::lesson::{OpenLesson, joined, messages};
use crate::tui::ui::widgets::token_strip::{END, PADDING, START};

/// The solution of the page's exercise, a line each.
pub fn solution(reading: &OpenLesson, language: Language) -> Vec<String> {
    let exercise = reading.page().exercise.as_ref();
    match exercise.map(|exercise| &exercise.kind) {
        Some(ExerciseKind::Task { solution, .. }) => {
            solution.iter().map(|act| describe(act, language)).collect()
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

fn describe(act: &LessonAction, language: Language) -> String {
    match act {
        LessonAction::Look(place) => describe_place(place, language),
        LessonAction::Run(ask) => describe_ask(ask, language),
        LessonAction::Branch(step, ask) => {
            let branch = language.choose(messages::branch(*step));
            joined(&branch, &describe_ask(ask, language))
        }
    }
}

fn describe_place(place: &Location, language: Language) -> String {
    let or = |value: &Option<NumberOrWord>| {
        value.as_ref().map(|value| match value {
            NumberOrWord::Number(number) => number.to_string(),
            NumberOrWord::Word(word) => special(word, language),
        })
    };
    let view = |view: View| {
        let [_, chinese] = view.name();
        language.choose([name(Some(view)), Some(chinese.to_owned())])
    };
    let is_so = |value: bool| {
        language.choose([
            value.to_string(),
            ["否", "是"][usize::from(value)].to_owned(),
        ])
    };
    let parts = [
        (["view", "视图"], place.view.and_then(view)),
        (["step", "第 {} 步"], name(place.step)),
        (["token", "词元"], or(&place.token)),
        (["side", "哪段文本"], in_chinese(place.side, language)),
        (["part", "部分"], in_chinese(place.part, language)),
        (["text layer", "文本层"], name(place.text_layer)),
        (["channel", "通道"], name(place.channel)),
        (["scaled", "乘以 sigma"], place.scaled.map(is_so)),
        (["curve", "曲线"], name(place.curve)),
        (["overlay", "叠加"], name(place.overlay)),
        (["overlay's steps", "叠加的步数"], name(place.overlay_steps)),
        (["picture", "图"], name(place.tensor)),
        (["layer", "层"], place.layer.clone()),
        (["head", "头"], or(&place.head)),
        (["half", "哪一半"], in_chinese(place.half, language)),
        (["small maps", "小图"], in_chinese(place.grid, language)),
        (["decoded", "解码"], place.decode.map(is_so)),
    ];
    all_named(&parts, language).join(language.choose([", ", "，"]))
}

/// A word that names no token of the prompt's words, as the screen has it.
fn special(word: &str, language: Language) -> String {
    let said = match word {
        "start" => START,
        "end" => END,
        "padding" => PADDING,
        "mean" => ["mean", "平均"],
        _ => return word.to_owned(),
    };
    language.choose(said).to_owned()
}

/// One of a file's words for what a view shows, as the screen has it.
fn in_chinese<T: serde::Serialize>(value: Option<T>, language: Language) -> Option<String> {
    let english = name(value)?;
    let chinese = match english.as_str() {
        "prompt" => "提示词",
        "negative" => "负面提示词",
        "uncond" => "没有提示词",
        "token" => "词元",
        "position" => "位置",
        "sum" => "相加",
        "words" => "每个词",
        "steps" => "每一步",
        "layers" => "每一层",
        "heads" => "每个头",
        "matrix" => "所有的头",
        "self" => "自注意力",
        "numbers" => "手算",
        other => other,
    };
    Some(language.choose([english.as_str(), chinese]).to_owned())
}

fn all_named(parts: &[(Said, Option<String>)], language: Language) -> Vec<String> {
    let parts = parts.iter();
    let given = parts.filter_map(|(name, value)| Some(named(*name, value.as_ref()?, language)));
    given.collect()
}

/// A part of a solution with its value, which stands at its end or where `{}` is.
fn named(name: Said, value: &str, language: Language) -> String {
    let value = format!("`{value}`");
    match language.choose(name) {
        name if name.contains("{}") => name.replace("{}", &value),
        name => format!("{name} {value}"),
    }
}

/// What the file calls it.
fn name<T: serde::Serialize>(value: Option<T>) -> Option<String> {
    let value = serde_json::to_value(value?).ok()?;
    let text = value.as_str().map(str::to_owned);
    Some(text.unwrap_or_else(|| value.to_string()))
}

fn describe_ask(ask: &RequestPatch, language: Language) -> String {
    let scheduler = ask.scheduler.map(in_words::scheduler_name);
    let plain = [
        (["prompt", "提示词"], ask.prompt.clone()),
        (
            ["negative prompt", "负面提示词"],
            ask.negative_prompt.clone(),
        ),
        (["seed", "种子"], ask.seed.map(|seed| seed.to_string())),
        (["steps", "步数"], ask.steps.map(|steps| steps.to_string())),
        (
            ["guidance", "引导强度"],
            ask.guidance_scale.map(|scale| scale.to_string()),
        ),
        (["scheduler", "采样器"], scheduler),
        (
            ["guidance only in steps", "只在这些步里引导"],
            ask.guidance_steps.map(StepRange::typed),
        ),
        (
            ["guidance rescale", "引导重缩放"],
            ask.guidance_rescale.map(|phi| phi.to_string()),
        ),
        (
            ["layers of the text encoder", "文本编码器的层数"],
            ask.text_layers.map(|layers| layers.to_string()),
        ),
    ];
    let plain = all_named(&plain, language).into_iter();
    let weights = ask.weight.iter().flatten();
    let weights = weights.map(|(word, factor)| format!("`{word}` × `{factor}`"));
    let swaps = ask.swap.iter().flatten();
    let swaps = swaps.map(|(word, other)| format!("`{word}` ⇄ `{other}`"));
    let left_out = ask.leave_out.iter().flatten().map(|(word, of)| {
        let change = Intervention::leave_out(word, *of);
        format!("`{}`", in_words::intervention(&change, language))
    });
    let patches = ask.patches.iter().flatten();
    let patches = patches.map(|patch| format!("`{patch}`"));
    let words = weights.chain(swaps).chain(left_out);
    let parts: Vec<String> = plain.chain(words).chain(patches).collect();
    if parts.is_empty() {
        return language.choose(messages::AGAIN).to_owned();
    }
    parts.join(language.choose([", ", "，"]))
}
