//! One denoising step: what goes in, what the network thinks lies behind it, and where the prompt matters.

use std::sync::Arc;

use image::RgbImage;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, columns, fitting, fitting_of, keeps_variance, left, line, paragraph};
use super::{statistics, titled_map, top};
use crate::trace::{StepTrace, TensorData};
use crate::tui::state::StepTensor;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale};
use crate::tui::ui::widgets::{bars, picture};

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    let index = ctx.cursor.step;
    let (step, pictures) = (ctx.run.step(index)?, ctx.run.pictures.get(index)?);
    let area = draw_head(buffer, area, ctx, step);
    let figures = if area.height > 22 { 7 } else { 3 };
    let places = columns(area, 3, 2);
    // A tall screen has room for every tensor of the noise prediction at once.
    let tall = area.height >= 44;
    let room = if tall {
        area.height.saturating_sub(figures + 7) / 2
    } else {
        area.height.saturating_sub(figures + 3).max(3)
    };
    let titles = &ctx.say([
        ["x_t: what goes in", "x_t: input", "x_t"],
        ["x_t：这一步的输入", "x_t：输入", "x_t"],
    ]);
    let size = (places[0].width, room);
    let drawn = draw_picture(buffer, places[0], size, titles, &pictures.latents, ctx);
    draw_statistics(buffer, places[0], room, drawn, step.tensor("latents"), ctx);
    // As large as the latents' picture, however large it could be.
    let size = (drawn.width, drawn.height);
    let (area_x0, decoded) = draw_x0(buffer, places[1], size, &pictures.x0, ctx);
    draw_statistics(buffer, places[1], room, area_x0, step.tensor("x0"), ctx);
    let which = (ctx.cursor.tensor, figures > 3);
    draw_tensor(buffer, places[2], room, which, ctx, step);
    let mut from = area_x0.bottom();
    if tall {
        let others = (StepTensor::ALL.into_iter()).filter(|&other| other != ctx.cursor.tensor);
        let rest = below(area, (drawn.bottom() + 2).saturating_sub(area.y));
        for (place, tensor) in columns(rest, 3, 2).into_iter().zip(others) {
            draw_tensor(buffer, place, room, (tensor, true), ctx, step);
        }
        from = rest.y + 1 + drawn.height;
    }
    // Where the place is wide and low, the pictures end early and the curves get what is left.
    let from = from + 1 + u16::from(figures > 3);
    draw_figures(buffer, &places, from.saturating_sub(area.y), ctx);
    let area = area_x0;
    let pixels = decoded.map(|image| PlacedPicture { area, image });
    Some(pixels.into_iter().collect())
}

/// Which step it is, its noise levels, and what lies between its pictures; returns the place beneath.
fn draw_head(buffer: &mut Buffer, area: Rect, ctx: &RunContext, step: &StepTrace) -> Rect {
    let timestep = text::fixed(f64::from(step.timestep), 2);
    let [from, to] = [step.sigma, step.sigma_next].map(|sigma| text::fixed(f64::from(sigma), 4));
    let number = step.index + 1;
    let step_number = ctx.say([format!("step {number}"), format!("第 {number} 步")]);
    let timestep = ctx.say([format!("timestep {timestep}"), format!("时间步 {timestep}")]);
    let forms = [
        format!("{step_number} · {timestep} · sigma {from} → {to}"),
        format!("{step_number} · sigma {from} → {to}"),
        format!("{number} · σ {from} → {to}"),
    ];
    let caption = fitting_of(&forms, area.width);
    let area = line(buffer, area, caption, ctx.theme.text());
    let area = match gap(step, ctx) {
        Some(forms) if area.height > 12 => {
            let caption = fitting_of(&forms, area.width);
            line(buffer, area, caption, ctx.theme.muted())
        }
        _ => area,
    };
    below(area, u16::from(area.height > 18))
}

/// The predicted x0: decoded, where that is wanted and done; returns the cells that it takes, and the decoded picture.
fn draw_x0(
    buffer: &mut Buffer,
    place: Rect,
    size: (u16, u16),
    preview: &RgbImage,
    ctx: &RunContext,
) -> (Rect, Option<Arc<RgbImage>>) {
    let decoded = ctx.run.decoded.get(&ctx.cursor.step);
    let decoded = decoded.filter(|_| ctx.decode).cloned();
    let titles = ctx.say(match (&decoded, ctx.decode) {
        (Some(_), _) => [
            ["predicted x0, decoded", "x0, decoded", "x0"],
            ["预测的 x0，已解码", "x0，已解码", "x0"],
        ],
        (None, true) => [
            ["predicted x0, decoding …", "x0, decoding …", "x0 …"],
            ["预测的 x0，正在解码 …", "x0，正在解码 …", "x0 …"],
        ],
        (None, false) => [["predicted x0", "x0", "x0"], ["预测的 x0", "x0", "x0"]],
    });
    let image = decoded.as_deref().unwrap_or(preview);
    (
        draw_picture(buffer, place, size, &titles, image, ctx),
        decoded,
    )
}

/// What lies between `x_t` and predicted x0: the guided noise, as much as sigma says (Karras et al. 2022, arXiv
/// 2206.00364: `x = x0 + sigma * noise`, in units in which the signal is not scaled down).
fn gap(step: &StepTrace, ctx: &RunContext) -> Option<[String; 4]> {
    let (x_t, x0) = (step.tensor("latents")?, step.tensor("x0")?);
    let noise = step.tensor("noise_guided")?;
    // Schedulers that keep the variance divide x_t by sqrt(sigma² + 1); the others have it as it is.
    let sigma = f64::from(step.sigma);
    let (scale, name) = if keeps_variance(step) {
        ((sigma * sigma + 1.0).sqrt(), "√(σ²+1)·x_t")
    } else {
        (1.0, "x_t")
    };
    let rms = |values: &mut dyn Iterator<Item = f64>, count: usize| {
        (values.map(|value| value * value).sum::<f64>() / count.max(1) as f64).sqrt()
    };
    let pairs = x_t.data.iter().zip(x0.data.iter());
    let mut between = pairs.map(|(x_t, x0)| f64::from(*x_t) * scale - f64::from(*x0));
    let apart = rms(&mut between, x_t.data.len());
    let mut noises = noise.data.iter().map(|&value| f64::from(value));
    let size = rms(&mut noises, noise.data.len());
    // A model that predicts something else than the noise has another law.
    if (apart - sigma * size).abs() > 0.02 * apart.max(0.01) {
        return None;
    }
    let [apart, sigma, size] = [apart, sigma, size].map(|value| text::fixed(value, 3));
    Some([
        ctx.say([
            format!("{name} = x0 + σ·ε: they are {apart} apart (rms), σ {sigma} times ε {size}"),
            format!("{name} = x0 + σ·ε：两者相距 {apart}（rms），σ {sigma} 乘以 ε {size}"),
        ]),
        format!("rms({name} − x0) {apart} = σ {sigma} × rms(ε) {size}"),
        format!("{name} − x0: {apart} = σ {sigma} × ε {size}"),
        format!("{name} − x0: {apart}"),
    ])
}

fn draw_picture(
    buffer: &mut Buffer,
    place: Rect,
    (columns, rows): (u16, u16),
    titles: &[&str],
    image: &RgbImage,
    ctx: &RunContext,
) -> Rect {
    let title = fitting(titles, place.width);
    let place = line(buffer, place, title, ctx.theme.title());
    let place = left(top(place, rows), columns);
    picture::draw(buffer, place, image, ctx.theme)
}

/// Statistics below a picture, always in the same row.
fn draw_statistics(
    buffer: &mut Buffer,
    place: Rect,
    room: u16,
    drawn: Rect,
    tensor: Option<&TensorData>,
    ctx: &RunContext,
) {
    let place = below(place, 1 + drawn.height.max(1).min(room));
    if let Some(tensor) = tensor {
        let caption = statistics(&tensor.stats, place.width, ctx.language);
        line(buffer, place, &caption, ctx.theme.muted());
    }
}

/// A tensor of the noise prediction as a heat map of magnitudes over channels.
fn draw_tensor(
    buffer: &mut Buffer,
    place: Rect,
    room: u16,
    (which, with_numbers): (StepTensor, bool),
    ctx: &RunContext,
    step: &StepTrace,
) {
    let theme = ctx.theme;
    let titles: &[&str] = match which {
        StepTensor::Difference => &["|ε_text − ε_uncond|", "|ε_t − ε_u|", "|Δε|"],
        StepTensor::Text => &["|ε_text|"],
        StepTensor::Uncond => &["|ε_uncond|", "|ε_u|"],
        StepTensor::Guided => &["|ε_guided|", "|ε_g|"],
    };
    let title = fitting(titles, place.width);
    let Some(tensor) = which.of(step) else {
        let inner = line(buffer, place, title, theme.title());
        let caption = ctx.say([
            "Guidance is off at this step, so there is no unconditional half. p changes the guidance scale.",
            "这一步没有引导，所以没有无条件的一半。按 p 改引导强度。",
        ]);
        paragraph(buffer, inner, caption, theme.muted());
        return;
    };
    let [_, height, width] = tensor.shape[..] else {
        return;
    };
    let values = magnitudes(&tensor);
    let scale = Scale::magnitudes(values.iter().copied());
    let map = HeatMap::new(&values, (width, height), scale);
    let drawn = titled_map(buffer, place, title, &map, room, ctx);
    if with_numbers {
        let beneath = below(place, drawn.height + 2);
        let numbers = statistics(&tensor.stats, beneath.width, ctx.language);
        line(buffer, beneath, &numbers, theme.muted());
    }
}

/// For each place the length of the vector over channels, `(height, width)`.
fn magnitudes(tensor: &TensorData) -> Vec<f32> {
    let planes = tensor.shape.first().copied().unwrap_or(0);
    let size = tensor.data.len() / planes.max(1);
    (0..size)
        .map(|place| {
            let squares = (0..planes).map(|plane| tensor.data[plane * size + place].powi(2));
            squares.sum::<f32>().sqrt()
        })
        .collect()
}

/// Curves over all steps, one below each picture.
fn draw_figures(buffer: &mut Buffer, places: &[Rect], from: u16, ctx: &RunContext) {
    let run = ctx.run;
    let theme = ctx.theme;
    let index = ctx.cursor.step;
    let curve = |pick: fn(&crate::tui::state::run::StepFigures) -> f64| -> Vec<f64> {
        run.figures.iter().map(pick).collect()
    };
    let curves: [(&[&str], _); 3] = [
        (&["std(x_t)", "std"], curve(|figures| figures.latents_std)),
        (&["sigma", "σ"], curve(|figures| figures.sigma)),
        (
            &["rms(ε_text − ε_uncond)", "rms(ε_t − ε_u)", "rms(Δε)", "Δε"],
            curve(|figures| figures.guidance_rms.unwrap_or(0.0)),
        ),
    ];
    for (place, (names, values)) in places.iter().zip(curves) {
        let place = below(*place, from);
        let value = values.get(index).copied().unwrap_or(0.0);
        let number = text::number(value);
        let room = place.width.saturating_sub(text::width(&number) as u16 + 1);
        let name = text::fit(fitting(names, room), room.into());
        let place = line(buffer, place, &format!("{name} {number}"), theme.muted());
        let place = top(place, 9);
        let total = run.total_steps();
        bars::steps(buffer, place, &values, total, Some(index), theme);
    }
}
