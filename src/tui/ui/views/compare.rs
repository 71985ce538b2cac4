//! Two runs side by side in one view, and what differs between them.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::{below, first_lines, keeps_variance, line, titled_map};
use crate::lesson::{Language, Said};
use crate::scheduler::Schedule;
use crate::trace::{StepTrace, TensorData};
use crate::tui::state::in_words::changes;
use crate::tui::state::run::Run;
use crate::tui::state::{Cursor, View};
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale};
use crate::tui::ui::wrap::wrap_words;

/// Columns of the difference's own picture.
const DIFFERENCE: u16 = 30;

/// Draws the view for the run on the screen, for `other` beside it, and their difference.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &ViewContext, other: &Run) -> Vec<PlacedPicture> {
    let Some(run) = ctx.run else {
        return Vec::new();
    };
    let (caption, map) = difference(ctx, run, other);
    let lines = wrap_words(&ctx.say(caption), area.width.into());
    let rows = (lines.len() as u16).min(3);
    let [upper, lower] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(rows)]).areas(area);
    let map = map.filter(|_| area.width >= 110);
    let difference = Constraint::Length(if map.is_some() { DIFFERENCE } else { 0 });
    let columns = [Constraint::Fill(1), Constraint::Fill(1), difference];
    let [left, right, third] = Layout::horizontal(columns).spacing(2).areas(upper);
    let mut pictures = draw_one(buffer, left, ctx, run, other);
    let mut beside = ctx.beside(other);
    // Beside the finished picture of the one stands that of the other, however many steps it took.
    if ctx.view == View::Image && ctx.cursor.step + 1 >= run.total_steps() {
        beside.cursor.step = other.total_steps().saturating_sub(1);
    }
    pictures.extend(draw_one(buffer, right, &beside, other, run));
    if let Some(map) = map {
        let scale = Scale::magnitudes(map.values.iter().copied());
        let heat_map = HeatMap::new(&map.values, map.size, scale);
        let title = ctx.say(map.title);
        titled_map(buffer, third, title, &heat_map, third.height, ctx);
    }
    for (row, caption) in lines.iter().enumerate() {
        let style = ctx.theme.accent_if(row == 0, ctx.theme.text());
        line(buffer, below(lower, row as u16), caption, style);
    }
    pictures
}

fn draw_one(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &ViewContext,
    run: &Run,
    other: &Run,
) -> Vec<PlacedPicture> {
    let asked = changes(&run.trace.request, &other.trace.request, ctx.language);
    let colon = if asked.is_empty() {
        ["", ""]
    } else {
        [": ", "："]
    };
    let (id, colon, asked) = (run.id, ctx.say(colon), asked.join(" · "));
    let title = ctx.say([
        format!("run {id}{colon}{asked}"),
        format!("运行 {id}{colon}{asked}"),
    ]);
    let title = text::clean(&title);
    let area = first_lines(buffer, area, &title, 2, ctx.theme.title());
    super::draw_stage(buffer, below(area, u16::from(area.height > 24)), ctx)
}

struct Map {
    title: Said,
    values: Vec<f32>,
    size: (usize, usize),
}

/// What differs between two runs at the view's stage, in English and in Chinese, and where.
fn difference(ctx: &ViewContext, a: &Run, b: &Run) -> ([String; 2], Option<Map>) {
    if ctx.cursor.inside().is_some() {
        return features(&ctx.cursor, a, b);
    }
    let caption = match ctx.view {
        View::Prompt => requests(a, b),
        View::Tokens => {
            let count = a.tokens().len();
            let pairs = a.tokens().iter().zip(b.tokens());
            let differing = pairs.filter(|(a, b)| a.id != b.id).count();
            [
                format!("{differing} of {count} positions differ."),
                format!("{count} 个位置中有 {differing} 个不同。"),
            ]
        }
        View::Embedding => texts(a, b, "token_embedding", ["token embedding", "词元的嵌入"]),
        View::TextEncoder => texts(
            a,
            b,
            "prompt_embedding",
            ["prompt embedding", "提示词的嵌入"],
        ),
        View::Noise => match (&a.trace.noise, &b.trace.noise) {
            (Some(a), Some(b)) => {
                let what = ["initial noise", "初始噪声"];
                between(what, &a.initial_noise, &b.initial_noise)
            }
            _ => not_yet(),
        },
        View::Schedule => match (a.schedule(), b.schedule()) {
            (Some(a), Some(b)) => schedules(a, b),
            _ => not_yet(),
        },
        View::Denoising | View::Attention => {
            let step = ctx.cursor.step;
            match (a.step(step), b.step(step)) {
                (Some(a), Some(b)) => return steps(a, b),
                _ => not_yet(),
            }
        }
        View::Image => match (&a.trace.image, &b.trace.image) {
            (Some(a), Some(b)) => return pixels(&a.image, &b.image),
            _ => not_yet(),
        },
    };
    (caption, None)
}

fn not_yet() -> [String; 2] {
    [
        "One of the two has not come so far yet.",
        "其中一个还没有到这一步。",
    ]
    .map(str::to_owned)
}

/// What differs in the values of the module, or of its line, that is looked at in both.
fn features(cursor: &Cursor, a: &Run, b: &Run) -> ([String; 2], Option<Map>) {
    let values = |run| {
        let (features, at) = cursor.probed(run)?;
        features[at].values.as_ref()
    };
    let (Some(of_a), Some(of_b)) = (values(a), values(b)) else {
        let caption = [
            "One of the two is not computed yet, or too large to be kept.",
            "其中一个还没有算出，或太大而没有保留。",
        ];
        return (caption.map(str::to_owned), None);
    };
    let name = text::clean(&of_a.name);
    let [english, chinese] = between([&name; 2], of_a, of_b);
    // Components are fitted on each run by itself.
    let caption = [
        format!("{english} Colours of components are each run's own."),
        format!("{chinese}主成分的颜色是每次运行各自的。"),
    ];
    let map = places(of_a, of_b).map(|map| Map {
        title: ["|Δ|"; 2],
        ..map
    });
    (caption, map)
}

fn requests(a: &Run, b: &Run) -> [String; 2] {
    let changes = changes(&a.trace.request, &b.trace.request, Language::En);
    match changes.len() {
        0 => ["The two requests are equal.", "两个请求相同。"].map(str::to_owned),
        count => [
            format!("The two requests differ in {count}."),
            format!("两个请求有 {count} 处不同。"),
        ],
    }
}

fn schedules(a: &Schedule, b: &Schedule) -> [String; 2] {
    if a.sigmas == b.sigmas {
        return ["The sigmas are equal.", "sigma 全都相同。"].map(str::to_owned);
    }
    if a.sigmas.len() == b.sigmas.len() {
        let pairs = a.sigmas.iter().zip(&b.sigmas);
        let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let most = text::number(f64::from(most));
        return [
            format!("The sigmas differ by {most} at most."),
            format!("sigma 最多相差 {most}。"),
        ];
    }
    let [a, b] = [a, b].map(|schedule| schedule.timesteps.len());
    [
        format!("{a} steps and {b} steps: different sigmas."),
        format!("{a} 步和 {b} 步：sigma 不同。"),
    ]
}

/// What differs between two steps, and where their predicted x0 do.
fn steps(a: &StepTrace, b: &StepTrace) -> ([String; 2], Option<Map>) {
    let both = |name| a.tensor(name).zip(b.tensor(name));
    let mut captions = Vec::new();
    if let Some((of_a, of_b)) = both("latents") {
        captions.push(latents_between((a, of_a), (b, of_b)));
    }
    for (name, what) in [("x0", "x0"), ("noise_guided", "ε_guided")] {
        captions.extend(both(name).map(|(a, b)| between([what; 2], a, b)));
    }
    let [english, chinese]: [Vec<&str>; 2] =
        [0, 1].map(|at| captions.iter().map(|said| said[at].as_str()).collect());
    let map = both("x0").and_then(|(a, b)| places(a, b));
    ([english.join(" "), chinese.concat()], map)
}

/// How far apart two runs are in what the text encoder made under `name`.
fn texts(a: &Run, b: &Run, name: &str, what: Said) -> [String; 2] {
    match (a.text_tensor(name), b.text_tensor(name)) {
        (Some(a), Some(b)) => between(what, a, b),
        _ => not_yet(),
    }
}

/// How far apart the latents of two steps are. Where one run scales them so that their variance stays and the other
/// does not, both are compared with the variance that the first one has.
fn latents_between(a: (&StepTrace, &TensorData), b: (&StepTrace, &TensorData)) -> [String; 2] {
    if keeps_variance(a.0) == keeps_variance(b.0) {
        return between(["x_t"; 2], a.1, b.1);
    }
    let [a, b] = [a, b].map(|(step, latents)| {
        let scaled = latents.data.iter().map(|value| value / step.preview_scale);
        TensorData::from_values(&latents.name, latents.shape.clone(), scaled.collect())
    });
    let what = [
        "x_t, one of them divided by √(σ²+1)",
        "x_t（其中一个除以 √(σ²+1)）",
    ];
    between(what, &a, &b)
}

/// How far apart two tensors are, as root mean square of their difference beside that of the first.
fn between([what, zh]: [&str; 2], a: &TensorData, b: &TensorData) -> [String; 2] {
    if a.shape != b.shape || a.data.is_empty() {
        return [
            format!("{what}: different shapes."),
            format!("{zh}：形状不同。"),
        ];
    }
    if a.data == b.data {
        return [
            format!("{what}: equal, bit for bit."),
            format!("{zh}：每一位都相同。"),
        ];
    }
    let rms = |values: &mut dyn Iterator<Item = f64>| {
        let sum: f64 = values.map(|value| value * value).sum();
        (sum / a.data.len() as f64).sqrt()
    };
    let pairs = || a.data.iter().zip(b.data.iter());
    let apart = rms(&mut pairs().map(|(a, b)| f64::from(a - b)));
    let size = rms(&mut a.data.iter().map(|&a| f64::from(a)));
    let percent = text::fixed(100.0 * apart / size.max(f64::MIN_POSITIVE), 1);
    let apart = text::number(apart);
    [
        format!("{what}: {apart} apart, {percent} % of its size."),
        format!("{zh}：相距 {apart}，是自身大小的 {percent} %。"),
    ]
}

/// Where two tensors `(channels, height, width)` differ: the length of the difference over channels.
fn places(a: &TensorData, b: &TensorData) -> Option<Map> {
    let [channels, height, width] = a.shape[..] else {
        return None;
    };
    if a.shape != b.shape {
        return None;
    }
    let size = height * width;
    let apart = |index: usize| a.data[index] - b.data[index];
    let at = |place: usize| {
        let squares = (0..channels).map(|channel| apart(channel * size + place).powi(2));
        squares.sum::<f32>().sqrt()
    };
    Some(Map {
        title: ["|Δx0|"; 2],
        values: (0..size).map(at).collect(),
        size: (width, height),
    })
}

fn pixels(a: &image::RgbImage, b: &image::RgbImage) -> ([String; 2], Option<Map>) {
    if a.dimensions() != b.dimensions() {
        let caption = ["The pictures have different sizes.", "两张图片的大小不同。"];
        return (caption.map(str::to_owned), None);
    }
    let values: Vec<f32> = (a.pixels().zip(b.pixels()))
        .map(|(a, b)| {
            let levels = (0..3).map(|channel| f32::from(a[channel].abs_diff(b[channel])));
            levels.sum::<f32>() / 3.0
        })
        .collect();
    let differing = values.iter().filter(|&&value| value > 0.0).count();
    if differing == 0 {
        let caption = [
            "The pictures are equal, bit for bit.",
            "两张图片每一位都相同。",
        ];
        return (caption.map(str::to_owned), None);
    }
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let percent = text::fixed(100.0 * differing as f64 / count, 1);
    let mean = text::fixed(mean, 2);
    let caption = [
        format!("{percent} % of pixels differ, by {mean} of 255 levels on average."),
        format!("{percent} % 的像素不同，平均相差 {mean} 级（共 255 级）。"),
    ];
    let map = Map {
        title: ["|Δ| in levels", "|Δ|，单位：级"],
        values,
        size: (a.width() as usize, a.height() as usize),
    };
    (caption, Some(map))
}
