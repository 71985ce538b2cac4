//! The filters that are written in Rust. What is not listed here or in `prelude.jq`, no lesson can call.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jaq_core::box_iter::box_once;
use jaq_core::data::HasLut;
use jaq_core::native::{Filter, Fun, bome, run, unary, v};
use jaq_core::{DataT, Exn, Lut, RunPtr, ValT as _, ValX, ValXs};
use jaq_json::{Error, Num, Val};
use jaq_std::ValT as _;

use super::meter::Meter;
use super::sandbox::{COUNT, KEY, TEXT, TIMES, WEIGH};
use super::tensors::Tensors;

/// The types that jaq runs our filters with.
pub struct Host;

impl DataT for Host {
    type V<'a> = Val;
    type Data<'a> = Data<'a>;
}

/// What native filters know besides their input.
#[derive(Clone)]
pub struct Data<'a> {
    lut: &'a Lut<Host>,
    meter: &'a Meter,
    tensors: &'a Tensors,
    /// Tensors that were asked for, by their files.
    read: &'a RefCell<BTreeMap<String, Val>>,
}

impl<'a> Data<'a> {
    pub fn new(
        lut: &'a Lut<Host>,
        meter: &'a Meter,
        tensors: &'a Tensors,
        read: &'a RefCell<BTreeMap<String, Val>>,
    ) -> Self {
        Self {
            lut,
            meter,
            tensors,
            read,
        }
    }
}

impl<'a> HasLut<'a, Host> for Data<'a> {
    fn lut(&self) -> &'a Lut<Host> {
        self.lut
    }
}

/// Filters of jq's own library that are safe as they are: their work grows with their input, which is limited.
const FROM_JQ: &[&str] = &[
    "keys_unsorted",
    "range",
    "first",
    "last",
    "limit",
    "skip",
    "floor",
    "ceil",
    "round",
    "reverse",
    "sort",
    "sort_by",
    "group_by",
    "min_by_or_empty",
    "max_by_or_empty",
    "startswith",
    "endswith",
    "ltrimstr",
    "rtrimstr",
    "trim",
    "ascii_downcase",
    "ascii_upcase",
    "length",
    "has",
];

pub fn all() -> impl Iterator<Item = Fun<Host>> {
    let library = jaq_core::funs::<Host>()
        .chain(jaq_std::base_funs())
        .chain(jaq_json::funs());
    let from_jq = library.filter(|(name, ..)| FROM_JQ.contains(name));
    let natives = natives().into_iter().chain(math());
    from_jq.chain(natives.map(run::<Host>))
}

type Native = Filter<RunPtr<Host>>;

fn natives() -> Vec<Native> {
    vec![
        (COUNT, v(0), |cv| {
            let counted = cv.0.data().meter.spend(1);
            or_halt(counted, cv.1)
        }),
        (WEIGH, v(0), |cv| {
            let weighed = cv.0.data().meter.weigh(&cv.1);
            or_halt(weighed, cv.1)
        }),
        (KEY, v(0), |cv| bome(key(cv.1))),
        (TEXT, v(0), |cv| bome(text(cv.1))),
        (TIMES, v(2), |mut cv| {
            let right = cv.0.pop_var();
            let left = cv.0.pop_var();
            bome(times(&left, &right))
        }),
        ("error", v(0), |cv| bome(Err(Error::new(cv.1)))),
        ("type", v(0), |cv| {
            bome(Ok(Val::from(kind(&cv.1).to_owned())))
        }),
        ("tonumber", v(0), |cv| bome(number(cv.1))),
        ("isnan", v(0), |cv| {
            let is_nan = cv.1.as_f64().is_some_and(f64::is_nan);
            bome(Ok(Val::from(is_nan)))
        }),
        ("flatten", v(0), |cv| bome(flattened(&cv.1))),
        ("contains", v(1), |cv| {
            let meter = cv.0.data().meter;
            let mut cv = cv;
            let part = cv.0.pop_var();
            // Every part of the one is looked for in every part of the other.
            let work = (length(&cv.1) as u64).saturating_mul(length(&part) as u64);
            match meter.spend(work / 16) {
                Ok(()) => bome(Ok(Val::from(contains(&cv.1, &part)))),
                Err(limit) => or_halt(Err(limit), cv.1),
            }
        }),
        ("index", v(1), |cv| {
            unary(cv, |whole, part| index(&whole, &part))
        }),
        ("dot", v(2), |mut cv| {
            let right = cv.0.pop_var();
            let left = cv.0.pop_var();
            bome(dot(&left, &right))
        }),
        ("position", v(1), |cv| {
            unary(cv, |run, word| position(&run, &word))
        }),
        ("tensor", v(0), |cv| {
            let data = cv.0.data().clone();
            bome(tensor(&data, &cv.1))
        }),
        ("attention_to", v(1), |mut cv| {
            let position = cv.0.pop_var();
            let data = cv.0.data().clone();
            bome(attention_to(&data, &cv.1, &position))
        }),
        ("pow", v(2), |mut cv| {
            let exponent = cv.0.pop_var();
            let base = cv.0.pop_var();
            let power = || Ok(Val::from(float(&base)?.powf(float(&exponent)?)));
            bome(power())
        }),
    ]
}

/// Functions of one number.
fn math() -> Vec<Native> {
    vec![
        ("sqrt", v(0), |cv| of_number(&cv.1, f64::sqrt)),
        ("exp", v(0), |cv| of_number(&cv.1, f64::exp)),
        ("exp2", v(0), |cv| of_number(&cv.1, f64::exp2)),
        ("log", v(0), |cv| of_number(&cv.1, f64::ln)),
        ("log2", v(0), |cv| of_number(&cv.1, f64::log2)),
        ("log10", v(0), |cv| of_number(&cv.1, f64::log10)),
        ("sin", v(0), |cv| of_number(&cv.1, f64::sin)),
        ("cos", v(0), |cv| of_number(&cv.1, f64::cos)),
        ("fabs", v(0), |cv| of_number(&cv.1, f64::abs)),
    ]
}

fn of_number<'a>(value: &Val, function: fn(f64) -> f64) -> ValXs<'a, Val> {
    bome(float(value).map(|value| Val::from(function(value))))
}

/// `value`, or the end of the whole filter, which no `try` catches.
fn or_halt<'a, E>(allowed: Result<(), E>, value: Val) -> ValXs<'a, Val> {
    let checked: ValX<Val> = allowed.map(|()| value).map_err(|_| Exn::halt(1));
    box_once(checked)
}

fn key(value: Val) -> Result<Val, Error> {
    match value {
        Val::Arr(_) | Val::Obj(_) => Err(Error::str(format_args!(
            "a {} cannot be a key",
            kind(&value)
        ))),
        value => Ok(value),
    }
}

fn text(value: Val) -> Result<Val, Error> {
    match value {
        Val::Arr(_) | Val::Obj(_) => Err(Error::str(format_args!(
            "a whole {} cannot be made a text here",
            kind(&value)
        ))),
        value => Ok(value.into_string()),
    }
}

fn times(left: &Val, right: &Val) -> Result<Val, Error> {
    match (left, right) {
        (Val::Num(Num::Int(a)), Val::Num(Num::Int(b))) if a.checked_mul(*b).is_some() => {
            Ok(Val::Num(Num::Int(a * b)))
        }
        // Whole numbers without end are left out.
        (Val::Num(_), Val::Num(_)) => Ok(Val::from(float(left)? * float(right)?)),
        _ => Err(Error::str(format_args!(
            "cannot multiply a {} by a {}",
            kind(left),
            kind(right)
        ))),
    }
}

fn number(value: Val) -> Result<Val, Error> {
    match &value {
        Val::Num(_) => Ok(value),
        Val::TStr(text) => {
            let text = String::from_utf8_lossy(text);
            let text = text.trim();
            let whole = text.parse::<isize>().map(Val::from).ok();
            let number = whole.or_else(|| text.parse::<f64>().map(Val::from).ok());
            let shown: String = text.chars().take(40).collect();
            number.ok_or_else(|| Error::str(format_args!("“{shown}” is not a number")))
        }
        _ => Err(Error::str(format_args!(
            "a {} is not a number",
            kind(&value)
        ))),
    }
}

fn float(value: &Val) -> Result<f64, Error> {
    value
        .as_f64()
        .ok_or_else(|| Error::str(format_args!("expected a number, found a {}", kind(value))))
}

fn list(value: &Val) -> Result<&[Val], Error> {
    match value {
        Val::Arr(items) => Ok(items),
        _ => Err(Error::str(format_args!(
            "expected an array, found a {}",
            kind(value)
        ))),
    }
}

/// Its type, by jq's name.
pub fn kind(value: &Val) -> &'static str {
    match value {
        Val::Null => "null",
        Val::Bool(_) => "boolean",
        Val::Num(_) => "number",
        Val::BStr(_) | Val::TStr(_) => "string",
        Val::Arr(_) => "array",
        Val::Obj(_) => "object",
    }
}

fn length(value: &Val) -> usize {
    match value {
        Val::Arr(items) => items.len(),
        Val::Obj(members) => members.len(),
        Val::BStr(text) | Val::TStr(text) => text.len(),
        _ => 1,
    }
}

fn flattened(value: &Val) -> Result<Val, Error> {
    fn collect(items: &[Val], flat: &mut Vec<Val>) {
        for item in items {
            match item {
                Val::Arr(items) => collect(items, flat),
                item => flat.push(item.clone()),
            }
        }
    }
    let mut flat = Vec::new();
    collect(list(value)?, &mut flat);
    Ok(flat.into_iter().collect())
}

/// Of texts: is the one a part of the other? Of lists and objects: is each part of the one in the other?
fn contains(whole: &Val, part: &Val) -> bool {
    match (whole, part) {
        (Val::TStr(whole), Val::TStr(part)) => {
            let whole = String::from_utf8_lossy(whole);
            whole.contains(&*String::from_utf8_lossy(part))
        }
        (Val::Arr(whole), Val::Arr(parts)) => parts
            .iter()
            .all(|part| whole.iter().any(|item| contains(item, part))),
        (Val::Obj(whole), Val::Obj(parts)) => parts
            .iter()
            .all(|(key, part)| whole.get(key).is_some_and(|item| contains(item, part))),
        _ => whole == part,
    }
}

/// The first place of `part` in `whole`: of a text in a text, of an item in a list.
fn index(whole: &Val, part: &Val) -> Result<Val, Error> {
    let found = match (whole, part) {
        (Val::TStr(whole), Val::TStr(part)) => {
            let whole = String::from_utf8_lossy(whole);
            let at = whole.find(&*String::from_utf8_lossy(part));
            at.map(|at| whole[..at].chars().count())
        }
        (Val::Arr(items), part) => items.iter().position(|item| item == part),
        (Val::Null, _) => None,
        _ => {
            return Err(Error::str(format_args!(
                "a {} has no index of a {}",
                kind(whole),
                kind(part)
            )));
        }
    };
    Ok(found.map_or(Val::Null, Val::from))
}

fn dot(left: &Val, right: &Val) -> Result<Val, Error> {
    let (left, right) = (list(left)?, list(right)?);
    if left.len() != right.len() {
        return Err(Error::str(format_args!(
            "the two lists have {} and {} numbers",
            left.len(),
            right.len()
        )));
    }
    let products = left.iter().zip(right);
    let products = products.map(|(a, b)| Ok(float(a)? * float(b)?));
    let sum: Result<f64, Error> = products.sum();
    Ok(Val::from(sum?))
}

/// The position of the first token of `word` among the prompt's tokens.
fn position(run: &Val, word: &Val) -> Result<Val, Error> {
    let member = |value: &Val, name: &str| match value {
        Val::Obj(members) => members.get(&Val::from(name.to_owned())).cloned(),
        _ => None,
    };
    let string = |value: &Val| match value {
        Val::TStr(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    };
    let wanted = string(word).unwrap_or_default().to_lowercase();
    let prompt = member(run, "tokens").and_then(|tokens| member(&tokens, "prompt"));
    let prompt = prompt.unwrap_or_default();
    let tokens = list(&prompt).unwrap_or_default();
    let mut begun: Option<(usize, String)> = None;
    for (at, token) in tokens.iter().enumerate() {
        let piece = member(token, "piece").and_then(|piece| string(&piece));
        let piece = piece.unwrap_or_default();
        let (start, spelt) = begun.take().unwrap_or((at, String::new()));
        match piece.strip_suffix("</w>") {
            Some(end) if spelt.clone() + end == wanted => return Ok(Val::from(start)),
            Some(_) => {}
            None => begun = Some((start, spelt + &piece)),
        }
        if member(token, "special") == Some(Val::Bool(true)) {
            begun = None;
        }
    }
    let shown: String = wanted.chars().take(40).collect();
    Err(Error::str(format_args!("the prompt has no word “{shown}”")))
}

/// The mean over all places, and heads where there are some, of the attention to a text position; of the entry of a
/// tensor `([heads,] positions, height, width)`. The values are not made into numbers of the language: there may be
/// millions.
fn attention_to(data: &Data, entry: &Val, position: &Val) -> Result<Val, Error> {
    let file = file_of(entry)?;
    let tensor = data.tensors.of_file(&file).ok_or_else(|| unknown(&file))?;
    let &[.., positions, height, width] = &tensor.shape[..] else {
        let shape = &tensor.shape;
        return Err(Error::str(format_args!(
            "expected attention, (positions, height, width); the shape is {shape:?}"
        )));
    };
    let at = float(position)?;
    if at < 0.0 || at.fract() != 0.0 || at >= positions as f64 {
        return Err(Error::str(format_args!(
            "there is no position {at}; they are 0 to {}",
            positions.saturating_sub(1)
        )));
    }
    let places = height * width;
    let start = at as usize * places;
    let heads = tensor.data.chunks_exact((positions * places).max(1));
    let count = heads.len() * places;
    let rows = heads.flat_map(|head| &head[start..start + places]);
    let sum: f64 = rows.map(|&value| f64::from(value)).sum();
    Ok(Val::from(sum / count.max(1) as f64))
}

/// The file that a tensor's entry in the document names.
fn file_of(entry: &Val) -> Result<String, Error> {
    let file = match entry {
        Val::Obj(members) => members.get(&Val::from("file".to_owned())),
        _ => None,
    };
    let Some(Val::TStr(file)) = file else {
        return Err(Error::str(format_args!(
            "expected a tensor's entry with its `file`, found a {}",
            kind(entry)
        )));
    };
    Ok(String::from_utf8_lossy(file).into_owned())
}

fn unknown(file: &str) -> Error {
    let shown: String = file.chars().take(80).collect();
    Error::str(format_args!("there is no tensor “{shown}”"))
}

/// What a tensor's file has, found by its entry in the document.
fn tensor(data: &Data, entry: &Val) -> Result<Val, Error> {
    let file = file_of(entry)?;
    if let Some(read) = data.read.borrow().get(&file) {
        return Ok(read.clone());
    }
    let tensor = data.tensors.get(&file).ok_or_else(|| unknown(&file))?;
    data.read.borrow_mut().insert(file, tensor.clone());
    Ok(tensor)
}
