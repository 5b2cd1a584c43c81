//! Which moments are slots, above all on the days when clocks change.

use std::collections::BTreeSet;
use std::time::Instant;

use chrono::Timelike;

use super::super::arbitrary;
use super::*;

const DAY: i64 = 86_400;

fn slots(text: &str) -> Slots {
    Slots::parse(text).unwrap_or_else(|error| panic!("{text}: {error:#}"))
}

/// Those of a date in UTC and of six hours before and after.
fn around(slots: &Slots, date: &str) -> (i64, i64, Vec<i64>) {
    let noon: NaiveDateTime = format!("{date}T12:00:00").parse().unwrap();
    let noon = noon.and_utc().timestamp();
    let (from, to) = (noon - DAY * 3 / 4, noon + DAY * 3 / 4);
    let mut found = Vec::new();
    let mut now = from as f64 - 1.0;
    while let Some(slot) = slots.next(now).filter(|slot| *slot < to) {
        found.push(slot);
        now = slot as f64;
    }
    (from, to, found)
}

/// On the wall, with the zone's offset: `02:30+02`.
fn shown(slots: &Slots, found: &[i64], day: &str) -> Vec<String> {
    let local = found.iter().map(|slot| slots.at(*slot as f64).unwrap());
    let local = local.filter(|time| time.format("%F").to_string() == day);
    local.map(|time| time.format("%H:%M%:::z").to_string()).collect()
}

#[test]
fn slots_in_utc() {
    let three = 1_700_017_200; // 2023-11-15 03:00:00 UTC
    for daily in ["0 3 * * *", "0 3 * * * UTC", "0 4 * * * Europe/Berlin"] {
        let daily = slots(daily);
        assert_eq!(daily.latest(three as f64), Some(three));
        assert_eq!(daily.latest(three as f64 + 0.9), Some(three));
        assert_eq!(daily.latest(three as f64 - 0.1), Some(three - DAY));
        assert_eq!(daily.next(three as f64 - 0.1), Some(three));
        assert_eq!(daily.next(three as f64), Some(three + DAY));
    }
    assert_eq!(slots("0 3 * jan MON").next(1_700_017_200.0), Some(1_704_078_000));
}

#[test]
fn what_is_wrong_is_said() {
    let table = [
        ("", "five fields are wanted"),
        ("* * * *", "not 4"),
        ("* * * * * UTC *", "not 7"),
        ("@daily", "not 1"),
        ("* * * * * *", "\"*\", the sixth word, is no time zone"),
        ("0 3 * * * Europe/Berln", "\"Europe/Berln\", the sixth word, is no time zone"),
        ("61 * * * *", "no cron expression"),
        ("a b c d e", "no cron expression"),
        ("0 3 31 2 *", "it would never be due"),
        ("0 3 31 4,6 * Asia/Tokyo", "it would never be due"),
    ];
    for (text, expected) in table {
        let began = Instant::now();
        let error = format!("{:#}", Slots::parse(text).err().expect(text));
        assert!(error.contains(expected), "{text}: {error}");
        assert!(began.elapsed().as_secs() < 5, "{text}");
    }
}

/// The table of docs/cron.md.
#[test]
fn when_clocks_change() {
    let table = [
        ("30 2 * * * Europe/Berlin", "2026-03-29", "03:00+02"),
        ("30 2 * * * Europe/Berlin", "2026-10-25", "02:30+02"),
        ("0 2,14 * * * Europe/Berlin", "2026-03-29", "03:00+02 14:00+02"),
        ("0 2,14 * * * Europe/Berlin", "2026-10-25", "02:00+02 14:00+01"),
        ("0 0-4 * * * Europe/Berlin", "2026-03-29", "00:00+01 01:00+01 03:00+02 04:00+02"),
        ("0 * * * * Europe/Berlin", "2026-03-29", "00:00+01 01:00+01 03:00+02 04:00+02 …"),
        ("0 * * * * Europe/Berlin", "2026-10-25", "00:00+02 01:00+02 02:00+02 02:00+01 …"),
        (
            "*/15 1-2 * * * Europe/Berlin",
            "2026-10-25",
            "01:00+02 01:15+02 01:30+02 01:45+02 02:00+02 02:15+02 02:30+02 02:45+02 \
             02:00+01 02:15+01 02:30+01 02:45+01",
        ),
        ("*/15 2 * * * Europe/Berlin", "2026-03-29", ""),
        ("30 2 * * * America/New_York", "2026-03-08", "03:00-04"),
        ("30 1 * * * America/New_York", "2026-11-01", "01:30-04"),
        ("30 * * * * America/New_York", "2026-11-01", "00:30-04 01:30-04 01:30-05 02:30-05 …"),
        ("30 * * * * America/New_York", "2026-03-08", "00:30-05 01:30-05 03:30-04 04:30-04 …"),
    ];
    for (text, day, expected) in table {
        let slots = slots(text);
        let (_, _, found) = around(&slots, day);
        let mut shown = shown(&slots, &found, day);
        if expected.ends_with('…') {
            shown.truncate(4);
            shown.push("…".to_owned());
        }
        assert_eq!(shown.join(" "), expected, "{text} on {day}");
    }
}

/// Slots are told by looking at each minute of the wall clock; `latest` and `next` must tell
/// the same at every minute.
#[test]
fn every_minute_around_a_change_of_clocks() {
    let lines = [
        "30 2 * * *",
        "30 1 * * *",
        "0 3 * * *",
        "*/15 * * * *",
        "*/15 2 * * *",
        "0 * * * *",
        "45 */2 * * *",
        "0 2,14 * * *",
        "0,20,59 1-3 * * *",
        "30 2 * * SUN",
        "30 2 29 3 *",
    ];
    let zones = [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("America/New_York", "2026-03-08"),
        ("America/New_York", "2026-11-01"),
        ("Australia/Lord_Howe", "2026-04-05"), // half an hour
        ("Australia/Lord_Howe", "2026-10-04"),
        ("America/Havana", "2026-03-08"),   // at midnight
        ("Antarctica/Troll", "2026-10-25"), // two hours
        ("Asia/Kolkata", "2026-03-29"),     // never
    ];
    for (zone, date) in zones {
        for line in lines {
            let slots = slots(&format!("{line} {zone}"));
            let (from, to, found) = around(&slots, date);
            let expected = by_looking(&slots, from, to);
            assert_eq!(found, expected.iter().copied().collect::<Vec<_>>(), "{line} {zone} {date}");
            for now in (from..to).step_by(60) {
                let (before, after) = (slots.latest(now as f64), slots.next(now as f64));
                let latest = expected.range(..=now).next_back().copied();
                assert!(latest.is_none() || before == latest, "{line} {zone} {now}");
                let next = expected.range(now + 1..).next().copied();
                assert!(next.is_none() || after == next, "{line} {zone} {now}");
            }
        }
    }
}

fn by_looking(slots: &Slots, from: i64, to: i64) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    let mut shown = BTreeSet::new();
    let mut before = slots.at((from - DAY) as f64).unwrap().naive_local();
    for now in (from - DAY..to).step_by(60) {
        let wall = slots.at(now as f64).unwrap().naive_local();
        let due = |wall: &NaiveDateTime| slots.cron.is_time_matching(wall).unwrap();
        // what the wall clock left out, if it was put forward at this minute
        let mut left_out = before + TimeDelta::minutes(1);
        while slots.fixed && left_out < wall {
            if due(&left_out) {
                found.insert(now);
            }
            left_out += TimeDelta::minutes(1);
        }
        if due(&wall) && (!slots.fixed || shown.insert(wall)) {
            found.insert(now);
        }
        assert_eq!(wall.second(), 0);
        before = wall;
    }
    found.split_off(&from)
}

#[test]
fn every_line_that_is_accepted_can_be_asked() {
    let words = ["*", "*/5", "1-3", ",", "L", "W", "#", "?", "MON", "FEB", "31", "0", " ", " "];
    let zones = ["", "Europe/Berlin", "Pacific/Apia", "Asia/Gaza"];
    arbitrary::rounds(300, |rng| {
        let fields = [(); 5].map(|()| arbitrary::words(rng, &words));
        let text = format!("{} {}", fields.join(" "), rng.choice(zones).unwrap_or_default());
        let Ok(slots) = Slots::parse(&text) else { return };
        for now in [0.0, 1_325_200_000.5, 1_700_000_000.0, f64::MAX, f64::NAN] {
            let (latest, next) = (slots.latest(now), slots.next(now));
            assert!(latest.is_none_or(|latest| latest as f64 <= now), "{text} {latest:?}");
            assert!(next.is_none_or(|next| next as f64 > now), "{text} {next:?}");
            if let Some(next) = next {
                assert_eq!(slots.latest(next as f64), Some(next), "{text}");
            }
        }
    });
}
