//! Reading JSON input field by field, collecting everything that is wrong with it.
//!
//! Each reader returns `None` for a field that is left out (or `null`) and for one that is wrong; the latter is noted.
//! So a reader goes on to the end whatever it meets, and at the end [`Problems::into_result`] says whether it was fine.
//!
//! A wrong value is shown back where that helps, but never one that is or could be a secret: secrets are read by
//! [`Object::secret`], and the values of unknown fields are not shown, since a misspelt `signing_secret` is one.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;

use kapsel_core::Timestamp;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::problem::{FieldProblem, Problem};

/// Values that are shown back are cut off behind so many characters.
const GIVEN_CHARS_MAX: usize = 200;
/// The longest name, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 200;
/// What times must be.
pub(crate) const TIME_PROBLEM: &str = "must be an RFC 3339 time, such as 2026-01-02T03:04:05Z";

/// What is wrong, in the order in which it was found.
#[derive(Default)]
pub(crate) struct Problems(RefCell<Vec<FieldProblem>>);

impl Problems {
    /// Notes a problem without showing the value.
    pub(crate) fn add(&self, path: impl Into<String>, problem: impl Display) {
        self.note(path.into(), problem.to_string(), None);
    }

    /// Notes a problem and shows the value.
    pub(crate) fn add_given(&self, path: impl Into<String>, problem: impl Display, given: &Value) {
        let given = match given {
            Value::String(text) => Some(Value::String(text.chars().take(GIVEN_CHARS_MAX).collect())),
            Value::Bool(_) | Value::Number(_) => Some(given.clone()),
            // A list or an object could have anything in it.
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        self.note(path.into(), problem.to_string(), given);
    }

    fn note(&self, path: String, problem: String, given: Option<Value>) {
        self.0.borrow_mut().push(FieldProblem { path, problem, given });
    }

    /// Whether nothing is wrong at or below `path`.
    pub(crate) fn is_fine(&self, path: &str) -> bool {
        let is_at_or_below = |problem: &FieldProblem| {
            let rest = problem.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        !self.0.borrow().iter().any(is_at_or_below)
    }

    /// 422 with all problems, if there are any.
    pub(crate) fn into_result(self) -> Result<(), Problem> {
        let fields = self.0.into_inner();
        if fields.is_empty() { Ok(()) } else { Err(Problem::validation(fields)) }
    }
}

/// A JSON object that is being read.
pub(crate) struct Object<'a> {
    map: &'a Map<String, Value>,
    path: String,
    problems: &'a Problems,
}

impl<'a> Object<'a> {
    /// The whole body; `known` are the fields that it may have.
    pub(crate) fn root(value: &'a Value, known: &[&str], problems: &'a Problems) -> Option<Self> {
        Object::new(value, String::new(), known, problems)
    }

    fn new(value: &'a Value, path: String, known: &[&str], problems: &'a Problems) -> Option<Self> {
        let Value::Object(map) = value else {
            problems.add(path, "must be a JSON object");
            return None;
        };
        let object = Object { map, path, problems };
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            problems.add(object.path_of(name), format!("unknown field; known are {}", known.join(", ")));
        }
        Some(object)
    }

    /// Where the field `name` stands.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether the field is there and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether the field is there and `null`.
    pub(crate) fn is_null(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(Value::is_null)
    }

    /// All fields with their values, `null` included.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.map.iter().map(|(name, value)| (name.as_str(), value))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Notes a problem with the field `name` and shows its value.
    pub(crate) fn refuse(&self, name: &str, problem: impl Display) {
        self.problems.add_given(self.path_of(name), problem, self.get(name).unwrap_or(&Value::Null));
    }

    /// An object; `known` are the fields that it may have.
    pub(crate) fn object(&self, name: &str, known: &[&str]) -> Option<Object<'a>> {
        Object::new(self.get(name)?, self.path_of(name), known, self.problems)
    }

    /// An object with any fields.
    pub(crate) fn open_object(&self, name: &str) -> Option<Object<'a>> {
        let value = self.get(name)?;
        let known: Vec<&str> = value.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
        Object::new(value, self.path_of(name), &known, self.problems)
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        let text = self.get(name)?.as_str();
        if text.is_none() {
            self.refuse(name, "must be a text");
        }
        text
    }

    /// A name for people.
    pub(crate) fn name(&self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        if text.chars().count() > NAME_CHARS_MAX || text.chars().any(char::is_control) {
            self.refuse(name, format!("must have at most {NAME_CHARS_MAX} characters and no control characters"));
        }
        Some(text.to_owned())
    }

    /// A moment.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        self.parsed(name, TIME_PROBLEM, |text| text.parse().ok())
    }

    /// Notes that a field has to be there, if it is not.
    pub(crate) fn require(&self, name: &str) {
        if !self.has(name) {
            self.problems.add(self.path_of(name), "is required");
        }
    }

    /// A text that `parse` understands; `problem` says what it must be.
    pub(crate) fn parsed<T>(&self, name: &str, problem: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.get(name)?.as_str().and_then(parse);
        if value.is_none() {
            self.refuse(name, problem);
        }
        value
    }

    /// A text that is secret: never shown, whatever is wrong with it.
    pub(crate) fn secret(&self, name: &str) -> Option<SecretString> {
        secret(self.get(name)?, self.path_of(name), self.problems)
    }

    /// A list of secret texts with their places in it. Those that are none are noted and left out.
    pub(crate) fn secrets(&self, name: &str) -> Option<Vec<(usize, SecretString)>> {
        let path = self.path_of(name);
        let Value::Array(list) = self.get(name)? else {
            self.problems.add(path, "must be a list of texts");
            return None;
        };
        let read = |(index, value)| Some((index, secret(value, format!("{path}[{index}]"), self.problems)?));
        Some(list.iter().enumerate().filter_map(read).collect())
    }

    /// A whole number within `range`.
    pub(crate) fn whole<N: Whole>(&self, name: &str, range: RangeInclusive<N>) -> Option<N> {
        whole(self.get(name)?, &range).or_else(|| {
            self.refuse(name, must_be_whole(&range));
            None
        })
    }

    /// A number within `range`.
    pub(crate) fn number(&self, name: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let number = self.get(name)?.as_f64().filter(|number| range.contains(number));
        if number.is_none() {
            self.refuse(name, format!("must be a number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A list of whole numbers within `range`. Those that are none are noted and left out.
    pub(crate) fn wholes(&self, name: &str, range: RangeInclusive<u32>) -> Option<Vec<u32>> {
        let Value::Array(list) = self.get(name)? else {
            self.refuse(name, "must be a list of whole numbers");
            return None;
        };
        let read = |(index, value)| {
            whole(value, &range).or_else(|| {
                self.problems.add_given(format!("{}[{index}]", self.path_of(name)), must_be_whole(&range), value);
                None
            })
        };
        Some(list.iter().enumerate().filter_map(read).collect())
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.get(name)?;
        let found = words.iter().find(|(word, _)| Some(*word) == value.as_str());
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(name, format!("must be one of {}", known.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A list of a few words, at least one. Those that are not known are noted and left out.
    pub(crate) fn words<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let list = self.get(name)?.as_array().filter(|list| !list.is_empty());
        let Some(list) = list else {
            self.refuse(name, "must be a list of at least one word");
            return None;
        };
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let read = |(index, value): (usize, &Value)| {
            let found = words.iter().find(|(word, _)| Some(*word) == value.as_str());
            if found.is_none() {
                let problem = format!("must be one of {}", known.join(", "));
                self.problems.add_given(format!("{}[{index}]", self.path_of(name)), problem, value);
            }
            found.map(|(_, meaning)| *meaning)
        };
        Some(list.iter().enumerate().filter_map(read).collect())
    }
}

fn secret(value: &Value, path: String, problems: &Problems) -> Option<SecretString> {
    let text = value.as_str().filter(|text| !text.is_empty());
    if text.is_none() {
        problems.add(path, "must be a text that is not empty");
    }
    text.map(SecretString::from)
}

/// The kinds of whole numbers that are read.
pub(crate) trait Whole: TryFrom<u64> + PartialOrd + Display {}

impl Whole for u32 {}
impl Whole for u64 {}

fn whole<N: Whole>(value: &Value, range: &RangeInclusive<N>) -> Option<N> {
    let number = value.as_u64().or_else(|| value.as_f64().and_then(whole_of));
    number.and_then(|number| N::try_from(number).ok()).filter(|number| range.contains(number))
}

/// A number that is whole though it is written with a fraction, such as `30.0`: JSON knows one kind of numbers, and some
/// writers make all of theirs so. Up to 2^53, from where on not every whole number can be told from its neighbours.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative, at most 2^53")]
fn whole_of(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
    is_whole.then_some(number as u64)
}

fn must_be_whole(range: &RangeInclusive<impl Whole>) -> String {
    format!("must be a whole number from {} to {}", range.start(), range.end())
}
