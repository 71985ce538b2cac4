//! Inside of a network: its modules as they lie, the one that is looked at, and the lines of its computation.

mod lines;
mod map;
mod module;
mod picture;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, fitting_of, line, paragraph};
use crate::checkpoint::Component;
use crate::lesson::Said;
use crate::trace::Guidance;
use crate::tui::state::inside::Inside;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;

/// What one sees here, and what that does not prove, in a sentence.
pub fn words(inside: Inside) -> Said {
    match (inside.network, inside.line) {
        (Component::UNet, None) => [
            "What each module gives at this step. Like colours are like features; what they stand for, no colour says.",
            "每个模块在这一步的输出。颜色相近，特征就相近；特征代表什么，颜色说明不了。",
        ],
        (Component::Vae, None) => [
            "From latents to pixels: what each module of the decoder gives. Like colours are like features, no more.",
            "从潜变量到像素：解码器每个模块的输出。颜色相近只说明特征相近。",
        ],
        (Component::TextEncoder, _) => [
            "The lines of this layer with their values. How much a line adds is no measure of what it matters.",
            "这一层的各行和它们的值。一行加上了多少，不等于它有多重要。",
        ],
        (_, Some(_)) => [
            "The lines of this module with their values. How much a line adds is no measure of what it matters.",
            "这个模块的各行和它们的值。一行加上了多少，不等于它有多重要。",
        ],
    }
}

/// Draws what belongs to the place where one is.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    inside: Inside,
) -> Vec<PlacedPicture> {
    let area = draw_path(buffer, area, ctx, inside);
    if let Some(why) = nothing(ctx, inside) {
        paragraph(buffer, below(area, 1), ctx.say(why), ctx.theme.text());
        return Vec::new();
    }
    match inside.line {
        None => map::draw(buffer, area, ctx, inside),
        Some(at) => lines::draw(buffer, area, ctx, inside, at),
    }
    Vec::new()
}

/// The way to here, as a debugger shows its stack; returns the place beneath.
fn draw_path(buffer: &mut Buffer, area: Rect, ctx: &RunContext, inside: Inside) -> Rect {
    let number = ctx.cursor.step + 1;
    let step = ctx.say([format!("step {number}"), format!("第 {number} 步")]);
    let network = match inside.network {
        Component::TextEncoder => ["text encoder", "文本编码器"],
        Component::UNet => ["UNet"; 2],
        Component::Vae => ["decoder", "解码器"],
    };
    let half = match (ctx.cursor.attention.half, inside.network) {
        (Guidance::Cond, _) | (_, Component::Vae) => "",
        (Guidance::Uncond, Component::UNet) => ctx.say([" · without the prompt", " · 没有提示词"]),
        (Guidance::Uncond, _) => ctx.say([" · negative prompt", " · 负面提示词"]),
    };
    let mut parts = vec![format!("{}{half}", ctx.say(network))];
    if inside.network != Component::TextEncoder {
        parts.insert(0, step);
    }
    let module = inside.module(&ctx.run.info);
    if let Some(module) = module {
        parts.push(text::clean(&module.path));
        let lines = module.lines();
        if let Some(line) = inside.line.and_then(|at| lines.get(at)) {
            let within = line.site.strip_prefix(&module.path).unwrap_or_default();
            let within = within.trim_start_matches('.');
            parts.push(text::clean(if within.is_empty() { "+" } else { within }));
        }
    }
    let long = format!("▸ {}", parts.join(" ▸ "));
    let short = format!("▸ {}", parts[parts.len().saturating_sub(2)..].join(" ▸ "));
    let last = format!("▸ {}", parts.last().map_or("", String::as_str));
    let caption = fitting_of(&[long, short, last], area.width).to_owned();
    let rest = line(buffer, area, &caption, ctx.theme.accent());
    below(rest, u16::from(rest.height > 22))
}

/// Why there is nothing to see, and what helps.
fn nothing(ctx: &RunContext, inside: Inside) -> Option<Said> {
    let has_modules = !ctx.run.info.modules.of(inside.network).is_empty();
    let is_there = match inside.network {
        Component::TextEncoder => ctx.run.trace.text.is_some(),
        _ => ctx.run.step(ctx.cursor.step).is_some(),
    };
    let uncond = ctx.cursor.attention.half == Guidance::Uncond;
    if ctx.recorded {
        return Some([
            "A recorded run is looked at without its model, and so nobody can step into it. `diffuscope -p TEXT` opens a live one; esc goes out again.",
            "看记录下来的运行时没有它的模型，所以不能进入网络。用 `diffuscope -p TEXT` 可以当场运行；按 esc 出去。",
        ]);
    }
    if !has_modules {
        return Some([
            "This decoder computes with another library on this device, which cannot be looked into. Start again with --dtype f32 or --device cpu; esc goes out again.",
            "在这个设备上，解码器由另一个库计算，无法查看内部。请用 --dtype f32 或 --device cpu 重新启动；按 esc 出去。",
        ]);
    }
    if !is_there {
        return Some([
            "This run has not come so far yet: space lets it go on.",
            "运行还没有到这里：按空格继续。",
        ]);
    }
    if inside.network == Component::UNet && uncond && !ctx.run.is_guided_at(ctx.cursor.step) {
        return Some([
            "Guidance is off at this step, so there is no half without the prompt. u goes back to the half with it.",
            "这一步没有引导，所以没有“没有提示词”的一半。按 u 回到有提示词的一半。",
        ]);
    }
    if ctx.cursor.probed(ctx.run).is_none() && !ctx.model.made(ctx.run) {
        return Some([
            "The model that made this run is not open any more: nothing of it can be computed again. r runs it once more.",
            "做出这次运行的模型已经关闭，不能重新计算。按 r 再运行一次。",
        ]);
    }
    None
}

/// What stands where something is still being computed, or could not be.
fn pending(ctx: &RunContext) -> &'static str {
    let key = ctx.cursor.probe_key();
    ctx.say(if key.is_some_and(|key| ctx.run.probes.is_refused(key)) {
        [
            "This could not be computed; esc and enter try again.",
            "没有算出来；按 esc 再按 enter 重试。",
        ]
    } else {
        ["being computed …", "正在计算 …"]
    })
}

/// `96×8×8`.
fn shape(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    sizes.join("×")
}
