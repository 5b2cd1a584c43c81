//! Ledgers written by hand: what the judgement lets pass, and what it must not.

use super::*;

fn verdict(lines: &str, enqueued: &[&str], rescued: u64, processed: u64) -> Verdict {
    let enqueued = enqueued.iter().map(|jid| jid.to_string()).collect();
    let account = Account { enqueued, rescued, processed, beat: 200, ..Account::default() };
    judge(&Record::of(lines.lines().map(str::trim)), &account)
}

fn is_clean(verdict: &Verdict) -> bool {
    verdict.lost.is_empty() && verdict.unexplained.is_empty() && verdict.wrong.is_empty()
}

#[test]
fn a_kill_explains_the_run_it_cut_off() {
    let cut = "start 1 j a 1 1000
               kill 2 a 0 2000
               start 3 j b 1 9000
               ok 3 9500";
    let seen = verdict(cut, &["j"], 1, 1);
    assert!(is_clean(&seen) && seen.duplicated == 1 && seen.recovery == 7500, "{seen:?}");
    assert_eq!(verdict(cut, &["j"], 0, 1).wrong.len(), 1, "nobody moved it");
    assert_eq!(verdict(cut, &["j", "k"], 1, 1).lost, ["k"]);
    assert_eq!(verdict(cut, &["j"], 1, 2).wrong.len(), 1, "one end, counted twice");
}

#[test]
fn a_kill_explains_neither_what_had_ended_nor_what_came_before() {
    let had_ended = "start 1 j a 1 1000
                     ok 1 1100
                     kill 2 a 0 20000
                     start 3 j b 1 29000
                     ok 3 29500";
    assert_eq!(verdict(had_ended, &["j"], 1, 2).unexplained.len(), 1);
    let too_early = "start 1 j a 1 1000
                     start 3 j b 1 1500
                     kill 2 a 0 2000
                     ok 3 9500";
    assert_eq!(verdict(too_early, &["j"], 1, 1).unexplained.len(), 1);
    let another = too_early.replace("kill 2 a", "kill 2 c");
    assert_eq!(verdict(&another, &["j"], 1, 1).unexplained.len(), 1);
}

#[test]
fn a_stop_explains_what_was_aborted_or_left() {
    let stopped = |end: &str| {
        let lines =
            format!("start 1 j a 1 1000\nstop 2 a 100 1010\n{end}start 3 j b 1 1200\nok 3 1300");
        verdict(&lines, &["j"], 1, 1).unexplained.len()
    };
    assert_eq!((stopped(""), stopped("left 1 1050\n"), stopped("ok 1 1020\n")), (0, 0, 1));
}

#[test]
fn what_thaws_may_start_what_others_have() {
    let lines = "freeze 1 a 0 1000
                 start 2 j b 1 9000
                 ok 2 9100
                 thaw 3 a 0 9200
                 start 4 j a 1 9210
                 ok 4 9250";
    assert!(is_clean(&verdict(lines, &["j"], 1, 2)));
    let frozen = "start 1 j a 1 1000
                  freeze 2 a 0 1100
                  thaw 3 a 0 9200
                  ok 1 9300";
    assert_eq!(verdict(frozen, &["j"], 1, 1).lost, ["j"], "its end counts for nothing");
}

#[test]
fn another_attempt_needs_a_failure() {
    let lines = |end| format!("start 1 j a 1 1000\n{end} 1 1100\nstart 2 j a 2 2000\nok 2 2100");
    assert!(is_clean(&verdict(&lines("failed"), &["j"], 0, 2)));
    assert_eq!(verdict(&lines("ok"), &["j"], 0, 2).unexplained.len(), 1);
}
