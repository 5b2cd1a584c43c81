//! The Lua scripts. Each says in its head what it takes and returns; all of them begin with a
//! write that a full server lets pass (an expiry or a removal), because a script whose first
//! write adds something is refused there; but for `cron` and `push`, which enqueue, and `cron_line`,
//! which can wait, and `oldest`, which only reads. None is sent inside MULTI.

use std::sync::LazyLock;

use redis::{Script, ScriptInvocation};

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)*) => {$(
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $file, ".lua"))),+)));
    )*};
}

scripts! {
    REGISTER = "register";
    FETCH = "limits" "fetch";
    FINISH = "dead" "finish";
    REQUEUE = "dead" "requeue";
    PROMOTE = "promote";
    CHECKPOINT = "checkpoint";
    BEAT = "beat";
    ACCUSE = "accuse";
    LEAVE = "dead" "leave";
    CRON = "cron";
    CRON_LINE = "cron_line";
    CRON_REMOVE = "cron_remove";
    CRON_NOTE = "cron_note";
    PUSH = "push";
    TRACK = "track";
    EDIT = "edit";
    OLDEST = "oldest";
}

/// The words of a command.
pub(crate) type Words = Vec<Vec<u8>>;

/// The script of the ends: of the delivery with this name in this in-flight hash, on this condition
/// (`dead.lua`), with the commands that must succeed and those that may fail.
pub(crate) fn finish(
    (inflight, name): (&str, &str),
    condition: &[String; 3],
    musts: Vec<Words>,
    beside: Vec<Words>,
) -> ScriptInvocation<'static> {
    let mut script = FINISH.prepare_invoke();
    script.arg(inflight).arg(name).arg(condition).arg(musts.len());
    for words in musts.into_iter().chain(beside) {
        script.arg(words.len()).arg(words);
    }
    script
}
