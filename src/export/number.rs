//! A 32-bit floating point number in JSON.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A 32-bit floating point number in JSON: the shortest digits that read back as the same number. JSON has no numbers
/// for NaN and the infinities, so they are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`, which Python's `float`
/// and JavaScript's `Number` both take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Number(pub f32);

/// The values of a tensor, row-major: written as a list of [`Number`]s without a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers<'a>(pub &'a [f32]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().copied().map(Number))
    }
}

const NAN: &str = "NaN";
const INFINITY: &str = "Infinity";
const NEGATIVE_INFINITY: &str = "-Infinity";

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f32(value),
            value if value.is_nan() => serializer.serialize_str(NAN),
            value if value > 0.0 => serializer.serialize_str(INFINITY),
            _ => serializer.serialize_str(NEGATIVE_INFINITY),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl de::Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(
            formatter,
            "a number, or \"{NAN}\", \"{INFINITY}\" or \"{NEGATIVE_INFINITY}\""
        )
    }

    fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value as f32))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f32))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f32))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Number, E> {
        match value {
            NAN => Ok(Number(f32::NAN)),
            INFINITY => Ok(Number(f32::INFINITY)),
            NEGATIVE_INFINITY => Ok(Number(f32::NEG_INFINITY)),
            _ => Err(E::invalid_value(de::Unexpected::Str(value), &self)),
        }
    }
}

impl JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A 32-bit floating point number. What JSON cannot write as a number is one of three strings.",
            "anyOf": [
                { "type": "number" },
                { "enum": [NAN, INFINITY, NEGATIVE_INFINITY] }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(value: f32) -> f32 {
        let json = serde_json::to_string(&Number(value)).unwrap();
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
        serde_json::from_str::<Number>(&json).unwrap().0
    }

    #[test]
    fn every_number_reads_back_as_the_same_bits() {
        let edges = [
            0.0,
            -0.0,
            0.1,
            1.0 / 3.0,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            f32::from_bits(0x007f_ffff),
            f32::MAX,
            f32::MIN,
            16_777_216.0,
            33_554_434.0,
            157.407,
        ];
        // Every exponent, with mantissas spread by a multiplicative hash.
        let spread = (0..200_000_u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b1)));
        for value in edges.into_iter().chain(spread) {
            let back = round_trip(value);
            assert!(
                back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()),
                "{value:e} became {back:e}"
            );
        }
    }

    #[test]
    fn what_is_no_number_in_json_is_a_string() {
        let json = serde_json::to_string(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(Number));
        assert_eq!(json.unwrap(), r#"["NaN","Infinity","-Infinity"]"#);
        assert!(serde_json::from_str::<Number>("\"nan\"").is_err());
        assert!(serde_json::from_str::<Number>("null").is_err());
    }
}
