//! `run --watch` and `run --break`: what they say, where they stop, and what is written then.

use std::fs;

use diffuscope::Replay;
use diffuscope::document::RunDocument;
use predicates::str::contains;

use super::cli::{diffuscope, here};

const PROMPT: &str = "a red apple";

fn read(folder: &std::path::Path) -> RunDocument {
    serde_json::from_slice(&fs::read(folder.join("run.json")).unwrap()).unwrap()
}

#[test]
fn a_breakpoint_stops_where_it_is_true_and_exports_what_there_is() {
    let folder = here();
    let asked = ["run", "-p", PROMPT, "--steps", "5", "--json"];
    let args = [&asked[..], &["all"]].concat();
    diffuscope(&folder, &args).assert().success();
    let more = ["stopped", "--png", "x0.png", "--break", "step.index == 2"];
    let args = [&asked[..], &more].concat();
    diffuscope(&folder, &args)
        .assert()
        .success()
        .stderr(contains("stopped after step 3: `step.index == 2` is true"));
    let [all, stopped] = ["all", "stopped"].map(|name| folder.path().join(name));
    let (whole, part) = (read(&all), read(&stopped));
    assert_eq!((whole.stopped, whole.steps.len()), (None, 5));
    assert_eq!(part.steps.len(), 3);
    assert_eq!(part.schedule, whole.schedule);
    let place = part.stopped.unwrap();
    assert_eq!((place.step, place.filter.as_str()), (2, "step.index == 2"));
    // Stopping changes nothing that was done before, and asks for nothing that is exported.
    for (part, whole) in part.steps.iter().zip(&whole.steps) {
        assert_eq!(part.tensors, whole.tensors);
        assert_eq!(part.modules, whole.modules);
    }
    // The picture is the prediction, in both places, and says so.
    let pictures = [folder.path().join("x0.png"), stopped.join("image.png")];
    let [png, image] = pictures.map(|path| fs::read(path).unwrap());
    assert_eq!(png, image);
    assert_ne!(image, fs::read(all.join("image.png")).unwrap());
    let text = String::from_utf8_lossy(&image).into_owned();
    assert!(text.contains("the picture predicted at step 3"));
    let replay = Replay::open(&stopped).unwrap();
    assert_eq!(replay.steps(), 3);
    replay.verify().unwrap();
    // A run that was said to be stopped elsewhere is found out.
    let mut damaged: serde_json::Value =
        serde_json::from_slice(&fs::read(stopped.join("run.json")).unwrap()).unwrap();
    damaged["stopped"]["step"] = 3.into();
    fs::write(stopped.join("run.json"), damaged.to_string()).unwrap();
    let error = Replay::open(&stopped).unwrap_err().to_string();
    assert!(
        error.contains("stopped.step") || error.contains("steps"),
        "{error}"
    );
}

#[test]
fn watch_expressions_are_said_and_exported_step_by_step() {
    let folder = here();
    let share = "share(\"apple\")";
    let args = [
        "run",
        "-p",
        PROMPT,
        "--steps",
        "4",
        "--json",
        "run",
        "--attention",
        "none",
        "--watch",
        "step.sigma",
        "--watch",
        share,
        "--watch",
        "step.modules | length",
    ];
    diffuscope(&folder, &args)
        .assert()
        .success()
        .stderr(contains("watch: step.sigma: "))
        .stderr(contains("watch: share(\"apple\"): "));
    let document = read(&folder.path().join("run"));
    assert_eq!(document.watches.len(), 3);
    assert!(document.watches.iter().all(|watch| watch.values.len() == 4));
    let json = serde_json::to_value(&document.watches).unwrap();
    for (index, step) in document.steps.iter().enumerate() {
        let found = json[0]["values"][index].as_f64().unwrap();
        assert!((found - f64::from(step.sigma.0)).abs() < 1e-6);
        assert!(json[1]["values"][index].as_f64().unwrap() > 0.0);
        assert!(json[2]["values"][index].as_f64().unwrap() > 20.0);
        // What was recorded for the questions alone is not exported.
        assert!(step.modules.is_empty());
        assert!(
            step.tensors
                .keys()
                .all(|name| !name.starts_with("attention"))
        );
    }
    Replay::open(&folder.path().join("run"))
        .unwrap()
        .verify()
        .unwrap();
}

#[test]
fn what_is_no_filter_is_wrong_usage_and_a_breakpoint_without_an_answer_stops() {
    let folder = here();
    let run = ["run", "-p", PROMPT, "--steps", "3", "--png", "a.png"];
    for wrong in ["step.(", "input", "nothing_like_it", ""] {
        let args = [&run[..], &["--break", wrong]].concat();
        diffuscope(&folder, &args)
            .assert()
            .code(2)
            .stderr(contains("--break"));
    }
    assert!(!folder.path().join("a.png").exists());
    let args = [&run[..], &["--break", "step.sigma"]].concat();
    diffuscope(&folder, &args)
        .assert()
        .success()
        .stderr(contains("stopped after step 1"))
        .stderr(contains("true or false"));
    assert!(folder.path().join("a.png").exists());
}
