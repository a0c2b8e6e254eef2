//! Whose signatures are enough: the policy file of C2SP tlog-policy.
//!
//! It lists keys of logs and of witnesses, and says which of the witnesses have to have cosigned. A file is read whole
//! or refused: keys of types that this library does not know are an error, because a quorum that leaves them out would
//! be another quorum than the one that was written.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::decimal;
use crate::key::{KeyError, KeyType, VerifierKey};
use crate::note::VerifiedSignature;

/// Policy files are no longer than this: room for a few thousand keys.
pub const POLICY_BYTES_MAX: usize = 512 * 1024;

/// A policy that was read. Groups refer to what stands above them only, so there are no circles, and they are evaluated
/// in their order without any nesting. The default has no logs and no witnesses, and asks for none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<VerifierKey>,
    groups: Vec<Group>,
    /// None where no cosignature is asked for.
    quorum: Option<Member>,
}

/// A rule over some members: at least `threshold` of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<Member>,
}

/// What a name stands for, as an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// Why something is not a policy, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy")]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub fault: PolicyFault,
}

/// What can be wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// The file is too long.
    #[error("the policy has {0} bytes; {POLICY_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A byte is a control character that is neither tab nor newline.
    #[error("the control character {0:#04x} is not allowed")]
    ControlCharacter(u8),
    /// The last line has no newline: it may have been cut off.
    #[error("the last line does not end with a newline")]
    Unterminated,
    /// The first word of the line is none of those known.
    #[error("a line starts with log, witness, group or quorum, or is a comment")]
    Keyword,
    /// The line has too few or too many words.
    #[error("the line has too few or too many words")]
    Words,
    /// The word is not a key.
    #[error("the key cannot be used")]
    Key(#[source] KeyError),
    /// Logs have keys of type 0x01 here, witnesses of type 0x04.
    #[error("the key is of the wrong type: logs have 0x01, witnesses 0x04")]
    KeyType,
    /// The same public key stands in two lines.
    #[error("the same public key stands in the policy twice")]
    DuplicateKey,
    /// The name was given before, or it is `none`.
    #[error("the name is taken")]
    NameTaken,
    /// The name was not given above.
    #[error("the name is not defined above this line")]
    UnknownName,
    /// The name is a member of a group already.
    #[error("a name can be a member of one group only, and once")]
    MemberTwice,
    /// The threshold is neither `any` nor `all` nor a number from 1 to the number of members.
    #[error("the threshold is neither any nor all nor a number from 1 to the number of members")]
    Threshold,
    /// There is a second quorum line.
    #[error("there is more than one quorum")]
    SecondQuorum,
    /// There is no quorum line.
    #[error("there is no quorum")]
    NoQuorum,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        let at = |line, fault| PolicyError { line, fault };
        if file.len() > POLICY_BYTES_MAX {
            return Err(at(1, PolicyFault::TooLong(file.len())));
        }
        let mut reader = Reader::default();
        let mut count = 0;
        for line in file.split_inclusive(|&byte| byte == b'\n') {
            count += 1;
            reader.line(line).map_err(|fault| at(count, fault))?;
        }
        let quorum = reader.quorum.ok_or(at(count, PolicyFault::NoQuorum))?;
        Ok(Policy { quorum, ..reader.policy })
    }

    /// The keys of the logs that are accepted; their names are the origins. It may be empty: then the key comes from
    /// elsewhere.
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// The keys of the witnesses that are known.
    pub fn witnesses(&self) -> &[VerifierKey] {
        &self.witnesses
    }

    /// Whether the witnesses among those who signed are enough. The signatures have to be those of one checkpoint.
    pub fn is_quorum_met(&self, verified: &[VerifiedSignature]) -> bool {
        let has_signed = |key: &VerifierKey| verified.iter().any(|signature| signature.key == *key);
        let witnesses: Vec<bool> = self.witnesses.iter().map(has_signed).collect();
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let has_witnessed = |member: &Member, groups: &[bool]| match *member {
            Member::Witness(index) => witnesses.get(index).copied().unwrap_or(false),
            Member::Group(index) => groups.get(index).copied().unwrap_or(false),
        };
        for group in &self.groups {
            let count = group.members.iter().filter(|member| has_witnessed(member, &groups)).count();
            groups.push(count >= group.threshold);
        }
        self.quorum.as_ref().is_none_or(|member| has_witnessed(member, &groups))
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader<'a> {
    policy: Policy,
    names: BTreeMap<&'a [u8], Name>,
    public_keys: BTreeSet<(u8, [u8; 32])>,
    quorum: Option<Option<Member>>,
}

/// A name that was given. Names are bytes, not text.
struct Name {
    member: Member,
    is_member_of_a_group: bool,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), PolicyFault> {
        let line = line.strip_suffix(b"\n").ok_or(PolicyFault::Unterminated)?;
        if let Some(&found) = line.iter().find(|&&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(PolicyFault::ControlCharacter(found));
        }
        let words = line.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty());
        let words: Vec<&[u8]> = words.collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key] | [b"log", key, _] => self.log(key),
            [b"witness", name, key] | [b"witness", name, key, _] => self.witness(name, key),
            [b"group", name, threshold, members @ ..] if !members.is_empty() => self.group(name, threshold, members),
            [b"quorum", name] => self.quorum(name),
            [b"log" | b"witness" | b"group" | b"quorum", ..] => Err(PolicyFault::Words),
            _ => Err(PolicyFault::Keyword),
        }
    }

    fn log(&mut self, key: &[u8]) -> Result<(), PolicyFault> {
        let key = self.key(key, KeyType::Ed25519)?;
        self.policy.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &'a [u8], key: &[u8]) -> Result<(), PolicyFault> {
        let key = self.key(key, KeyType::CosignatureV1)?;
        self.define(name, Member::Witness(self.policy.witnesses.len()))?;
        self.policy.witnesses.push(key);
        Ok(())
    }

    fn group(&mut self, name: &'a [u8], threshold: &[u8], members: &[&'a [u8]]) -> Result<(), PolicyFault> {
        let threshold = match threshold {
            b"any" => 1,
            b"all" => members.len(),
            number => {
                let number = core::str::from_utf8(number).ok().and_then(decimal::parse_u64);
                let number = number.and_then(|number| usize::try_from(number).ok());
                number.filter(|number| (1..=members.len()).contains(number)).ok_or(PolicyFault::Threshold)?
            }
        };
        let mut group = Group { threshold, members: Vec::with_capacity(members.len()) };
        for &member in members {
            let member = self.names.get_mut(member).ok_or(PolicyFault::UnknownName)?;
            if core::mem::replace(&mut member.is_member_of_a_group, true) {
                return Err(PolicyFault::MemberTwice);
            }
            group.members.push(member.member);
        }
        self.define(name, Member::Group(self.policy.groups.len()))?;
        self.policy.groups.push(group);
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), PolicyFault> {
        let member = match name {
            b"none" => None,
            name => Some(self.names.get(name).ok_or(PolicyFault::UnknownName)?.member),
        };
        if self.quorum.replace(member).is_some() { Err(PolicyFault::SecondQuorum) } else { Ok(()) }
    }

    fn key(&mut self, key: &[u8], key_type: KeyType) -> Result<VerifierKey, PolicyFault> {
        let key = core::str::from_utf8(key).map_err(|_| PolicyFault::Key(KeyError::Form))?;
        let key: VerifierKey = key.parse().map_err(PolicyFault::Key)?;
        if key.key_type() != key_type {
            return Err(PolicyFault::KeyType);
        }
        // Names do not matter: one witness under two names would count twice.
        let is_new = self.public_keys.insert((key_type.byte(), *key.public_key()));
        if is_new { Ok(key) } else { Err(PolicyFault::DuplicateKey) }
    }

    fn define(&mut self, name: &'a [u8], member: Member) -> Result<(), PolicyFault> {
        if name == b"none" {
            return Err(PolicyFault::NameTaken);
        }
        let name = self.names.insert(name, Name { member, is_member_of_a_group: false });
        if name.is_some() { Err(PolicyFault::NameTaken) } else { Ok(()) }
    }
}
