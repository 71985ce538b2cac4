//! What a request asks for, in a few words each.

use crate::generation::{AttentionChange, Intervention, Request, StepRange};
use crate::lesson::Language;
use crate::scheduler::SchedulerKind;

/// The name that users type for a scheduler.
pub fn scheduler_name(kind: SchedulerKind) -> String {
    kind.to_string()
}

pub fn seed(request: &Request, language: Language) -> String {
    let seed = request.seed;
    language.choose([format!("seed {seed}"), format!("种子 {seed}")])
}

pub fn steps(count: usize, language: Language) -> String {
    language.choose([format!("{count} steps"), format!("{count} 步")])
}

pub fn guidance(request: &Request, language: Language) -> String {
    let scale = request.guidance_scale;
    language.choose([format!("guidance {scale}"), format!("引导 {scale}")])
}

/// One of [`Run::text_states`](super::run::Run::text_states), by its English name.
pub fn text_state(name: &str, language: Language) -> String {
    let chinese = match (name, name.strip_prefix("layer ")) {
        (_, Some(layer)) => format!("层 {layer}"),
        ("input", _) => "输入".to_owned(),
        ("output", _) => "输出".to_owned(),
        _ => name.to_owned(),
    };
    language.choose([name.to_owned(), chinese])
}

/// A change of the attention to a word: `apple × 0.5`.
pub fn intervention(change: &Intervention, language: Language) -> String {
    let named = |word: &str, positions: &[usize]| match word {
        "" => language.choose([
            format!("position {positions:?}"),
            format!("位置 {positions:?}"),
        ]),
        word => word.to_owned(),
    };
    let word = named(&change.word, &change.positions);
    let what = match &change.change {
        AttentionChange::Weight(factor) => format!("{word} × {factor}"),
        AttentionChange::Swap(other) => {
            format!("{word} ⇄ {}", named(&other.word, &other.positions))
        }
    };
    let Some(StepRange { first, last }) = change.steps else {
        return what;
    };
    // Counted from 1, as everywhere on the screen.
    let (first, last) = (first + 1, last + 1);
    language.choose([
        format!("{what} in steps {first} to {last}"),
        format!("{what}，在第 {first} 到 {last} 步"),
    ])
}

/// What `request` asks for that `before` did not, a few words each: `guidance 3`.
pub fn changes(request: &Request, before: &Request, language: Language) -> Vec<String> {
    let negative = |request: &Request| {
        language.choose(match request.negative_prompt.as_str() {
            "" => ["no negative prompt", "没有负面提示词"].map(str::to_owned),
            negative => [format!("without “{negative}”"), format!("不要“{negative}”")],
        })
    };
    let words = |request: &Request| {
        [
            request.prompt.clone(),
            negative(request),
            seed(request, language),
            steps(request.steps, language),
            guidance(request, language),
            scheduler_name(request.scheduler),
        ]
    };
    let both = words(request).into_iter().zip(words(before));
    let changed = both.filter(|(now, then)| now != then).map(|(now, _)| now);
    let is_new = |change: &&Intervention| !before.interventions.contains(change);
    let new = request.interventions.iter().filter(is_new);
    changed
        .chain(new.map(|new| intervention(new, language)))
        .collect()
}
