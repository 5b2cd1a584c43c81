//! `app.json`: what Heroku's schema and Dev Center ask of it, and what the programs and the Procfile do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::json_schema::faults;
use crate::support::{Redis, Web};

pub fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&file(name)).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The process types of the Procfile.
pub fn process_types(procfile: &str) -> BTreeSet<&str> {
    procfile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect()
}

#[test]
fn it_is_valid_by_herokus_schema() {
    let schema = json("tests/fixtures/heroku/app-json.schema.json");
    let app = json("app.json");
    assert_eq!(faults(&schema, &app), [""; 0]);
    // it would have told
    for (place, wrong) in [
        ("/stack", json!("heroku-16")),
        ("/env/API_TOKEN/generator", json!("uuid")),
        ("/env/API_TOKEN", json!("a string")),
        ("/env/API_TOKEN", json!({ "secret": true })),
        ("/formation/web", json!({ "size": "basic" })),
        ("/formation/web/quantity", json!(-1)),
        ("/formation/web/size", json!("enormous")),
        ("/addons/0", json!({ "as": "REDIS" })),
        ("/buildpacks/0", json!("heroku/ruby")),
        ("/environments", json!({ "staging": {} })),
        ("/environments/test/scripts", json!({ "test": ["a"] })),
        ("/keywords", json!("rust")),
        ("/name", json!("1")),
    ] {
        let mut broken = app.clone();
        *broken.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = wrong;
        assert_ne!(faults(&schema, &broken), [""; 0], "{place}");
    }
}

#[test]
fn it_keeps_what_the_dev_center_asks_for_besides() {
    let app = json("app.json");
    assert!(app["name"].as_str().unwrap().len() <= 30);
    assert!(
        keys(&app).is_disjoint(&["website", "repository", "logo"].into()),
        "not known: each clone has its own"
    );
    let procfile = file("Procfile");
    assert_eq!(keys(&app["formation"]), process_types(&procfile));
    for (name, of) in app["formation"].as_object().unwrap() {
        assert!(of["size"].is_string(), "{name}: sizes are not to be mixed by chance");
    }
    assert!(app["addons"][0]["plan"].as_str().unwrap().starts_with("heroku-redis:"));
    // `required` is true unless said otherwise, and then the button's form waits for a value
    for (name, of) in app["env"].as_object().unwrap() {
        let filled = of["value"].is_string() || of["generator"].is_string();
        assert!(filled || of["required"] == json!(false), "{name}");
        assert!(of["description"].is_string(), "{name}");
    }
    let test = &app["environments"]["test"];
    assert!(test["scripts"]["test"].as_str().unwrap().ends_with("&& bin/test"));
}

/// A section of `environments` is taken in the place of the one above it, not in addition to it.
#[test]
fn a_review_app_repeats_what_it_needs() {
    let app = json("app.json");
    let review = &app["environments"]["review"];
    for (name, of) in app["env"].as_object().unwrap() {
        for how in ["value", "generator"].into_iter().filter(|how| of[how].is_string()) {
            assert_eq!(review["env"][name][how], of[how], "{name}");
        }
    }
    assert!(keys(&review["env"]).is_subset(&keys(&app["env"])));
    // one dyno for both, and so no other
    assert_eq!(review["env"]["WORKER_EMBEDDED"]["value"], "true");
    assert_eq!(keys(&review["formation"]), ["web"].into());
}

/// What somebody may put into the fields that are empty.
const SAMPLES: [(&str, &str); 6] = [
    ("CONCURRENCY", "5"),
    ("DASHBOARD_USER", "ops"),
    ("HIREFIRE_TOKEN", "0123456789abcdef"),
    ("MEMORY_LIMIT_MB", "450"),
    ("STUCK_JOB_WEBHOOK", "https://hooks.example.com/services/x"),
    ("WORKER_EMBEDDED", "true"),
];

/// 64 hexadecimal digits.
const SECRET: &str = "8a4f0c5b7d6e3f2a1b0c9d8e7f6a5b4c8a4f0c5b7d6e3f2a1b0c9d8e7f6a5b4c";

/// A variable as a new app gets it.
fn setting<'a>((name, of): (&'a String, &'a Value)) -> (&'a str, &'a str) {
    let sample = || SAMPLES.into_iter().find(|(known, _)| known == name);
    let value = match of["generator"].is_string() {
        true => Some(SECRET),
        false => of["value"].as_str().or_else(|| sample().map(|(_, value)| value)),
    };
    (name, value.unwrap_or_else(|| panic!("{name}: no sample of a value")))
}

#[test]
fn every_variable_is_one_that_the_programs_know_and_take() {
    let redis = Redis::start();
    let dokku = json("ops/dokku.json");
    let app = json("app.json");
    for env in [&app["env"], &app["environments"]["review"]["env"], &dokku["env"]] {
        let settings: Vec<_> = env.as_object().unwrap().iter().map(setting).collect();
        for (name, _) in &settings {
            assert!(known(name), "{name} is no setting");
        }
        let web = Web::ready(&redis, &settings);
        assert_eq!(web.get("/records").status, 401, "the token is asked for");
    }
}

/// Whether `src/config.rs` reads it.
pub fn known(variable: &str) -> bool {
    let source = file("src/config.rs");
    let field = format!("\n    {}: Option<String>", variable.to_lowercase());
    source.contains(&field)
        || source.contains(&format!("(\"{variable}\""))
        || source.contains(&format!("\"{variable}\","))
}

/// Dokku reads another file: a `formation` would take `ps:scale` away, and Heroku's schema has no
/// health checks.
#[test]
fn dokkus_file_sets_the_same_secrets_and_no_formation() {
    let dokku = json("ops/dokku.json");
    assert_eq!(keys(&dokku), ["env", "healthchecks"].into());
    let app = json("app.json");
    let secrets = app["env"].as_object().unwrap().iter();
    let secrets = secrets.filter(|(_, of)| of["generator"].is_string());
    assert_eq!(keys(&dokku["env"]), secrets.map(|(name, _)| name.as_str()).collect());
    for (name, of) in dokku["env"].as_object().unwrap() {
        assert_eq!(of, &app["env"][name]);
    }
    let redis = Redis::absent();
    let web = Web::start(&redis, &[("API_TOKEN", "x")]);
    for check in dokku["healthchecks"]["web"].as_array().unwrap() {
        assert_eq!(web.get(check["path"].as_str().unwrap()).status, 200);
    }
}
