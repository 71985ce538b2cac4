//! What a request asks for, in a few words each.

use crate::generation::{
    Intervention, LeftOutOf, Patch, PatchChange, Request, TakenFrom, WordChange,
};
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

/// A change of what a word does: `apple × 0.5`.
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
        WordChange::Weight(factor) => format!("{word} × {factor}"),
        WordChange::Swap(other) => {
            format!("{word} ⇄ {}", named(&other.word, &other.positions))
        }
        WordChange::LeaveOut(of) => language.choose(left_out(&word, *of)),
    };
    match change.steps {
        Some(steps) => language.choose([
            format!("{what} in {steps}"),
            format!("{what}，在{}", steps_in_chinese(steps)),
        ]),
        None => what,
    }
}

/// Which word is left out of what.
pub fn left_out(word: &str, of: LeftOutOf) -> [String; 2] {
    match of {
        LeftOutOf::Input => [
            format!("{word} left out of the input"),
            format!("输入中去掉 {word}"),
        ],
        LeftOutOf::Reads => [
            format!("{word} left out of what the UNet reads"),
            format!("UNet 读到的内容中去掉 {word}"),
        ],
    }
}

/// After how many layers of the text encoder a text is read.
pub fn text_layers(layers: usize) -> [String; 2] {
    [
        format!("text after {layers} layers"),
        format!("文本只经过 {layers} 层"),
    ]
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
    special.extend(
        request
            .text_layers
            .map(|layers| language.choose(text_layers(layers))),
    );
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
