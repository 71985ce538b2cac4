//! Watch expressions and breakpoints: filters that are asked after every denoising step, about the run as it stands
//! then.

use super::RunJson;
use super::filter::{Filter, FilterError, FilterSyntaxError, Input, Value};
use crate::export::{Stopped, WatchValue, WatchValues};
use crate::generation::{ModelInfo, Request};
use crate::model::AttentionDetail;
use crate::trace::{Event, RecordOptions, Trace};

/// A question that is asked after every step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    pub filter: Filter,
    /// Does the run stop where the answer is true?
    pub breaks: bool,
}

impl Watch {
    /// Reads the filter `code`.
    ///
    /// # Errors
    /// Those of [`Filter::parse`].
    pub fn parse(code: &str, breaks: bool) -> Result<Self, FilterSyntaxError> {
        let filter = Filter::parse(code)?;
        Ok(Self { filter, breaks })
    }

    /// What it gives for `input`.
    pub fn value(&self, input: &Input) -> WatchValue {
        match self.filter.run(input) {
            Ok(Value::Bool(value)) => WatchValue::Bool(value),
            Ok(Value::Number(value)) => WatchValue::number(value),
            Ok(Value::Text(text)) => WatchValue::Text(text),
            Ok(Value::Other(kind)) => WatchValue::Text(kind.to_owned()),
            Err(error) => failed(&error),
        }
    }

    /// Where it stops the run that gave `value` after `step`; a breakpoint without an answer does, too, as a debugger's.
    pub fn stops(&self, step: usize, value: &WatchValue) -> Option<Stopped> {
        let error = match value {
            _ if !self.breaks => return None,
            WatchValue::Bool(false) => return None,
            WatchValue::Bool(true) => None,
            WatchValue::Failed { error } => Some(error.clone()),
            other => Some(format!(
                "it gives {other}; a breakpoint is true or false, as in `.steps[-1].sigma < 1`"
            )),
        };
        Some(Stopped {
            step,
            filter: self.filter.code().to_owned(),
            error,
        })
    }
}

/// Watch expressions beside a run that goes on.
#[derive(Debug)]
pub struct Watches {
    asked: Vec<Watch>,
    values: Vec<Vec<WatchValue>>,
    info: ModelInfo,
    /// The run so far, with the attention of its newest step alone: that of all may be large.
    trace: Trace,
}

impl Watches {
    /// `watches` beside a run of `request` on the model that `info` describes.
    pub fn new(info: &ModelInfo, request: Request, watches: Vec<Watch>) -> Self {
        Self {
            values: vec![Vec::new(); watches.len()],
            asked: watches,
            info: info.clone(),
            trace: Trace::new(request, usize::MAX),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// What has to be recorded for them, see [`record_options`].
    pub fn record_options(&self, options: RecordOptions) -> RecordOptions {
        record_options(&self.asked, options)
    }

    /// Takes an event in, and after a step asks all of them. Where a breakpoint is true, or has no answer, says so: the
    /// first of them.
    pub fn take(&mut self, event: &Event) -> Option<Stopped> {
        if self.is_empty() {
            return None;
        }
        if matches!(event, Event::Step(_)) {
            self.trace.attention.clear();
        }
        self.trace.apply(event.clone());
        let Event::Step(step) = event else {
            return None;
        };
        let values = ask(&self.asked, &self.info, &self.trace);
        let stopped = first_stop(&self.asked, step.index, &values);
        for (kept, value) in self.values.iter_mut().zip(values) {
            kept.push(value);
        }
        stopped
    }

    /// What all of them gave.
    pub fn values(&self) -> Vec<WatchValues> {
        let watches = self.asked.iter().zip(&self.values);
        let of = |(watch, values): (&Watch, &Vec<WatchValue>)| WatchValues {
            filter: watch.filter.code().to_owned(),
            breaks: watch.breaks,
            values: values.clone(),
        };
        watches.map(of).collect()
    }
}

/// What has to be recorded for `watches` to have something to look at, where it would not be for its own sake.
pub fn record_options(watches: &[Watch], options: RecordOptions) -> RecordOptions {
    let names = |word: &str| (watches.iter()).any(|watch| watch.filter.code().contains(word));
    let asks_attention = names("attention") || names("share");
    RecordOptions {
        layers: options.layers || names("tensor"),
        modules: options.modules || names("modules"),
        attention: match options.attention {
            AttentionDetail::None if asks_attention => AttentionDetail::Mean,
            detail => detail,
        },
        ..options
    }
}

/// What each of `watches` gives for `trace`, a run on the model that `info` describes, as it stands.
pub fn ask(watches: &[Watch], info: &ModelInfo, trace: &Trace) -> Vec<WatchValue> {
    if watches.is_empty() {
        return Vec::new();
    }
    let input = RunJson::new(info, trace, "").input();
    let value = |watch: &Watch| match &input {
        Ok(input) => watch.value(input),
        Err(error) => failed(error),
    };
    watches.iter().map(value).collect()
}

/// The first of `watches` that stops the run, which gave `values` after `step`.
pub fn first_stop(watches: &[Watch], step: usize, values: &[WatchValue]) -> Option<Stopped> {
    let mut asked = watches.iter().zip(values);
    asked.find_map(|(watch, value)| watch.stops(step, value))
}

fn failed(error: &FilterError) -> WatchValue {
    WatchValue::Failed {
        error: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::Device;

    use super::*;
    use crate::checkpoint::{Checkpoint, Source};
    use crate::generation::Pipeline;
    use crate::trace::Recorder;

    /// Runs six steps with `codes`, the last of them a breakpoint; returns what they gave, and where it stopped.
    fn watched(codes: &[&str]) -> (Vec<WatchValues>, Option<Stopped>) {
        let checkpoint = Checkpoint::open(&Source::Embedded).unwrap();
        let pipeline = Arc::new(Pipeline::load(&checkpoint, &Device::Cpu).unwrap());
        let request = Request {
            steps: 6,
            ..pipeline.default_request("a red apple")
        };
        let last = codes.len() - 1;
        let watches = codes.iter().enumerate();
        let watches = watches.map(|(index, code)| Watch::parse(code, index == last).unwrap());
        let info = pipeline.info().clone();
        let mut watches = Watches::new(&info, request.clone(), watches.collect());
        let options = watches.record_options(RecordOptions::default());
        let mut recorder = Recorder::new(pipeline, request, options).unwrap();
        while let Some(event) = recorder.advance().unwrap() {
            if let Some(stopped) = watches.take(&event) {
                return (watches.values(), Some(stopped));
            }
        }
        (watches.values(), None)
    }

    #[test]
    fn every_step_is_asked_and_the_first_that_is_true_stops() {
        let codes = ["step.index", "[.steps[].index] | length", "step.sigma < 1"];
        let (values, stopped) = watched(&codes);
        let stopped = stopped.unwrap();
        assert_eq!(stopped.error, None);
        let sigmas_below: Vec<&WatchValue> = values[2].values.iter().collect();
        let (last, before) = sigmas_below.split_last().unwrap();
        assert_eq!(**last, WatchValue::Bool(true));
        assert!(
            before
                .iter()
                .all(|value| **value == WatchValue::Bool(false))
        );
        assert_eq!(stopped.step + 1, values[0].values.len());
        // A question sees the steps that were done when it was asked, and no later one.
        let indices = (0..=stopped.step).map(|index| WatchValue::Number(index as f64));
        assert_eq!(values[0].values, indices.collect::<Vec<_>>());
        let lengths = (1..=stopped.step + 1).map(|length| WatchValue::Number(length as f64));
        assert_eq!(values[1].values, lengths.collect::<Vec<_>>());
        assert!(stopped.step > 0 && stopped.step < 5, "{stopped:?}");
    }

    #[test]
    fn shares_of_attention_can_be_watched_and_add_up() {
        let all = "[range(77) as $i | share($i)] | add";
        let (values, stopped) = watched(&["share(\"apple\")", all, "share(\"apple\") > 2"]);
        assert_eq!(stopped, None);
        for (share, sum) in values[0].values.iter().zip(&values[1].values) {
            let (WatchValue::Number(share), WatchValue::Number(sum)) = (share, sum) else {
                panic!("{share:?} {sum:?}");
            };
            assert!((sum - 1.0).abs() < 1e-4, "{sum}");
            assert!(*share > 0.001 && *share < 0.9, "{share}");
        }
    }

    #[test]
    fn a_breakpoint_without_an_answer_stops_at_once_and_says_why() {
        for (code, why) in [
            ("step.sigma", "a breakpoint is true or false"),
            ("error(\"no\")", "the filter failed"),
            ("share(\"horse\") > 0.1", "horse"),
        ] {
            let (values, stopped) = watched(&[code]);
            let stopped = stopped.unwrap();
            assert_eq!((stopped.step, values[0].values.len()), (0, 1));
            let error = stopped.error.unwrap();
            assert!(error.contains(why), "{error}");
        }
    }
}
