//! What an exercise is known by in a reader's progress.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Comparison, Exercise, ExerciseKind, Goto};
use crate::generation::{Patch, RequestPatch, StepRange};
use crate::scheduler::SchedulerKind;

/// The names under which one exercise may stand in a reader's progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExerciseDigest {
    /// The first 16 hexadecimal digits of the SHA-256 of a JSON text without white space:
    ///
    /// ```text
    /// {"filter":"…","request":{"prompt":"a cat","seed":7},"beside":{"seed":8,"branch":5}}
    /// ```
    ///
    /// `filter` is the task's `done` or the question's `answer`, byte for byte; `request` and `beside` are those of the
    /// page's `goto`, `{}` and `null` where it has none. In them stand the keys that the lesson's file gives, under the
    /// names that they have there and in this order: `prompt`, `negative`, `seed`, `steps`, `guidance`, `scheduler`,
    /// `weight`, `swap`, `guidance_steps`, `guidance_rescale`, `patch`, `patch_steps`, `leave_out`, `text_layers`, `branch`. Words of
    /// `weight`, `swap` and `leave_out` are sorted; `guidance` and the factors of `weight` have
    /// a decimal point (`1.0`); `patch` is a list of `"PATH=off"` and `"PATH=2"`. Keys that the file does not give are left out, so that a new key changes no digest.
    pub current: String,
    /// What the first version of the program called it: a hash of Rust's debug output for the types of that time.
    pub old: String,
}

impl ExerciseDigest {
    /// The digests of `exercise` on a page that goes to `goto`: they change with everything that decides whether it is
    /// solved, and with nothing else.
    pub fn new(exercise: &Exercise, goto: &Goto) -> Self {
        let filter = match &exercise.kind {
            ExerciseKind::Task { done, .. } => done.code(),
            ExerciseKind::Question { answer, .. } => answer.code(),
        };
        let beside = goto.beside.as_ref().map(|beside| {
            let mut keys = request_keys(&beside.request);
            keys.extend(beside.branch.map(|step| ("branch".to_owned(), json!(step))));
            keys
        });
        let identity = json!({
            "filter": filter,
            "request": request_keys(&goto.request),
            "beside": beside,
        });
        Self {
            current: short_sha256(&identity.to_string()),
            old: short_sha256(&format!("{filter}{}", old_form(goto))),
        }
    }
}

fn request_keys(request: &RequestPatch) -> Map<String, Value> {
    // As the lesson's file has it: 1.4, and not the nearest f32 with all its digits.
    let plain = |factor: f32| factor.to_string().parse::<f64>().ok();
    let weight = by_word(request.weight.as_ref()).map(|words| {
        let words = words.into_iter();
        words
            .map(|(word, factor)| (word, plain(*factor)))
            .collect::<BTreeMap<_, _>>()
    });
    let patches = request.patches.as_ref();
    let patch_steps = patches.and_then(|patches| patches.first()?.steps);
    let patch_steps = patch_steps.map(StepRange::typed);
    let patches = patches.map(|patches| patches.iter().map(Patch::typed).collect::<Vec<_>>());
    let keys = [
        ("prompt", json!(request.prompt)),
        ("negative", json!(request.negative_prompt)),
        (
            "seed",
            json!(request.seed.and_then(|seed| i64::try_from(seed).ok())),
        ),
        ("steps", json!(request.steps)),
        ("guidance", json!(request.guidance_scale)),
        (
            "scheduler",
            json!(request.scheduler.map(SchedulerKind::name)),
        ),
        ("weight", json!(weight)),
        ("swap", json!(by_word(request.swap.as_ref()))),
        (
            "guidance_steps",
            json!(request.guidance_steps.map(StepRange::typed)),
        ),
        ("guidance_rescale", json!(request.guidance_rescale)),
        ("patch", json!(patches)),
        ("patch_steps", json!(patch_steps)),
        ("leave_out", json!(by_word(request.leave_out.as_ref()))),
        ("text_layers", json!(request.text_layers)),
    ];
    let given = keys.into_iter().filter(|(_, value)| !value.is_null());
    given.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn by_word<T>(words: Option<&Vec<(String, T)>>) -> Option<BTreeMap<&str, &T>> {
    let words = words?.iter();
    Some(words.map(|(word, value)| (word.as_str(), value)).collect())
}

/// `{:?} {:?}` of request and comparison, with the names that their types and fields had in the first version.
fn old_form(goto: &Goto) -> String {
    let beside = match &goto.beside {
        None => "None".to_owned(),
        Some(Comparison { request, branch }) => {
            format!(
                "Some(Beside {{ ask: {}, branch: {branch:?} }})",
                old_request(request)
            )
        }
    };
    format!("{} {beside}", old_request(&goto.request))
}

/// The schedulers that there were then.
const OLD_SCHEDULERS: [(SchedulerKind, &str); 7] = [
    (SchedulerKind::Lms, "Lms"),
    (SchedulerKind::Euler, "Euler"),
    (SchedulerKind::EulerAncestral, "EulerAncestral"),
    (SchedulerKind::Ddim, "Ddim"),
    (SchedulerKind::DpmPlusPlus2M, "DpmPlusPlus2M"),
    (SchedulerKind::DpmPlusPlus2MKarras, "DpmPlusPlus2MKarras"),
    (SchedulerKind::Pndm, "Pndm"),
];

fn old_request(request: &RequestPatch) -> String {
    let scheduler = request.scheduler.and_then(|kind| {
        let (_, name) = OLD_SCHEDULERS.iter().find(|(known, _)| *known == kind)?;
        Some(format!("Some({name})"))
    });
    let scheduler = scheduler.unwrap_or_else(|| "None".to_owned());
    format!(
        "Ask {{ prompt: {:?}, negative: {:?}, seed: {:?}, steps: {:?}, guidance: {:?}, scheduler: {scheduler}, \
         weight: {:?}, swap: {:?} }}",
        request.prompt,
        request.negative_prompt,
        request.seed,
        request.steps,
        request.guidance_scale,
        by_word(request.weight.as_ref()),
        by_word(request.swap.as_ref())
    )
}

fn short_sha256(text: &str) -> String {
    let mut digest = format!("{:x}", Sha256::digest(text));
    digest.truncate(16);
    digest
}

#[cfg(test)]
mod tests {
    use crate::lesson::parse;

    /// Keys that came later: a lesson without them is known as before.
    #[test]
    fn newer_keys_count_where_they_are_given() {
        let digest = |request: &str| {
            let page = format!("request = {{ {request} }}\nbeside = {{}}");
            let text = LESSON.replace(
                "beside = { branch = 5, seed = 99, scheduler = \"lms\" }",
                "",
            );
            let start = text.find("request = { guidance = 0").unwrap();
            let end = start + text[start..].find('\n').unwrap();
            let text = format!("{}{page}{}", &text[..start], &text[end..]);
            parse("x.md", &text).unwrap().pages[2]
                .digest()
                .unwrap()
                .current
        };
        let plain = digest("seed = 1");
        let mut all = vec![
            plain.clone(),
            digest("seed = 1, guidance_steps = \"2..4\""),
            digest("seed = 1, guidance_rescale = 0.7"),
            digest("seed = 1, leave_out = { cat = \"input\" }"),
            digest("seed = 1, leave_out = { cat = \"reads\" }"),
            digest("seed = 1, text_layers = 1"),
            digest("seed = 1, patch = { \"conv_in\" = \"off\" }"),
            digest("seed = 1, patch = { \"conv_in\" = 0.5 }"),
            digest("seed = 1, patch = { \"conv_in\" = 0.5 }, patch_steps = \"2\""),
        ];
        assert_eq!(digest("seed = 1"), plain);
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    /// Every key of a request, and every kind of comparison.
    const LESSON: &str = r#"+++
id = "x"
title = "X"
minutes = 5
[request]
prompt = "a cat"
+++

# One

```question
ask = "?"
kind = "number"
answer = '.steps | length'
hints = ["!"]
explanation = "."
```

# Two

```goto
request = { prompt = "a “red” cat\n", negative = "", seed = -7, steps = 30, guidance = 7.5, scheduler = "euler-a" }
beside = {}
```

```task
do = "?"
done = '.selection.step == 3'
hints = ["!"]
solution = [{ step = 4 }]
explanation = "."
```

# Three

```goto
request = { guidance = 0, scheduler = "dpm++-2m-karras", weight = { red = 1.4, cat = 0 }, swap = { cat = "dog" } }
beside = { branch = 5, seed = 99, scheduler = "lms" }
```

```task
do = "?"
done = '.selection.step == 3'
hints = ["!"]
solution = [{ step = 4 }]
explanation = "."
```
"#;

    #[test]
    fn digests_are_those_that_readers_have_kept() {
        let lesson = parse("x.md", LESSON).unwrap();
        let digests = lesson.pages.iter().map(|page| page.digest().unwrap());
        let digests: Vec<(String, String)> =
            digests.map(|digest| (digest.current, digest.old)).collect();
        let expected = [
            ("5d1c579edf85d9f2", "e05a9204992f94f8"),
            ("64b17b1608c63423", "e4994fe6cd4bff84"),
            ("1d5a1b17637da011", "d0fe9fb4a010e230"),
        ];
        assert_eq!(
            digests,
            expected.map(|(current, old)| (current.to_owned(), old.to_owned()))
        );
    }
}
