//! What a request asks for, in a few words each.

use crate::generation::{AttentionChange, Intervention, Patch, PatchChange, Request, TakenFrom};
use crate::lesson::Language;
use crate::scheduler::SchedulerKind;
use crate::tui::errors::steps_in_chinese;

/// The name that users type for a scheduler.
pub fn scheduler_name(kind: SchedulerKind) -> String {
    kind.to_string()
}

pub fn seed(request: &Request, language: Language) -> String {
    let seed = request.seed;
    language.choose([format!("seed {seed}"), format!("种子 {seed}")])
}

/// A step as captions begin with it, counted from 1.
pub fn step(index: usize, language: Language) -> String {
    let number = index + 1;
    language.choose([format!("step {number}"), format!("第 {number} 步")])
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
    match change.steps {
        Some(steps) => language.choose([
            format!("{what} in {steps}"),
            format!("{what}，在{}", steps_in_chinese(steps)),
        ]),
        None => what,
    }
}

/// What is done to a module of the UNet: `mid_block off in both halves`.
fn patch(patch: &Patch, language: Language) -> String {
    let head = patch
        .head
        .map_or_else(String::new, |head| format!(" 头 {head}"));
    let what = match &patch.change {
        PatchChange::Off => "关闭".to_owned(),
        PatchChange::Scale(factor) => format!("× {factor}"),
        PatchChange::Take(TakenFrom { run, step: None }) => format!("取自 {run}"),
        PatchChange::Take(TakenFrom {
            run,
            step: Some(step),
        }) => format!("取自 {run} 的第 {} 步", step.saturating_add(1)),
    };
    let steps = patch.steps.map_or_else(String::new, |steps| {
        format!("，在{}", steps_in_chinese(steps))
    });
    let chinese = format!("{}{head} {what}（两半都是）{steps}", patch.module);
    language.choose([patch.to_string(), chinese])
}

/// What is done otherwise than a plain run does it, a few words each, in the order of [`Request::changes`].
pub fn special(request: &Request, language: Language) -> Vec<String> {
    let interventions = request.interventions.iter();
    let patches = request.patches.iter();
    let mut special: Vec<String> = interventions
        .map(|change| intervention(change, language))
        .chain(patches.map(|change| patch(change, language)))
        .collect();
    special.extend(request.guidance_steps.map(|steps| {
        language.choose([
            format!("guidance only in {steps}"),
            format!("只在{}引导", steps_in_chinese(steps)),
        ])
    }));
    if request.guidance_rescale > 0.0 {
        let phi = request.guidance_rescale;
        special.push(language.choose([
            format!("guidance rescaled by {phi}"),
            format!("引导重缩放 {phi}"),
        ]));
    }
    special
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
    let old = special(before, language);
    let new = special(request, language).into_iter();
    changed
        .chain(new.filter(|change| !old.contains(change)))
        .collect()
}
