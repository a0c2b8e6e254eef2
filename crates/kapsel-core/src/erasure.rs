//! An erasure: a job that takes away what webhooks and their attempts held. Where it stands, and who wanted it.

use std::fmt;
use std::str::FromStr;

use crate::delivery::UnknownWord;
use crate::ids::ApiKeyId;

/// Where an erasure stands. It cannot be paused or ended by anybody: what is to be erased is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErasureState {
    /// Its next step is made when it is due.
    Running,
    /// Everything that it is about is erased.
    Completed,
}

impl ErasureState {
    /// Every state, in the order of a life.
    pub const ALL: &'static [ErasureState] = &[ErasureState::Running, ErasureState::Completed];

    /// The word that the API shows and stores keep.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErasureState::Running => "running",
            ErasureState::Completed => "completed",
        }
    }
}

impl fmt::Display for ErasureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErasureState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = ErasureState::ALL.iter().find(|state| state.as_str() == text);
        known.copied().ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// Who wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Requester {
    /// Whoever has the operator's key.
    Operator,
    /// Whoever has this key.
    Key(ApiKeyId),
}

impl Requester {
    /// From the key that is stored; none is the operator.
    pub const fn from_key(key: Option<ApiKeyId>) -> Self {
        match key {
            None => Requester::Operator,
            Some(id) => Requester::Key(id),
        }
    }

    /// The key, unless it was the operator.
    pub const fn key(self) -> Option<ApiKeyId> {
        match self {
            Requester::Operator => None,
            Requester::Key(id) => Some(id),
        }
    }
}

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Requester::Operator => f.write_str("operator"),
            Requester::Key(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_parse_back() {
        for state in ErasureState::ALL {
            assert_eq!(state.as_str().parse::<ErasureState>().unwrap(), *state);
        }
        assert!("paused".parse::<ErasureState>().is_err());
    }

    #[test]
    fn requesters_are_named() {
        assert_eq!(Requester::from_key(None).to_string(), "operator");
        let key = Requester::from_key(Some(ApiKeyId::MIN));
        assert_eq!(key.to_string(), ApiKeyId::MIN.to_string());
        assert_eq!(key.key(), Some(ApiKeyId::MIN));
    }
}
