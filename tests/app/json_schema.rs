//! As much of JSON Schema (draft 7) as Heroku's schema of `app.json` uses. A keyword that is not
//! known here is an error, so that a newer schema is not half understood.

use serde_json::Value;

/// What is wrong with a value, each with the place.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    Check { root: schema, faults: &mut faults }.value(schema, value, "$");
    faults
}

struct Check<'a> {
    root: &'a Value,
    faults: &'a mut Vec<String>,
}

impl Check<'_> {
    fn value(&mut self, schema: &Value, value: &Value, at: &str) {
        for (keyword, rule) in schema.as_object().expect("a schema") {
            let good = match keyword.as_str() {
                "$schema" | "title" | "description" | "definitions" => true,
                // where the properties are
                "patternProperties" | "additionalProperties" => true,
                "properties" => {
                    self.properties(schema, value, at);
                    true
                }
                "$ref" => {
                    let path = rule.as_str().unwrap().trim_start_matches('#');
                    self.value(self.root.pointer(path).expect(path), value, at);
                    true
                }
                "allOf" => {
                    rule.as_array().unwrap().iter().for_each(|each| self.value(each, value, at));
                    true
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(rule, item, &format!("{at}[{index}]"));
                    }
                    true
                }
                "oneOf" => {
                    let fits = |each: &&Value| self.root_faults(each, value).is_empty();
                    rule.as_array().unwrap().iter().filter(fits).count() == 1
                }
                "required" => rule.as_array().unwrap().iter().all(|name| {
                    value.as_object().is_none_or(|it| it.contains_key(name.as_str().unwrap()))
                }),
                "type" => is_a(rule.as_str().unwrap(), value),
                "enum" => rule.as_array().unwrap().contains(value),
                "minimum" => value.as_i64() >= rule.as_i64(),
                "maxLength" => {
                    value.as_str().is_none_or(|it| it.len() as u64 <= rule.as_u64().unwrap())
                }
                "pattern" => value.as_str().is_none_or(|it| matches(rule.as_str().unwrap(), it)),
                "format" => value.as_str().is_none_or(|it| url::Url::parse(it).is_ok()),
                other => panic!("the schema has a keyword that is not known here: {other}"),
            };
            if !good {
                self.faults.push(format!("{at}: {keyword} {rule}"));
            }
        }
        if schema.get("properties").is_none() && schema.get("patternProperties").is_some() {
            self.properties(schema, value, at);
        }
    }

    fn properties(&mut self, schema: &Value, value: &Value, at: &str) {
        for (name, property) in value.as_object().into_iter().flatten() {
            let at = format!("{at}.{name}");
            let patterns = schema.get("patternProperties").and_then(Value::as_object);
            let mut rules =
                patterns.into_iter().flatten().filter(|(pattern, _)| matches(pattern, name));
            let named = schema.get("properties").and_then(|it| it.get(name));
            match named.or_else(|| rules.next().map(|(_, rule)| rule)) {
                Some(rule) => self.value(rule, property, &at),
                None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                    self.faults.push(format!("{at}: not a key that may be here"));
                }
                None => {}
            }
        }
    }

    fn root_faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        Check { root: self.root, faults: &mut faults }.value(schema, value, "");
        faults
    }
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the schema has a type that is not known here: {other}"),
    }
}

/// The patterns of the schema, each by hand.
fn matches(pattern: &str, text: &str) -> bool {
    let mut bytes = text.bytes();
    let all = |good: fn(u8) -> bool| !text.is_empty() && text.bytes().all(good);
    match pattern {
        r"^[a-zA-Z-_\.]+" => {
            bytes.next().is_some_and(|it| it.is_ascii_alphabetic() || b"-_.".contains(&it))
        }
        "^[A-Z][A-Z0-9_]*$" => {
            bytes.next().is_some_and(|it| it.is_ascii_uppercase())
                && bytes.all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_')
        }
        "^[a-zA-Z0-9_-]+$" => all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it)),
        other => panic!("the schema has a pattern that is not known here: {other}"),
    }
}
