//! How a picture was made, in the text that other programs for these models write into their pictures, and read.
//!
//! The form is that of AUTOMATIC1111's stable-diffusion-webui: the prompt, a line `Negative prompt: …`, and a last line
//! of `Key: value` with commas between. Those programs read more into a prompt than a text: `(word:1.2)`, `[a:b:0.5]`,
//! `AND`, `<lora:name:1>`. A prompt here is nothing but its text, so [`plain`] writes it in such a way that they read
//! it as that.

use std::fmt::Write as _;

use super::RunMetadata;
use crate::export::document::Program;
use crate::scheduler::SchedulerKind;

const NEGATIVE: &str = "Negative prompt:";

/// The text, for a picture of `width` x `height` pixels.
pub(super) fn parameters((width, height): (u32, u32), run: &RunMetadata) -> String {
    let request = &run.request;
    let mut text = plain(&request.prompt);
    if !request.negative_prompt.is_empty() {
        let _ = write!(text, "\n{NEGATIVE} {}", plain(&request.negative_prompt));
    }
    let (sampler, schedule) = names(request.scheduler);
    let _ = write!(text, "\nSteps: {}, Sampler: {sampler}", request.steps);
    if let Some(schedule) = schedule {
        let _ = write!(text, ", Schedule type: {schedule}");
    }
    let Program { name, version } = Program::this();
    let _ = write!(
        text,
        ", CFG scale: {}, Seed: {}, Size: {width}x{height}, Model hash: {}, Model: {}, RNG: CPU",
        request.guidance_scale,
        seed(request.seed),
        run.model.sha256.get(..10).unwrap_or(&run.model.sha256),
        quoted(&run.model.name),
    );
    if let Some(changes) = untold(run) {
        let _ = write!(
            text,
            ", Not reproducible from this text: {}",
            quoted(&changes)
        );
    }
    let _ = write!(text, ", Version: {name} {version}");
    text
}

/// The sampler's name there, and that of the spacing of its noise levels, where it has several.
fn names(scheduler: SchedulerKind) -> (&'static str, Option<&'static str>) {
    match scheduler {
        SchedulerKind::Lms => ("LMS", Some("Uniform")),
        SchedulerKind::Euler => ("Euler", Some("Uniform")),
        SchedulerKind::EulerAncestral => ("Euler a", Some("Uniform")),
        SchedulerKind::Ddim => ("DDIM", None),
        // Without a name for it, they would take Karras' for this sampler.
        SchedulerKind::DpmPlusPlus2M => ("DPM++ 2M", Some("Uniform")),
        SchedulerKind::DpmPlusPlus2MKarras => ("DPM++ 2M", Some("Karras")),
        SchedulerKind::Pndm => ("PLMS", None),
    }
}

/// A seed that they take for a number, and not for the wish for a random one: negative ones, and those that are not
/// exact in f64, become the low 32 bits, which are all that torch's generator on the CPU takes of a seed.
fn seed(seed: i128) -> i128 {
    if (0..1 << 53).contains(&seed) {
        seed
    } else {
        seed & 0xffff_ffff
    }
}

/// What was done in the run that the text has no words for.
fn untold(run: &RunMetadata) -> Option<String> {
    let mut changes = run.request.changes();
    let branches = run.branches.iter();
    changes
        .extend(branches.map(|branch| format!("another request before step {}", branch.step + 1)));
    if let Some(stopped) = &run.stopped {
        changes.push(format!(
            "the picture predicted at step {}, where the run was stopped",
            stopped.step + 1
        ));
    }
    if [&run.request.prompt, &run.request.negative_prompt]
        .iter()
        .any(|text| text.contains('#'))
    {
        changes.push("what follows # in the prompt may be read as a comment".to_owned());
    }
    (!changes.is_empty()).then(|| changes.join("; "))
}

/// A value as they quote it where it has characters of the line's own form.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n', '"']) {
        serde_json::Value::from(value).to_string()
    } else {
        value.to_owned()
    }
}

/// A text that is read as just that. A backslash before a bracket or a backslash makes it a character of the text;
/// before anything else it vanishes, and serves here to part what would be read as more than text.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let before = text[..text.len() - rest.len()].chars().next_back();
        let after = &rest[c.len_utf8()..];
        let starts_word = !before.is_some_and(is_word);
        let keyword = ["AND", "BREAK"].into_iter().any(|keyword| {
            rest.strip_prefix(keyword)
                .is_some_and(|rest| !rest.chars().next().is_some_and(is_word))
        });
        let is_line = out
            .rsplit('\n')
            .next()
            .is_some_and(|line| line.trim().is_empty());
        match c {
            '\\' | '(' | ')' | '[' | ']' => out.extend(['\\', c]),
            // Words that part a prompt, the line that ends it, `<lora:…>`, and a weight at the end.
            _ if keyword && starts_word => out.extend([c, '\\']),
            'N' if is_line && rest.starts_with(NEGATIVE) => out.extend([c, '\\']),
            '<' if after.chars().next().is_some_and(is_word) => out.extend([c, '\\']),
            ':' if after.trim().parse::<f64>().is_ok() => out.extend([c, '\\']),
            '\r' => out.push(' '),
            _ => out.push(c),
        }
        rest = after;
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::{BranchPoint, Intervention, Request};

    fn run(prompt: &str, scheduler: SchedulerKind) -> RunMetadata {
        RunMetadata::hand_made(Request {
            seed: 7,
            steps: 5,
            guidance_scale: 7.5,
            scheduler,
            ..Request::plain(prompt)
        })
    }

    /// What `parse_prompt_attention` of stable-diffusion-webui makes of a text that has no weights left in it.
    fn unescaped(text: &str) -> String {
        let mut out = String::new();
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match (c, characters.peek()) {
                ('\\', Some(&next)) if "()[]\\".contains(next) => {
                    out.push(next);
                    characters.next();
                }
                ('\\', _) => {}
                _ => out.push(c),
            }
        }
        out
    }

    #[test]
    fn a_plain_prompt_is_written_so_that_it_is_read_as_plain() {
        for (prompt, expected) in [
            ("a red apple", "a red apple"),
            ("a (red:1.2) [apple]", r"a \(red:1.2\) \[apple\]"),
            (r"C:\dir\(x", r"C:\\dir\\\(x"),
            ("cats AND dogs BREAK sANDy", r"cats A\ND dogs B\REAK sANDy"),
            ("<lora:x:1> a < b", r"<\lora:x:1> a < b"),
            ("at a ratio of 3:4", r"at a ratio of 3:\4"),
            ("one\nNegative prompt: two", "one\nN\\egative prompt: two"),
            ("苹果 (苹)", r"苹果 \(苹\)"),
        ] {
            assert_eq!(plain(prompt), expected);
            assert_eq!(unescaped(&plain(prompt)), prompt);
        }
    }

    #[test]
    fn samplers_have_the_names_that_are_known_there() {
        let line = |kind| {
            let text = parameters((64, 64), &run("x", kind));
            let line = text.lines().last().unwrap().to_owned();
            line.split(", CFG").next().unwrap().to_owned()
        };
        for (kind, expected) in [
            (SchedulerKind::Lms, "Sampler: LMS, Schedule type: Uniform"),
            (
                SchedulerKind::Euler,
                "Sampler: Euler, Schedule type: Uniform",
            ),
            (
                SchedulerKind::EulerAncestral,
                "Sampler: Euler a, Schedule type: Uniform",
            ),
            (SchedulerKind::Ddim, "Sampler: DDIM"),
            (
                SchedulerKind::DpmPlusPlus2M,
                "Sampler: DPM++ 2M, Schedule type: Uniform",
            ),
            (
                SchedulerKind::DpmPlusPlus2MKarras,
                "Sampler: DPM++ 2M, Schedule type: Karras",
            ),
            (SchedulerKind::Pndm, "Sampler: PLMS"),
        ] {
            assert_eq!(line(kind), format!("Steps: 5, {expected}"));
        }
    }

    #[test]
    fn seeds_are_those_that_give_the_same_noise_there() {
        for (given, expected) in [
            (0, 0),
            ((1 << 53) - 1, (1 << 53) - 1),
            ((1 << 53) + 5, 5),
            (-1, 4_294_967_295),
            (-(1 << 63), 0),
            ((1 << 64) - 1, 4_294_967_295),
        ] {
            assert_eq!(seed(given), expected);
        }
    }

    #[test]
    fn what_the_text_has_no_words_for_is_said_to_be_missing() {
        let mut run = run("a red apple", SchedulerKind::Lms);
        assert!(!parameters((64, 64), &run).contains("Not reproducible"));
        let before = run.request.clone();
        run.request.interventions = vec![Intervention::weight("apple", 0.5)];
        run.branches = vec![BranchPoint {
            step: 2,
            request: before,
        }];
        run.model.name = "acme/tiny, v2".into();
        let text = parameters((64, 64), &run);
        assert!(
            text.contains(
                "Not reproducible from this text: apple × 0.5; another request before step 3, "
            ),
            "{text}"
        );
        assert!(text.contains("Model: \"acme/tiny, v2\""), "{text}");
    }
}
