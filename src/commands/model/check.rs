//! `diffuscope model check`: what is in a model, what is wrong with it, and whether it can be run.

use std::io::{self, Write};

use candle_core::DType;
use indicatif::{DecimalBytes, HumanCount};

use crate::checkpoint::{Checkpoint, ComponentReport, Report, Source};
use crate::cli::CheckArgs;
use crate::commands::load::source;
use crate::commands::print;
use crate::kernels::Backend;
use crate::scheduler::{BetaSchedule, PredictionType, SchedulerConfig, SchedulerKind};
use crate::text::{escaped_json, visible};

/// Prints the report; an error where the model cannot be run.
pub fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let source = source(&args.model);
    let variant = args.variant.as_deref();
    let report = Report::of(&source, variant)?;
    if args.json {
        let json = escaped_json(&serde_json::to_string_pretty(&report)?);
        print(|out| writeln!(out, "{json}"))?;
    } else {
        print(|out| out.write_all(visible(&text(&report, &source, variant)?).as_bytes()))?;
    }
    if report.can_run {
        return Ok(());
    }
    anyhow::bail!(
        "{} cannot be run: {}",
        report.path,
        report.problems.join("; ")
    )
}

/// The report as text.
fn text(report: &Report, source: &Source, variant: Option<&str>) -> io::Result<String> {
    let mut out = Vec::new();
    let state = match (report.can_run, report.warnings.is_empty()) {
        (true, true) => "can be run",
        (true, false) => "can be run, with warnings",
        (false, _) => "cannot be run",
    };
    writeln!(out, "{}: {state}", report.name)?;
    writeln!(out, "  {}\n", report.path)?;
    writeln!(
        out,
        "{:<12}  {:>7}  {:>14}  {:<12}  problems",
        "component", "tensors", "parameters", "types"
    )?;
    for component in &report.components {
        writeln!(out, "{}", row(component))?;
    }
    writeln!(out)?;
    if let Some(scheduler) = &report.scheduler {
        writeln!(out, "predicts   {}", prediction(scheduler.prediction_type))?;
        writeln!(out, "schedule   {}", schedule(scheduler))?;
        writeln!(out, "samplers   {}", samplers(report, scheduler))?;
    }
    if let Some(size @ (width, height)) = report.picture_size {
        writeln!(out, "pictures   {width} x {height} pixels")?;
        if let Ok(checkpoint) = Checkpoint::open_variant(source, variant) {
            let estimate = checkpoint.memory_estimate(DType::F32, size, Backend::Cpu);
            let total = DecimalBytes(estimate.total());
            writeln!(out, "memory     about {total} for a picture, in f32")?;
        }
    }
    if !report.other_tensors.is_empty() {
        let count = report.other_tensors.len();
        let first: Vec<&str> = report
            .other_tensors
            .iter()
            .take(5)
            .map(String::as_str)
            .collect();
        let more = if count > first.len() { ", …" } else { "" };
        writeln!(
            out,
            "not used   {count} other tensors: {}{more}",
            first.join(", ")
        )?;
    }
    let details = report.details();
    if !details.is_empty() {
        writeln!(out, "\ntensors:")?;
        for line in details {
            writeln!(out, "  {line}")?;
        }
    }
    if !report.warnings.is_empty() {
        writeln!(out, "\nwarnings:")?;
        for warning in &report.warnings {
            writeln!(out, "  {warning}")?;
        }
    }
    if !report.problems.is_empty() {
        writeln!(out, "\nproblems:")?;
        for problem in &report.problems {
            writeln!(out, "  {problem}")?;
        }
    }
    if !report.notes.is_empty() {
        writeln!(out, "\nnotes:")?;
        for note in &report.notes {
            writeln!(out, "  {note}")?;
        }
    }
    writeln!(out, "\nSHA-256:")?;
    for (path, digest) in &report.files {
        writeln!(out, "  {digest}  {path}")?;
    }
    if let (Some(digest), true) = (&report.sha256, report.files.len() > 1) {
        writeln!(out, "  {digest}  of this list")?;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn row(component: &ComponentReport) -> String {
    let dtypes: Vec<&str> = component.dtypes.keys().map(String::as_str).collect();
    let problems = match (&component.file, component.wrong.len()) {
        (None, _) => "not read".to_owned(),
        (Some(_), 0) => "none".to_owned(),
        (Some(_), count) => count.to_string(),
    };
    format!(
        "{:<12}  {:>7}  {:>14}  {:<12}  {problems}",
        component.component.name(),
        component.tensors,
        HumanCount(component.parameters as u64).to_string(),
        dtypes.join(" "),
    )
}

fn prediction(prediction: PredictionType) -> &'static str {
    match prediction {
        PredictionType::Epsilon => "the noise (epsilon)",
        PredictionType::VPrediction => "the velocity (v_prediction)",
        PredictionType::Sample => "the clean picture's latents (sample)",
    }
}

fn schedule(scheduler: &SchedulerConfig) -> String {
    let form = match scheduler.beta_schedule {
        BetaSchedule::Linear => "linear",
        BetaSchedule::ScaledLinear => "their square roots linear",
        BetaSchedule::SquaredCosine => "",
    };
    let betas = match (&scheduler.trained_betas, form) {
        (Some(_), _) => "betas of its own".to_owned(),
        (None, "") => "betas of a squared cosine".to_owned(),
        (None, form) => format!(
            "betas from {} to {}, {form}",
            scheduler.beta_start, scheduler.beta_end
        ),
    };
    format!("{} timesteps, {betas}", scheduler.num_train_timesteps)
}

/// The sampler that a run takes, and the others that could run.
fn samplers(report: &Report, scheduler: &SchedulerConfig) -> String {
    let can_run = |kind: &SchedulerKind| scheduler.validate_for(*kind).is_ok();
    let names: Vec<&str> = SchedulerKind::ALL
        .into_iter()
        .filter(|kind| can_run(kind) && Some(*kind) != report.default_scheduler)
        .map(SchedulerKind::name)
        .collect();
    let default = report.default_scheduler.map_or("none", SchedulerKind::name);
    format!("{default}, unless one of {} is asked for", names.join(", "))
}
