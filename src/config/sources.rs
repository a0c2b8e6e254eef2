//! Where a setting's value comes from: flag, environment, file, default, in this order.

use std::fmt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

/// The names of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// In the configuration file.
    pub(crate) key: &'static str,
    /// In the environment.
    pub(crate) env: &'static str,
    /// On the command line, where it has a flag. Secrets have none: other users of the machine see command lines.
    pub(crate) flag: Option<&'static str>,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flag {
            Some(flag) => write!(f, "{} (--{flag})", self.env),
            None => f.write_str(self.env),
        }
    }
}

/// Which source a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Environment,
    File,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::File => "file",
            Origin::Default => "default",
        })
    }
}

/// What is wrong with the configuration: one line that names the setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{setting}: {given:?} {problem}")]
    Value { setting: Setting, given: String, problem: String },
    #[error("{setting}: {problem}")]
    Secret { setting: Setting, problem: String },
    #[error("configuration file {}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
}

/// One line of the report that `check-config` prints.
#[derive(Debug)]
pub(crate) struct ReportLine {
    pub(crate) setting: Setting,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Reads settings one after the other and remembers what it read for the report.
#[derive(Debug)]
pub(crate) struct Sources {
    file: toml::Table,
    file_path: Option<PathBuf>,
    environment: fn(&str) -> Option<String>,
    report: Vec<ReportLine>,
}

impl Sources {
    /// Over the file at `path`, if one was named, and the environment.
    pub(crate) fn open(path: Option<&Path>, environment: fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let file = match path {
            None => toml::Table::new(),
            Some(path) => {
                let fail = |problem: String| ConfigError::File { path: path.to_owned(), problem };
                let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
                text.parse().map_err(|error: toml::de::Error| fail(error.to_string().replace('\n', " ")))?
            }
        };
        Ok(Sources { file, file_path: path.map(Path::to_owned), environment, report: Vec::new() })
    }

    fn raw(&mut self, setting: Setting, flag: Option<&str>) -> Result<Option<(String, Origin)>, ConfigError> {
        // The file's value is taken out in any case: what is left at the end are unknown keys.
        let from_file = match self.file.remove(setting.key) {
            None => None,
            Some(value) => Some(self.file_text(setting, value)?),
        };
        let from_environment = (self.environment)(setting.env).filter(|value| !value.is_empty());
        Ok(flag
            .map(|value| (value.to_owned(), Origin::Flag))
            .or(from_environment.map(|value| (value, Origin::Environment)))
            .or(from_file.map(|value| (value, Origin::File))))
    }

    /// A value of the file in the form that flags and environment use: lists are joined by commas.
    fn file_text(&self, setting: Setting, value: toml::Value) -> Result<String, ConfigError> {
        let fail = |problem: &str| ConfigError::File {
            path: self.file_path.clone().unwrap_or_default(),
            problem: format!("{} {problem}", setting.key),
        };
        match value {
            toml::Value::String(text) => Ok(text),
            toml::Value::Integer(number) => Ok(number.to_string()),
            toml::Value::Boolean(is_on) => Ok(is_on.to_string()),
            toml::Value::Array(items) => {
                let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
                Ok(texts.ok_or_else(|| fail("must be a list of strings"))?.join(","))
            }
            _ => Err(fail("must be a string, a number or a list of strings")),
        }
    }

    /// A variable of the environment that is no setting of Kapsel's own.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// Reads a setting. `parse` turns the text into the value or says what is wrong with it.
    pub(crate) fn read<T>(
        &mut self,
        setting: Setting,
        flag: Option<&str>,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let (text, origin) = self.raw(setting, flag)?.unwrap_or((default.to_owned(), Origin::Default));
        let value = parse(&text).map_err(|problem| ConfigError::Value { setting, given: text.clone(), problem })?;
        self.report.push(ReportLine { setting, value: text, origin });
        Ok(value)
    }

    /// Reads a secret setting; the report says only whether it is set.
    pub(crate) fn read_secret<T>(
        &mut self,
        setting: Setting,
        unset: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((text, origin)) = self.raw(setting, None)? else {
            self.report.push(ReportLine { setting, value: unset.to_owned(), origin: Origin::Default });
            return Ok(None);
        };
        let value = parse(&text).map_err(|problem| ConfigError::Secret { setting, problem })?;
        self.report.push(ReportLine { setting, value: "(set, hidden)".to_owned(), origin });
        Ok(Some(value))
    }

    /// Ends the reading: what is left in the file are keys that no setting has.
    pub(crate) fn finish(self) -> Result<Vec<ReportLine>, ConfigError> {
        match self.file.keys().next() {
            None => Ok(self.report),
            Some(key) => Err(ConfigError::File {
                path: self.file_path.unwrap_or_default(),
                problem: format!("unknown setting {key:?}"),
            }),
        }
    }
}

/// Parses a whole number within bounds.
pub(crate) fn number(text: &str, bounds: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let problem = || format!("is not a whole number from {} to {}", bounds.start(), bounds.end());
    let value: u64 = text.trim().parse().map_err(|_| problem())?;
    if bounds.contains(&value) { Ok(value) } else { Err(problem()) }
}

/// The entries of a list that is separated by commas.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Parses address ranges that are separated by commas; a lone address is a range of one.
pub(crate) fn ranges(text: &str) -> Result<Vec<IpNet>, String> {
    let range = |entry: &str| {
        let address = entry.parse::<std::net::IpAddr>().map(IpNet::from);
        entry
            .parse()
            .or(address)
            .map_err(|_| format!("has {entry:?}, which is not an address range such as 10.0.0.0/8 or ::1/128"))
    };
    entries(text).map(range).collect()
}
