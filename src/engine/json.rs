//! JSON as Ruby's generator would write it again: its API moves an entry of a sorted set by
//! naming the bytes that it made itself of what it had read.
//!
//! Text and integers come out alike anyway. Floats do between 0.0001 and 1e15; beyond, this is
//! the form of `Float#to_s`, which Ruby's JSON used up to its 2.9 (later ones have another).

use std::fmt::{Debug, LowerExp};
use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Any value as compact JSON.
pub(crate) fn raw<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(32);
    write(&mut bytes, value)?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// The same at the end of what is there.
pub(crate) fn write<T: Serialize + ?Sized>(
    bytes: &mut Vec<u8>,
    value: &T,
) -> Result<(), serde_json::Error> {
    value.serialize(&mut Serializer::with_formatter(bytes, Floats))
}

struct Floats;

impl Formatter for Floats {
    fn write_f32<W: Write + ?Sized>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        write_float(writer, value)
    }

    fn write_f64<W: Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        write_float(writer, value)
    }
}

/// Points in time and most others are the same here and in Ruby, and much faster this way.
fn write_float<W: Write + ?Sized>(writer: &mut W, value: impl LowerExp + Debug) -> io::Result<()> {
    let (mut text, room) = ([0; 32], 17); // with 16 digits and a point there is nothing to decide
    let mut rest = &mut text[..];
    let plain = write!(rest, "{value:?}").is_ok();
    let length = 32 - rest.len();
    let text = &text[..length];
    let small = text.strip_prefix(b"-").unwrap_or(text).starts_with(b"0.0") && text != b"0.0";
    if plain && length <= room && !small && !text.contains(&b'e') {
        return writer.write_all(text);
    }
    writer.write_all(float(value).as_bytes())
}

/// The shortest digits that are read as this number, with a decimal point at any rate.
fn float(value: impl LowerExp) -> String {
    let mut text = format!("{value:e}");
    if text.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count() == 17 {
        text = format!("{value:.16e}"); // of two that are equally near Ruby takes the even one
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(positive) => ("-", positive),
        None => ("", mantissa),
    };
    let digits = mantissa.replace('.', "");
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    if (-4..0).contains(&exponent) {
        let zeros = "0".repeat(-exponent as usize - 1);
        format!("{sign}0.{zeros}{digits}")
    } else if exponent >= 0 && (whole <= 15 || whole < digits.len()) {
        let length = whole + 1;
        let digits = format!("{digits:0<length$}");
        format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
    } else {
        let point = if digits.len() == 1 { ".0" } else { "" };
        let direction = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{mantissa}{point}e{direction}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_like_rubys() {
        let table = [
            (0.0f64, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (1_700_000_000.0, "1700000000.0"),
            (1_700_000_000.123456, "1700000000.123456"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (1e14, "100000000000000.0"),
            (1e15, "1.0e+15"),
            (2_333_333_333_333_333.5, "2333333333333333.5"),
            (167_271_932_131_646.62, "167271932131646.62"),
            (1.25e21, "1.25e+21"),
            (1e100, "1.0e+100"),
            (0.1, "0.1"),
            (0.000125, "0.000125"),
            (0.0001, "0.0001"),
            (0.00001, "1.0e-05"),
            (-1.5e-7, "-1.5e-07"),
            (5e-324, "5.0e-324"),
            (0.05, "0.05"),
            (-0.1234567890123456, "-0.1234567890123456"),
            (99.99999999999999, "99.99999999999999"),
            (-1_700_000_000.123457, "-1700000000.123457"),
        ];
        for (number, expected) in table {
            assert_eq!(raw(&number).unwrap(), expected);
            let again: f64 = serde_json::from_str(expected).unwrap();
            assert_eq!(again.to_bits(), number.to_bits(), "{expected}");
        }
        assert_eq!(raw(&0.1f32).unwrap(), "0.1");
        assert_eq!(raw(&[f64::NAN, f64::INFINITY]).unwrap(), "[null,null]");
    }
}
