//! The Lua scripts. Each says in its head what it takes and returns; all of them begin with a
//! write that a full server lets pass (an expiry or a removal), because a script whose first
//! write adds something is refused there; but for `cron` and `push`, which enqueue, and `cron_line`,
//! which can wait. None is sent inside MULTI.

use std::sync::LazyLock;

use redis::Script;

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
    PUSH = "push";
    TRACK = "track";
    EDIT = "edit";
}
