//! The slots of a cron expression: the moments at which it is due, in its time zone. Pure.
//!
//! On the two days a year on which a zone changes its clocks, a wall clock skips an hour and
//! another day shows one twice. As in Vixie's cron, it depends on what was asked for:
//!
//! | the line has | hour that is skipped | hour that comes twice |
//! |---|---|---|
//! | a `*` in its minutes or hours (`*/15 * * * *`) | no slots in it | slots both times |
//! | set times (`30 2 * * *`, `0 2,14 * * *`) | one slot right after it | slots the first time only |
//!
//! croner does it so too, but takes an expression for one of set times only if it has a single
//! one: `0 2,14 * * *` would miss a run in spring and repeat one in autumn. So it is asked for
//! times on a clock without changes here, and where those are in the zone is ours to say.

use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use croner::Cron;

/// No zone's clocks go back further than this, so a time that has not come on the wall clock, but
/// came before it was set back, is not further ahead.
const SET_BACK: TimeDelta = TimeDelta::hours(3);
/// A zone has left out a whole day (Samoa, to change sides of the date line).
const LONGEST_GAP_MINUTES: i64 = 24 * 60;

/// When a cron line is due.
pub(crate) struct Slots {
    cron: Cron,
    zone: Tz,
    /// Whether it has set times.
    fixed: bool,
}

impl Slots {
    /// Reads five fields and perhaps a time zone. The error says what is wrong with them.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Slots> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (fields, zone) = match words.as_slice() {
            [fields @ .., zone] if fields.len() == 5 => (fields, zone_named(zone)?),
            fields => (fields, Tz::UTC),
        };
        ensure!(
            fields.len() == 5,
            "five fields are wanted (minute, hour, day, month, weekday) and perhaps a time zone, \
             not {}",
            fields.len()
        );
        let cron = Cron::from_str(&fields.join(" ")).context("no cron expression")?;
        let fixed = !fields[..2].iter().any(|field| field.contains(['*', '?']));
        let slots = Slots { cron, zone, fixed };
        if slots.next(0.0).is_none() {
            bail!("no day is like that: it would never be due");
        }
        Ok(slots)
    }

    /// The latest slot that is not after `now`, both in epoch seconds.
    pub(crate) fn latest(&self, now: f64) -> Option<i64> {
        let now = self.at(now)?;
        if !self.fixed {
            return Some(self.cron.find_previous_occurrence(&now, true).ok()?.timestamp());
        }
        let mut wall = now.naive_local().checked_add_signed(SET_BACK)?;
        let mut inclusive = true;
        loop {
            wall = self.cron.find_previous_occurrence(&wall, inclusive).ok()?;
            inclusive = false;
            if let Some(slot) = self.shown(wall).filter(|slot| *slot <= now) {
                return Some(slot.timestamp());
            }
        }
    }

    /// The first slot after `now`.
    pub(crate) fn next(&self, now: f64) -> Option<i64> {
        let now = self.at(now)?;
        if !self.fixed {
            return Some(self.cron.find_next_occurrence(&now, false).ok()?.timestamp());
        }
        let mut wall = now.naive_local();
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            if let Some(slot) = self.shown(wall).filter(|slot| *slot > now) {
                return Some(slot.timestamp());
            }
        }
    }

    fn at(&self, seconds: f64) -> Option<DateTime<Tz>> {
        let utc = DateTime::from_timestamp(seconds.floor() as i64, 0)?;
        Some(utc.with_timezone(&self.zone))
    }

    /// When the clocks of the zone show this for the first time; if they never do, when they show
    /// the first time after it.
    fn shown(&self, wall: NaiveDateTime) -> Option<DateTime<Tz>> {
        (0..=LONGEST_GAP_MINUTES).find_map(|minutes| {
            let wall = wall.checked_add_signed(TimeDelta::minutes(minutes))?;
            self.zone.from_local_datetime(&wall).earliest()
        })
    }
}

fn zone_named(word: &str) -> anyhow::Result<Tz> {
    let Ok(zone) = word.parse() else {
        bail!("{word:?}, the sixth word, is no time zone of the IANA's (as Europe/Berlin is)");
    };
    Ok(zone)
}

#[cfg(test)]
mod tests;
