//! Views that have little room: beside a lesson, and two runs side by side. What stands in them is whole, or not there.

use super::support::{Session, is_open, loader, text};
use diffuscope::generation::RequestPatch;
use diffuscope::lesson::{Language, Library, Progress, parse};
use diffuscope::tui::state::App;
use diffuscope::tui::state::action::Action;
use diffuscope::tui::state::lesson::LessonState;
use diffuscope::tui::worker::Worker;

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 40)];

/// A lesson of one page, open at `goto`, with a request of four steps.
fn at(goto: &str) -> App {
    let lesson = format!(
        "+++\nid = \"x\"\ntitle = \"A lesson with a title of some length\"\nminutes = 1\n\
         [request]\nprompt = \"a photograph of a red apple\"\nsteps = 4\n+++\n\n# Page\n\nWords.\n\n\
         ```goto\n{goto}\n```\n"
    );
    let mut app = App::new(64 << 20).with_lessons(LessonState::new(
        Library::embedded(),
        Language::En,
        Progress::default(),
    ));
    app.waits = true;
    app.begin(parse("x.md", &lesson).unwrap());
    let worker = Worker::spawn(loader(), RequestPatch::default()).unwrap();
    let session = Session { app, worker }.until(is_open);
    // What is worked out about a run comes a little later.
    session
        .until(|app| app.run().unwrap().vocabulary.is_some())
        .app
}

#[test]
fn two_text_encoders_do_not_run_into_each_other() {
    let app = at("view = \"text-encoder\"\nbeside = { prompt = \"a photograph of a blue cat\" }");
    for size in SIZES {
        let screen = text(&app, size);
        let heads: Vec<&str> = screen.split("moved").skip(1).collect();
        assert!(heads.len() >= 2, "{screen}");
        for rest in heads {
            assert!(!rest.starts_with(char::is_alphabetic), "{screen}");
        }
        // The numbers of the movement are whole in both tables.
        let moved = |row: &str| {
            let numbers = row.split_whitespace().filter(|word| {
                let (whole, decimals) = word.split_once('.').unwrap_or(("x", ""));
                whole.parse::<u32>().is_ok() && decimals.len() == 3
            });
            row.contains("apple ") && row.contains("cat ") && numbers.count() >= 2
        };
        assert!(screen.lines().any(moved), "{screen}");
    }
}

#[test]
fn latents_on_two_scales_are_compared_on_one() {
    let app = at("view = \"denoising\"\nstep = 1\nbeside = { scheduler = \"ddim\" }");
    let run = app.run().unwrap();
    let other = app.runs.compared().unwrap();
    // Both began from the same noise: x0 + σ ε with sigma 14.6, or that divided by √(σ²+1).
    let scaled = |run: &diffuscope::tui::state::run::Run| -> Vec<f64> {
        let step = &run.trace.steps[0];
        let latents = step.tensor("latents").unwrap();
        let scale = f64::from(step.preview_scale);
        latents
            .data
            .iter()
            .map(|value| f64::from(*value) / scale)
            .collect()
    };
    let (a, b) = (scaled(run), scaled(other));
    let squares =
        |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let apart = squares(&mut a.iter().zip(&b).map(|(a, b)| a - b));
    let size = squares(&mut a.iter().copied());
    let expected = 100.0 * (apart / size).sqrt();
    assert!(expected < 20.0, "{expected}");
    for size in SIZES {
        let screen = text(&app, size);
        let flat: Vec<&str> = screen.split_whitespace().collect();
        let flat = flat.join(" ");
        assert!(
            flat.contains("x_t, one of them divided by √(σ²+1):"),
            "{screen}"
        );
        let of_size = flat.split(" % of its").next().unwrap();
        let shown: f64 = of_size.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(
            (shown - expected).abs() < 0.06,
            "{shown}, not {expected}:\n{screen}"
        );
    }
}

#[test]
fn a_steps_noise_levels_and_titles_are_whole_side_by_side() {
    let app = at("view = \"denoising\"\nstep = 3\nbeside = { guidance = 1 }");
    let step = &app.run().unwrap().trace.steps[2];
    let levels = format!("{:.4} → {:.4}", step.sigma, step.sigma_next);
    for size in SIZES {
        let screen = text(&app, size);
        assert_eq!(screen.matches(&levels).count(), 2, "{levels}:\n{screen}");
        assert!(
            !screen.contains("predi…") && !screen.contains("x_t: …"),
            "{screen}"
        );
    }
    let app = at("view = \"denoising\"\nstep = 3");
    for size in SIZES {
        assert!(text(&app, size).contains("predicted x0"));
    }
}

#[test]
fn a_selected_start_has_one_share_and_not_two() {
    let app = at("view = \"attention\"\ntoken = \"start\"");
    let screen = text(&app, (120, 40));
    let shares = |name: &str| {
        let rows = screen.lines().filter(|row| {
            let mut words = row.split_whitespace().skip_while(|word| *word != name);
            words.next().is_some() && words.nth(1) == Some("%")
        });
        rows.count()
    };
    assert_eq!(shares("start"), 1, "{screen}");
    assert_eq!(shares("padding"), 1, "{screen}");
    // Side by side the shares keep their decimals.
    let app = at("view = \"attention\"\ntoken = \"apple\"\nbeside = { seed = 3 }");
    let run = app.run().unwrap();
    assert_eq!(run.trace.request.seed, 42);
    let screen = text(&app, (80, 24));
    let row = screen.lines().find(|row| row.contains("others"));
    let shares = row.unwrap_or_else(|| panic!("no shares:\n{screen}"));
    let decimals = shares.split_whitespace().filter(|word| word.contains('.'));
    assert_eq!(decimals.count(), 2, "{screen}");
}

#[test]
fn two_requests_stand_side_by_side_and_a_form_has_the_whole_width() {
    let app = at("view = \"prompt\"\nbeside = { seed = 3, prompt = \"a grey cat\" }");
    for size in SIZES {
        let screen = text(&app, size);
        assert!(
            screen.contains("a grey cat") && !screen.contains("not recorded"),
            "{screen}"
        );
    }
    let mut app = app;
    app.update(Action::Edit);
    let screen = text(&app, (80, 24));
    assert!(!screen.contains("The two requests differ"), "{screen}");
    assert!(screen.contains("a photograph of a red apple"), "{screen}");
}

#[test]
fn what_lies_nearest_is_seen_beside_a_lesson() {
    let app = at("view = \"embedding\"\ntoken = \"apple\"");
    for size in SIZES {
        let screen = text(&app, size);
        for words in ["apple: 96 numbers, row 3055", "nearest of"] {
            assert!(screen.contains(words), "{words} at {size:?}:\n{screen}");
        }
    }
}

#[test]
fn the_schedule_beside_a_lesson_says_whose_marks_are_whose() {
    let app = at("view = \"schedule\"\noverlay = \"lms\"\noverlay_steps = 100");
    for size in SIZES {
        let screen = text(&app, size);
        assert!(screen.contains("lms · 100 steps"), "{screen}");
        assert!(!screen.contains("logar "), "{screen}");
    }
}

#[test]
fn a_lessons_title_is_whole_where_it_stands_beside_the_view() {
    let app = at("view = \"tokens\"");
    assert!(text(&app, (120, 40)).contains("1/1 A lesson with a title of some length"));
}

#[test]
fn two_lists_of_tokens_have_no_part_of_what_has_no_room() {
    let app = at("view = \"tokens\"\ntoken = \"apple\"\nbeside = { seed = 3 }");
    let screen = text(&app, (80, 24));
    let rows: Vec<&str> = screen.lines().filter(|row| row.contains("red␣")).collect();
    assert!(!rows.is_empty(), "{screen}");
    for row in rows {
        // The id of CLIP's vocabulary, in both, and nothing else.
        assert_eq!(row.matches("736").count(), 2, "{screen}");
        let (_, view) = row.split_once('│').unwrap();
        assert_eq!(view.split_whitespace().count(), 6, "{screen}");
    }
    assert!(!screen.contains("is merged"), "{screen}");
}
