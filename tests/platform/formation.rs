//! How many dynos of which type there are to be: `web=1 worker=3`.

use std::collections::BTreeMap;
use std::fmt;

/// A place in the formation. Its name is `DYNO`, and each dyno in it has the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub kind: String,
    pub number: u32,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.number)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formation(BTreeMap<String, u32>);

impl Formation {
    pub fn parse(text: &str) -> Formation {
        let quantity = |word: &str| {
            let (kind, number) = word.split_once('=')?;
            Some((kind.to_owned(), number.parse().ok()?))
        };
        let parts = text.split_whitespace();
        Formation(parts.map(|word| quantity(word).unwrap_or_else(|| panic!("{word}"))).collect())
    }

    pub fn slots(&self) -> Vec<Slot> {
        self.0.iter().flat_map(|(kind, quantity)| slots(kind, 1..=*quantity)).collect()
    }

    pub fn has(&self, slot: &Slot) -> bool {
        slot.number <= self.of(&slot.kind)
    }

    pub fn of(&self, kind: &str) -> u32 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// Takes what `text` names and leaves the rest. Returns the slots to stop, the highest number
    /// first, and those to start.
    pub fn scale(&mut self, text: &str) -> (Vec<Slot>, Vec<Slot>) {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for (kind, to) in Formation::parse(text).0 {
            let from = self.of(&kind);
            gone.extend(slots(&kind, to + 1..=from).rev());
            new.extend(slots(&kind, from + 1..=to));
            self.0.insert(kind, to);
        }
        (gone, new)
    }
}

fn slots(
    kind: &str,
    numbers: impl DoubleEndedIterator<Item = u32>,
) -> impl DoubleEndedIterator<Item = Slot> {
    numbers.map(|number| Slot { kind: kind.to_owned(), number })
}

#[test]
fn the_highest_numbers_go_first() {
    let mut formation = Formation::parse("web=1 worker=4");
    let names = |slots: Vec<Slot>| slots.iter().map(Slot::to_string).collect::<Vec<_>>().join(" ");
    let (gone, new) = formation.scale("worker=1 web=2");
    assert_eq!((names(gone), names(new)), ("worker.4 worker.3 worker.2".into(), "web.2".into()));
    assert_eq!(names(formation.slots()), "web.1 web.2 worker.1");
}
