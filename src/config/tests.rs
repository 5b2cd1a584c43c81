use super::*;

fn config(vars: &[(&str, &str)]) -> Result<Config, String> {
    Config::from_vars(vars.iter().map(|(name, value)| (name.into(), value.into())))
}

/// The message `vars` are refused with.
fn refusal(vars: &[(&str, &str)]) -> String {
    config(vars).err().unwrap_or_else(|| panic!("{vars:?} was accepted"))
}

#[test]
fn an_empty_environment_gives_the_documented_defaults() {
    let config = config(&[]).unwrap();
    assert_eq!((config.port, config.concurrency), (5006, 10));
    assert_eq!(config.shutdown_timeout, Duration::from_secs(25));
    assert_eq!(config.job_timeout, Some(Duration::from_secs(1800)));
    assert_eq!((config.stall_timeout, config.memory_limit), (Some(Duration::from_secs(60)), None));
    assert_eq!(config.log_filter, "info");
    assert_eq!(config.log_format, LogFormat::Text);
    assert!(config.queue_limits.is_empty());
    assert!(config.api_token.is_none() && config.webhook_key.is_none());
    assert!(config.login.is_none() && config.hirefire_token.is_none());
    assert!(config.health_port.is_none() && !config.worker_options().measure_waits);
    assert!(config.stuck_job_webhook.is_none() && config.release.is_none());
    assert!(!config.webhook_allow_private && !config.embedded && !config.dyno);
}

#[test]
fn an_empty_value_is_an_unset_one() {
    let config = config(&[
        ("PORT", ""),
        ("API_TOKEN", ""),
        ("DYNO", ""),
        ("STALL_TIMEOUT", ""),
        ("REDIS_PROVIDER", ""),
    ]);
    assert_eq!(config.unwrap().port, 5006);
}

#[test]
fn good_values_are_taken() {
    let config = config(&[
        ("PORT", " 8080 "),
        ("port", "ignored"),
        ("CONCURRENCY", "10000"),
        ("JOB_TIMEOUT", "0"),
        ("STALL_TIMEOUT", "0"),
        ("MEMORY_LIMIT_MB", "512"),
        ("SHUTDOWN_TIMEOUT", "5"),
        ("QUEUE_LIMITS", "imports:2, webhooks:50/s"),
        ("WEBHOOK_ALLOW_PRIVATE", "true"),
        ("WEBHOOK_SECRET", "whsec_AAAA"),
        ("LOG_FORMAT", "json"),
        ("REDIS_TLS_VERIFY", "none"),
        ("DYNO", "web.1"),
        ("STUCK_JOB_WEBHOOK", " https://chat.example/hook "),
        ("HEROKU_RELEASE_VERSION", "v42"),
        ("HEROKU_SLUG_COMMIT", "1a2b3c4"),
        ("REDIS_PROVIDER", "OTHER_URL"),
        ("OTHER_URL", "redis://10.0.0.1:6379/0"),
    ]);
    let config = config.unwrap();
    assert_eq!((config.port, config.concurrency, config.job_timeout), (8080, 10_000, None));
    assert_eq!((config.stall_timeout, config.memory_limit), (None, Some(512)));
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.worker_options().limits.to_string(), "imports:2,webhooks:50/s");
    assert_eq!(config.stuck_job_webhook.as_deref(), Some("https://chat.example/hook"));
    assert_eq!(config.release.as_deref(), Some("v42 1a2b3c4"));
    assert!(config.webhook_allow_private && config.webhook_key.is_some() && config.dyno);
}

#[test]
fn a_flag_is_a_word_or_a_digit() {
    for (value, set) in [("true", true), ("1", true), ("false", false), ("0", false), ("", false)] {
        let config =
            config(&[("WORKER_EMBEDDED", value), ("WEBHOOK_ALLOW_PRIVATE", value)]).unwrap();
        assert_eq!((config.embedded, config.webhook_allow_private), (set, set), "{value:?}");
    }
}

#[test]
fn a_bad_value_is_one_line_that_names_the_variable_and_hides_the_value() {
    for (name, value) in [
        ("PORT", "0"),
        ("PORT", "s3cret"),
        ("PORT", "65536"),
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", "10001"),
        ("CONCURRENCY", "-1"),
        ("SHUTDOWN_TIMEOUT", "25s"),
        ("JOB_TIMEOUT", "-1"),
        ("STALL_TIMEOUT", "1m"),
        ("MEMORY_LIMIT_MB", "-1"),
        ("LOG_FORMAT", "s3cret"),
        ("WEBHOOK_ALLOW_PRIVATE", "yes"),
        ("WORKER_EMBEDDED", "2"),
        ("STUCK_JOB_WEBHOOK", "s3cret"),
        ("STUCK_JOB_WEBHOOK", "ftp://s3cret/"),
        ("WEBHOOK_SECRET", "whsec_s3cret!"),
        ("WEBHOOK_SECRET", "s3cret\u{7f}"),
        ("API_TOKEN", "s3cret token"),
        ("HIREFIRE_TOKEN", "s3cret token"),
        ("DASHBOARD_USER", "s3cret:s3cret"),
        ("DASHBOARD_USER", "s3cret"),
        ("WORKER_HEALTH_PORT", "s3cret"),
        ("WORKER_HEALTH_PORT", "0"),
        ("REDIS_TLS_VERIFY", "s3cret"),
        ("REDIS_TLS_VERIFY", "sha256:00"),
        ("REDIS_PROVIDER", "redis://:s3cret@h:1"),
        ("REDIS_PROVIDER", "NOT_SET"),
        ("REDIS_URL", "http://:s3cret@h:1"),
        ("REDIS_URL", "s3cret"),
        ("QUEUES", "a:x"),
        ("QUEUES", "a:5,s3cret:0"),
        ("QUEUE_LIMITS", "s3cret"),
        ("QUEUE_LIMITS", "a:5,s3cret:0"),
        ("QUEUE_LIMITS", "s3cret:5/d"),
    ] {
        let line = refusal(&[(name, value)]);
        assert!(line.contains(name), "{line} does not name {name}");
        assert!(!line.contains("s3cret") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn a_user_alone_is_no_login() {
    assert!(config(&[("DASHBOARD_PASSWORD", "p")]).unwrap().login.is_some());
    let both = [("DASHBOARD_USER", "u"), ("DASHBOARD_PASSWORD", "p")];
    assert!(config(&both).unwrap().login.is_some());
    assert!(refusal(&both[..1]).contains("DASHBOARD_PASSWORD"));
}

#[test]
fn one_process_cannot_listen_twice_on_a_port() {
    let vars = [("PORT", "7000"), ("WORKER_HEALTH_PORT", "7000"), ("WORKER_EMBEDDED", "1")];
    assert!(refusal(&vars).starts_with("WORKER_HEALTH_PORT"));
    // but two of them can be told the same
    let config = config(&vars[..2]).unwrap();
    assert_eq!(config.health_port, Some(7000));
    assert!(config.worker_options().measure_waits);
}

#[test]
fn a_dyno_without_redis_is_told_the_command() {
    let line = refusal(&[("DYNO", "web.1")]);
    assert!(line.contains("heroku addons:create heroku-redis:mini"), "{line}");
}
