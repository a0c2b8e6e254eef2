//! One value out of a JSON text, without building the rest of it in memory.
//!
//! A body may be tens of megabytes that a stranger chose; as a tree of values it would take a multiple of that. So the
//! text is walked once, everything off the path is skipped, and what is found is borrowed where it can be.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The longest pointer, in bytes.
pub const POINTER_BYTES_MAX: usize = 1_024;

/// A value that can serve as a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A whole number within 64 bits, in decimal digits. Other numbers are left out: read as floating point, two that
    /// differ could become the same.
    Integer(String),
}

/// Whether `text` is a JSON pointer (RFC 6901, section 3) of a sensible length: empty for the whole document, or names
/// that each have a `/` before them, in which `~` occurs as `~0` and `~1` only.
pub(super) fn is_pointer(text: &str) -> bool {
    let escapes_are_whole = text.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
    text.len() <= POINTER_BYTES_MAX && (text.is_empty() || text.starts_with('/')) && escapes_are_whole
}

/// The string or whole number that `pointer` finds in `json`; `None` if there is none, or if `json` is not JSON. Of
/// several members of one name the last counts, as with nearly every parser that a destination could use.
pub(super) fn find_scalar<'a>(json: &'a [u8], pointer: &str) -> Option<Scalar<'a>> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let found = Walk { pointer }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    found
}

/// Reads one value and follows the rest of a pointer into it.
struct Walk<'p> {
    pointer: &'p str,
}

impl<'p> Walk<'p> {
    /// The next name of the pointer, unescaped, and the walk behind it; `None` at the pointer's end.
    fn step(&self) -> Option<(Cow<'p, str>, Walk<'p>)> {
        let rest = self.pointer.strip_prefix('/')?;
        let (name, pointer) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // In this order: `~01` means `~1`, not `/` (RFC 6901, section 4).
        let name = if name.contains('~') { name.replace("~1", "/").replace("~0", "~").into() } else { name.into() };
        Some((name, Walk { pointer }))
    }

    fn at_end<'de>(&self, scalar: Scalar<'de>) -> Option<Scalar<'de>> {
        self.pointer.is_empty().then_some(scalar)
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<Scalar<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<Scalar<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let step = self.step();
        let wanted = step.as_ref().map(|(name, _)| &**name);
        while let Some(is_wanted) = map.next_key_seed(Is(wanted))? {
            match &step {
                Some((_, walk)) if is_wanted => found = map.next_value_seed(Walk { pointer: walk.pointer })?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let step = self.step().and_then(|(name, walk)| Some((parse_index(&name)?, walk)));
        if let Some((index, walk)) = step {
            for _ in 0..index {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            found = seq.next_element_seed(walk)?.flatten();
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(self.at_end(Scalar::Text(text.into())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.at_end(Scalar::Text(text.to_owned().into())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(self.at_end(Scalar::Integer(number.to_string())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.at_end(Scalar::Integer(number.to_string())))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Reads a member's name and tells whether it is the wanted one, without keeping it.
struct Is<'n>(Option<&'n str>);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(self.0 == Some(name))
    }
}

/// An index into an array: digits without leading zeros (RFC 6901, section 4).
fn parse_index(name: &str) -> Option<usize> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if is_plain { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn find(json: &str, pointer: &str) -> Option<String> {
        find_scalar(json.as_bytes(), pointer).map(|scalar| match scalar {
            Scalar::Text(text) => format!("text {text}"),
            Scalar::Integer(digits) => format!("integer {digits}"),
        })
    }

    /// The document of RFC 6901, section 5, with strings in place of some of its numbers.
    #[test]
    fn pointers_of_the_rfc_are_followed() {
        let json = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        let cases = [
            ("", None),
            ("/foo", None),
            ("/foo/0", Some("text bar")),
            ("/foo/1", Some("text baz")),
            ("/foo/2", None),
            ("/foo/00", None),
            ("/foo/-", None),
            ("/foo/+0", None),
            ("/foo/", None),
            ("/foo/99999999999999999999999", None),
            ("/foo/0/x", None),
            ("/", Some("integer 0")),
            ("/a~1b", Some("integer 1")),
            ("/c%d", Some("integer 2")),
            ("/e^f", Some("integer 3")),
            ("/g|h", Some("integer 4")),
            ("/i\\j", Some("integer 5")),
            ("/k\"l", Some("integer 6")),
            ("/ ", Some("integer 7")),
            ("/m~0n", Some("integer 8")),
            ("/m~01n", None),
            ("/absent", None),
        ];
        for (pointer, expected) in cases {
            assert_eq!(find(json, pointer).as_deref(), expected, "{pointer:?}");
        }
    }

    #[test]
    fn only_strings_and_whole_numbers_of_valid_json_are_found() {
        let cases = [
            (r#"{"a":"x"}"#, Some("text x")),
            (r#"{"a":"xéy"}"#, Some("text xéy")),
            (r#"{"a":"x\u00e9\ny"}"#, Some("text xé\ny")),
            (r#"{"\u0061":"x"}"#, Some("text x")),
            (r#"{"a":""}"#, Some("text ")),
            (r#"{"a":-7}"#, Some("integer -7")),
            (r#"{"a":18446744073709551615}"#, Some("integer 18446744073709551615")),
            // These two would be the same as floating point.
            (r#"{"a":100000000000000000000000}"#, None),
            (r#"{"a":100000000000000000000001}"#, None),
            (r#"{"a":1.0}"#, None),
            (r#"{"a":1e3}"#, None),
            (r#"{"a":true}"#, None),
            (r#"{"a":null}"#, None),
            (r#"{"a":{"a":"x"}}"#, None),
            (r#"{"a":["x"]}"#, None),
            (r#"{"b":{"a":"x"}}"#, None),
            (r#"[{"a":"x"}]"#, None),
            (r#"{"a":"first","a":"last"}"#, Some("text last")),
            (r#"{"a":"first","a":null}"#, None),
            (r#" {"a":"x"} "#, Some("text x")),
            (r#"{"a":"x"} trailing"#, None),
            (r#"{"a":"x""#, None),
            (r#"{"a":"x","b":}"#, None),
            (r#"{"a":"\ud800"}"#, None),
            ("a=x", None),
            ("", None),
        ];
        for (json, expected) in cases {
            assert_eq!(find(json, "/a").as_deref(), expected, "{json}");
        }
        assert_eq!(find_scalar(b"{\"a\":\"\xff\"}", "/a"), None);
        assert_eq!(find("\"whole\"", "").as_deref(), Some("text whole"));
        assert_eq!(find(r#"{"/":"slash","~1":"tilde"}"#, "/~01").as_deref(), Some("text tilde"));
    }

    #[test]
    fn deep_nesting_ends_without_a_stack_overflow() {
        let json = format!("{{\"a\":\"x\",\"b\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let _ = find(&json, "/a");
        let _ = find(&json, "/b/0/0/0");
        let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        assert_eq!(find(&deep, &"/a".repeat(10_000)), None);
    }

    #[test]
    fn pointers_are_told_from_other_texts() {
        for text in ["", "/", "/a", "/a/0", "/a~0b~1c", "//", "/~1~0"] {
            assert!(is_pointer(text), "{text}");
        }
        let long = "/".repeat(POINTER_BYTES_MAX + 1);
        for text in ["a", "a/b", "#/a", "/~", "/a~", "/a~2", "/~~0", " /a", &long] {
            assert!(!is_pointer(text), "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "[a-c\"\\\\\n é]{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::hash_map("[ab/~]{0,2}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// serde_json's own pointers, on the whole tree, find the same.
        #[test]
        fn agrees_with_pointers_into_a_tree(json in any_json(), pointer in "(/([ab]|~0|~1|[0-4]){0,2}){0,4}") {
            let expected = match json.pointer(&pointer) {
                Some(Value::String(text)) => Some(format!("text {text}")),
                Some(Value::Number(number)) => Some(format!("integer {number}")),
                _ => None,
            };
            prop_assert_eq!(find(&json.to_string(), &pointer), expected);
        }

        #[test]
        fn any_bytes_and_pointers_are_survived(bytes in any::<Vec<u8>>(), pointer in ".{0,20}") {
            let _ = find_scalar(&bytes, &pointer);
            let _ = is_pointer(&pointer);
        }
    }
}
