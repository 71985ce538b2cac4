//! What large terminals have room for: real numbers, worked out here once more.

use std::sync::OnceLock;

use super::support::{
    PROMPT, Session, attention, draw, find, has_picture, lines, loader, pipeline, text,
};
use crossterm::event::KeyCode;
use diffuscope::export::colour_map::ColourMap;
use diffuscope::tui::state::{App, View};
use ratatui::buffer::Buffer;
use ratatui::style::Color;

const LARGE: (u16, u16) = (200, 60);

fn at(view: View) -> App {
    static APP: OnceLock<App> = OnceLock::new();
    let run = || Session::start(loader(), PROMPT, 4).until(has_picture).app;
    let mut app = APP.get_or_init(run).clone();
    app.cursor.view = view;
    app
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The colour of a map at `position` of its scale, 0 to 1.
fn colour(map: ColourMap, position: f32) -> Color {
    let [red, green, blue] = map.at(position);
    Color::Rgb(red, green, blue)
}

/// The rows below the one with `title`, down to an empty one, from its column on.
fn below(buffer: &Buffer, title: &str) -> Vec<String> {
    let (x, y) = find(buffer, title);
    let rows = lines(buffer).into_iter().skip(usize::from(y) + 1);
    let rows = rows.map(|row| row.chars().skip(x.into()).collect::<String>());
    rows.take_while(|row| !row.trim().is_empty()).collect()
}

/// How many of the rows between the frame's first and last have something in their view.
fn used_rows(app: &App) -> usize {
    let screen = text(app, LARGE);
    let views = screen.lines().filter_map(|row| row.split_once('│'));
    views.filter(|(_, view)| !view.trim().is_empty()).count()
}

#[test]
fn no_view_leaves_half_of_a_large_screen_empty() {
    for view in View::ALL {
        let used = used_rows(&at(view));
        assert!(used > 36, "{view:?}: {used} of 56 rows");
    }
}

#[test]
fn the_prompt_has_its_words_their_tokens_and_their_attention() {
    let app = at(View::Prompt);
    let run = app.run().unwrap();
    let maps = run.trace.attention.step(3);
    // The mean over layers of the mean over places.
    let share = |token: usize| {
        let of = maps.iter().map(|map| {
            let values = map.map(None, token);
            values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
        });
        100.0 * of.sum::<f64>() / maps.len() as f64
    };
    let buffer = draw(&app, LARGE);
    let rows = below(&buffer, "its words, their tokens");
    // The ids are those of CLIP's vocabulary.
    for (index, (word, id)) in [
        ("a", 320),
        ("photograph", 8853),
        ("of", 539),
        ("an", 550),
        ("astronaut", 18376),
    ]
    .into_iter()
    .enumerate()
    {
        let expected = format!("{word} {id} {:.1} %", share(index + 1));
        let row: Vec<&str> = rows[index].split_whitespace().collect();
        assert!(row.join(" ").contains(&expected), "{expected}: {rows:?}");
    }
    let screen = text(&app, LARGE);
    assert!(
        screen.contains("the picture") && screen.contains("4 steps"),
        "{screen}"
    );
    let largest = run
        .figures
        .iter()
        .filter_map(|figures| figures.guidance_rms);
    let largest = largest.fold(0.0, f64::max);
    assert!(screen.contains(&format!("up to {largest:.3}")), "{screen}");
}

#[test]
fn a_token_has_the_words_nearest_to_its_vector_and_the_vector() {
    let app = at(View::Tokens);
    let table = pipeline()
        .token_embeddings()
        .to_dtype(candle_core::DType::F32)
        .unwrap();
    let rows = table.to_vec2::<f32>().unwrap();
    let horse = &rows[4558];
    let known = |row: &&Vec<f32>| row.iter().any(|&value| value != 0.0);
    let others = rows.iter().filter(known).filter(|row| *row != horse);
    let nearest = others
        .map(|row| cosine(horse, row))
        .fold(f64::MIN, f64::max);
    let screen = text(&app, LARGE);
    let (_, list) = screen.split_once("vectors like that of horse␣").unwrap();
    let first = list.lines().nth(2).unwrap();
    assert!(
        first.contains(&format!("{nearest:.3}")),
        "{nearest}: {first}"
    );
    assert!(
        screen.contains("its vector: 96 numbers, row 4558 of the table"),
        "{screen}"
    );
    // Two rows of 48 cells, one number each.
    let buffer = draw(&app, LARGE);
    let (x, y) = find(&buffer, "its vector: 96");
    let limit = horse
        .iter()
        .fold(0.0_f32, |limit, value| limit.max(value.abs()));
    let position = f32::midpoint(horse[0] / limit, 1.0);
    assert_eq!(buffer[(x, y + 1)].bg, colour(ColourMap::Signed, position));
}

#[test]
fn every_number_of_every_token_is_a_cell_of_its_embedding() {
    let app = at(View::Embedding);
    let text = app.run().unwrap().trace.text.clone().unwrap();
    let states = text.prompt.iter();
    let table = states
        .clone()
        .find(|state| &*state.name == "token_embedding")
        .unwrap();
    let shown: Vec<&[f32]> = (0..10).map(|row| table.row(row)).collect();
    let limit = shown
        .iter()
        .copied()
        .flatten()
        .fold(0.0_f32, |limit, value| limit.max(value.abs()));
    let buffer = draw(&app, LARGE);
    let (x, y) = find(&buffer, "96 numbers of each token");
    let each = (find(&buffer, "one scale for all").1 - y - 1) / 10;
    assert!((1..=2).contains(&each));
    for (row, column) in [(0, 0), (3, 17), (8, 95), (9, 41)] {
        let value = shown[row][column];
        let place = (x + 11 + column as u16, y + 1 + row as u16 * each);
        let expected = colour(ColourMap::Signed, f32::midpoint(value / limit, 1.0));
        assert_eq!(buffer[place].bg, expected, "token {row}, number {column}");
    }
}

#[test]
fn every_head_and_every_layer_of_the_text_encoder_stand_side_by_side() {
    let app = at(View::TextEncoder);
    let run = app.run().unwrap();
    let trace = run.trace.text.as_ref().unwrap();
    let buffer = draw(&app, LARGE);
    // The last word's attention to itself, in each head's map: two rows of pixels a cell.
    let heads = &trace.heads[app.cursor.text_layer - 1];
    for head in 0..heads.shape[0] {
        let name = format!("head {head}");
        let screen = lines(&buffer);
        let (x, y) = {
            let y = find(&buffer, "every head: row attends to column").1 + 1;
            let row = &screen[usize::from(y)];
            let x = row[..row.find(&name).unwrap()].chars().count();
            (x as u16, y)
        };
        // Ten tokens; every map is drawn at twice its size.
        let value = heads.plane(head)[8 * 77 + 8];
        let cell = &buffer[(x + 2 * 8, y + 1 + 8)];
        assert_eq!(cell.fg, colour(ColourMap::Magnitude, value), "{name}");
    }
    // How far the layers moved the word, against the vectors themselves.
    let states = run.text_states();
    let rows = below(&buffer, "moved by each layer");
    let horse = rows.iter().find(|row| row.starts_with("horse")).unwrap();
    for pair in states.windows(2) {
        let moved = 1.0 - cosine(pair[0].1.row(8), pair[1].1.row(8));
        assert!(horse.contains(&format!("{moved:.2}")), "{moved}: {horse}");
    }
}

#[test]
fn how_evenly_a_map_is_spread_is_said_in_bits_and_in_places() {
    let app = at(View::Attention);
    let maps = attention(&app).0;
    // The mean of all layers at the largest one's size is drawn; one layer alone needs no interpolation.
    let mut app = app.clone();
    app.cursor.attention.layer = Some(0);
    let values = maps[0].map(None, app.cursor.token);
    let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
    let bits: f64 = values
        .iter()
        .map(|&value| f64::from(value) / sum)
        .map(|share| -share * share.log2())
        .sum();
    let most = (values.len() as f64).log2();
    for size in [(80, 24), (120, 40), LARGE] {
        let screen = text(&app, size);
        let entropy = format!("entropy {bits:.2} of {most:.0} bit");
        assert!(screen.contains(&entropy), "{entropy}: {screen}");
        let even = format!("{:.0} of {} places", bits.exp2(), values.len());
        assert!(screen.contains(&even), "{even} at {size:?}: {screen}");
    }
}

#[test]
fn padding_that_is_selected_is_told_apart_from_the_other_padding() {
    let session = Session::start(loader(), PROMPT, 1).until(has_picture);
    let session = session.press(KeyCode::Char('8')).press(KeyCode::Char('u'));
    let session = session.until(|app| !attention(app).0.is_empty());
    // The negative prompt is empty: at the word's position stands padding.
    for size in [(80, 24), (120, 40), LARGE] {
        let screen = text(&session.app, size);
        let rows = screen.lines().filter(|row| row.contains('%'));
        let names = |wanted: &str| rows.clone().filter(|row| row.contains(wanted)).count();
        assert_eq!(names("padding 8 "), 1, "{screen}");
        assert_eq!(names("other padding "), 1, "{screen}");
    }
}
