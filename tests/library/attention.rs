//! Queries, keys, values, heads and self-attention of a step, looked at again: beside diffusers in f64
//! (`parity/attention.py`), and beside the probabilities that the network itself computed with.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use candle_core::Device;
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::generation::{Error, Intervention, Pipeline, Request};
use diffuscope::model::AttentionDetail;
use diffuscope::scheduler::SchedulerKind;
use diffuscope::trace::{
    AttentionKind, CancelToken, Event, Guidance, Projections, RecordOptions, Recorder,
    layers_together,
};
use serde::Deserialize;

static PIPELINE: LazyLock<Arc<Pipeline>> = LazyLock::new(|| {
    let checkpoint = Checkpoint::open(&Source::Embedded).expect("the embedded checkpoint opens");
    Arc::new(Pipeline::load(&checkpoint, &Device::Cpu).expect("the embedded checkpoint loads"))
});

#[derive(Deserialize)]
struct Goldens {
    token: usize,
    place: (f32, f32),
    together: Vec<String>,
    /// The largest distance of PyTorch in f32 from the truth, by kind of value.
    floor: BTreeMap<String, f64>,
    values: BTreeMap<String, Vec<f64>>,
}

fn goldens() -> Goldens {
    let text = include_str!("../parity/goldens/attention.json");
    serde_json::from_str(text).expect("the goldens are read")
}

/// The request of the goldens' case `two-objects-euler`.
fn request() -> Request {
    Request {
        seed: 0,
        steps: 8,
        guidance_scale: 7.5,
        scheduler: SchedulerKind::Euler,
        ..Request::plain("a red apple to the left of a blue house at night")
    }
}

/// A recorder whose first step is done, and which may be cancelled.
fn after_one_step(request: Request, cancel: CancelToken) -> Recorder {
    let options = RecordOptions {
        cancel,
        ..RecordOptions::default()
    };
    let mut recorder = Recorder::new(PIPELINE.clone(), request, options).expect("valid");
    while !matches!(
        recorder.advance().expect("it goes on"),
        Some(Event::Step(_))
    ) {}
    recorder
}

fn index_of(block: &str) -> usize {
    let layers = &PIPELINE.info().cross_attention;
    let path = format!("{block}.attn2");
    let found = layers.iter().position(|layer| layer.path == path);
    found.expect("the model has the layer")
}

/// The projections of one layer.
fn one(recorder: &Recorder, half: Guidance, kind: AttentionKind, layer: usize) -> Projections {
    let found = recorder.projections_at(0, half, kind, &[layer]);
    found.expect("it is computed").swap_remove(0)
}

/// The largest distances from the truth, by kind of value.
struct Distances<'a> {
    goldens: &'a Goldens,
    largest: BTreeMap<String, f64>,
}

impl Distances<'_> {
    fn compare(&mut self, name: &str, values: impl IntoIterator<Item = f64>) {
        let truth = &self.goldens.values[name];
        let values: Vec<f64> = values.into_iter().collect();
        assert_eq!(values.len(), truth.len(), "{name}");
        let apart = values.iter().zip(truth).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f64::max);
        let kind = name.rsplit('/').next().unwrap_or(name);
        let largest = self.largest.entry(kind.to_owned()).or_default();
        *largest = largest.max(apart);
        assert!(apart.is_finite(), "{name}");
    }

    /// Of two sets of rounding errors that are equally large, the largest of one may be above that of the other by chance;
    /// but not of all kinds of values together.
    fn finish(&self) {
        for (kind, largest) in &self.largest {
            let floor = self.goldens.floor[kind];
            println!("{kind}: {largest:.2e} from f64, PyTorch in f32 {floor:.2e}");
        }
        for (kind, largest) in &self.largest {
            let bound = 4.0 * self.goldens.floor[kind];
            assert!(
                *largest <= bound,
                "{kind}: {largest:.2e} beyond {bound:.2e}"
            );
        }
        let kinds = self.largest.iter();
        let ratios = kinds.map(|(kind, largest)| (largest / self.goldens.floor[kind]).ln());
        let mean = (ratios.sum::<f64>() / self.largest.len() as f64).exp();
        println!("of all kinds together, as a ratio: {mean:.2}");
        assert!(mean <= 1.0, "{mean}");
        assert_eq!(self.largest.len(), self.goldens.floor.len());
    }
}

#[test]
fn what_a_closer_look_finds_is_what_diffusers_computes() {
    let goldens = goldens();
    let recorder = after_one_step(request(), CancelToken::default());
    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let mut distances = Distances {
        goldens: &goldens,
        largest: BTreeMap::new(),
    };
    let mut blocks = 0;
    for name in goldens.values.keys() {
        let Some(block) = name
            .strip_prefix("prompt/")
            .and_then(|n| n.strip_suffix("/query"))
        else {
            continue;
        };
        blocks += 1;
        let layer = index_of(block);
        for (half, name) in [(Guidance::Cond, "prompt"), (Guidance::Uncond, "uncond")] {
            let name = |value: &str| format!("{name}/{block}/{value}");
            let text = one(&recorder, half, AttentionKind::Text, layer);
            let place = text.place_at(goldens.place);
            let row = |all: &[f32], row: usize| wide(&all[row * text.channels..][..text.channels]);
            distances.compare(&name("query"), row(&text.query, place));
            distances.compare(&name("key"), row(&text.key, goldens.token));
            distances.compare(&name("value"), row(&text.value, goldens.token));
            let rows = (0..text.heads).flat_map(|head| text.row(head, place).probabilities);
            distances.compare(&name("row"), rows);
            let own = one(&recorder, half, AttentionKind::Own, layer);
            let rows = (0..own.heads).flat_map(|head| own.row(head, place).probabilities);
            distances.compare(&name("own_row"), rows);
            let heads = &recorder.heads_at(0, half).expect("they are computed")[layer];
            distances.compare(&name("shares"), wide(&heads.shares));
            distances.compare(&name("entropy"), wide(&heads.entropy));
        }
    }
    assert_eq!(blocks, 3);
    let together = layers_together(&PIPELINE.info().cross_attention, None);
    let expected: Vec<usize> = goldens
        .together
        .iter()
        .map(|block| index_of(block))
        .collect();
    assert_eq!(together, expected);
    for (name, layers, head) in [
        ("mean", &together[..], None),
        ("head", &together[..1], Some(2)),
    ] {
        let found = recorder.components_at(0, Guidance::Cond, layers, head);
        let found = found.expect("they are computed").expect("there are some");
        distances.compare(
            &format!("{name}/explained"),
            found.explained.iter().copied(),
        );
        let scores = found.scores.iter().flat_map(|scores| wide(scores));
        distances.compare(&format!("{name}/components"), scores);
    }
    distances.finish();
}

#[test]
fn a_row_by_hand_is_the_probability_that_the_network_computed_with() {
    let recorder = after_one_step(request(), CancelToken::default());
    let maps = recorder.attention_at(0, AttentionDetail::Heads, Guidance::Cond);
    for (layer, maps) in maps.expect("they are computed").iter().enumerate() {
        let text = one(&recorder, Guidance::Cond, AttentionKind::Text, layer);
        assert_eq!(text.path, maps.path);
        let apart = (0..text.heads)
            .flat_map(|head| (0..text.places()).map(move |place| (head, place)))
            .flat_map(|(head, place)| {
                let row = text.row(head, place);
                assert!((row.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                let tokens = row.probabilities.into_iter().enumerate();
                tokens.map(move |(token, by_hand)| {
                    (by_hand - f64::from(maps.map(Some(head), token)[place])).abs()
                })
            })
            .fold(0.0, f64::max);
        println!("{}: {apart:.2e}", text.path);
        // The network's own softmax is in f32.
        assert!(apart < 5e-6, "{}: {apart:.2e}", text.path);
    }
}

#[test]
fn looking_closer_changes_nothing_and_ends_where_the_last_layer_is() {
    let mut looked = after_one_step(request(), CancelToken::default());
    let mut plain = looked.clone();
    let layers = PIPELINE.info().cross_attention.len();
    for half in [Guidance::Cond, Guidance::Uncond] {
        assert_eq!(looked.heads_at(0, half).expect("computed").len(), layers);
        for layer in 0..layers {
            for kind in [AttentionKind::Own, AttentionKind::Text] {
                let found = looked
                    .projections_at(0, half, kind, &[layer])
                    .expect("computed");
                assert_eq!(
                    found[0].keys(),
                    match kind {
                        AttentionKind::Own => found[0].places(),
                        AttentionKind::Text => 77,
                    }
                );
                assert_eq!(found[0].value.is_empty(), kind == AttentionKind::Own);
            }
        }
    }
    let picture = |recorder: &mut Recorder| loop {
        if let Some(Event::Image(image)) = recorder.advance().expect("it goes on") {
            return image.image.clone();
        }
    };
    assert_eq!(picture(&mut looked), picture(&mut plain));
}

#[test]
fn a_step_without_guidance_has_no_other_half_and_words_that_are_weighed_are_seen_as_weighed() {
    let unguided = Request {
        guidance_scale: 1.0,
        ..request()
    };
    let recorder = after_one_step(unguided, CancelToken::default());
    assert!(
        recorder
            .heads_at(0, Guidance::Uncond)
            .expect("nothing")
            .is_empty()
    );
    let none = recorder.projections_at(0, Guidance::Uncond, AttentionKind::Own, &[0]);
    assert!(none.expect("nothing").is_empty());
    let none = recorder.components_at(0, Guidance::Uncond, &[0], None);
    assert!(none.expect("nothing").is_none());
    assert!(
        !recorder
            .heads_at(0, Guidance::Cond)
            .expect("computed")
            .is_empty()
    );
    assert!(matches!(
        recorder.heads_at(1, Guidance::Cond),
        Err(Error::NoSuchStep(1))
    ));

    let token = goldens().token;
    let plain = after_one_step(request(), CancelToken::default());
    let weighed = after_one_step(
        Request {
            interventions: vec![Intervention::weight("apple", 3.0)],
            ..request()
        },
        CancelToken::default(),
    );
    // In the first layer of the first step nothing else is different yet.
    let share = |recorder: &Recorder| {
        let heads = recorder.heads_at(0, Guidance::Cond).expect("computed");
        heads[0].share(None, token).expect("a token")
    };
    assert!((share(&weighed) / share(&plain) - 3.0).abs() < 1e-5);
}

#[test]
fn a_look_can_be_cancelled_and_is_quick() {
    let cancel = CancelToken::default();
    let recorder = after_one_step(request(), cancel.clone());
    let together = layers_together(&PIPELINE.info().cross_attention, None);
    let mut figures = Vec::new();
    for what in ["heads", "self-attention", "components", "by hand"] {
        let start = Instant::now();
        match what {
            "heads" => drop(recorder.heads_at(0, Guidance::Cond)),
            "self-attention" => {
                let found =
                    recorder.projections_at(0, Guidance::Cond, AttentionKind::Own, &together);
                let row = found.expect("computed")[0].probabilities(None, 7);
                assert_eq!(row.len(), 256);
            }
            "components" => drop(recorder.components_at(0, Guidance::Cond, &together, None)),
            _ => drop(one(&recorder, Guidance::Cond, AttentionKind::Text, 6)),
        }
        figures.push(format!(
            "{what} {:.0} ms",
            1000.0 * start.elapsed().as_secs_f64()
        ));
    }
    println!("{}", figures.join(", "));
    cancel.cancel();
    assert!(matches!(
        recorder.heads_at(0, Guidance::Cond),
        Err(Error::Cancelled)
    ));
    let cancelled = recorder.projections_at(0, Guidance::Cond, AttentionKind::Own, &together);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
}
