//! Why something is not done, and what fields may hold.

use serde::Serialize;

use super::event::{ContactDetails, TransactionDetails};

/// The largest amount, either way: ten billion. So sums of them are exact wherever JSON is read.
pub(crate) const MOST_CENTS: i64 = 1_000_000_000_000;

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("some fields are not as they have to be")]
    Invalid(Vec<Wrong>),
    #[error("there is one with this id already")]
    Exists,
    #[error("there is none with this id")]
    NotFound,
    #[error("it is deleted; restore it first")]
    Deleted,
    #[error("it is not deleted, so there is nothing to restore")]
    NotDeleted,
    #[error("it was expected at version {expected} and is at version {actual}; look at it again")]
    Stale { expected: u64, actual: u64 },
    #[error("its contact does not exist")]
    NoContact,
    #[error("its contact is deleted; restore that first")]
    ContactDeleted,
    #[error("the contact has {open} transactions; delete these first")]
    HasTransactions { open: u64 },
    #[error(
        "the event is not what the domain makes of it: it changes nothing, or has too much in it"
    )]
    NotAsDecided,
}

impl Refusal {
    /// What a program looks at.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid-fields",
            Self::Exists => "already-exists",
            Self::NotFound => "not-found",
            Self::Deleted => "deleted",
            Self::NotDeleted => "not-deleted",
            Self::Stale { .. } => "stale",
            Self::NoContact => "no-contact",
            Self::ContactDeleted => "contact-deleted",
            Self::HasTransactions { .. } => "contact-has-transactions",
            Self::NotAsDecided => "not-as-decided",
        }
    }
}

/// A field that is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Wrong {
    pub(crate) field: &'static str,
    pub(crate) reason: String,
}

/// Collects what is wrong.
#[derive(Default)]
struct Look(Vec<Wrong>);

impl Look {
    fn say(&mut self, field: &'static str, wrong: bool, reason: impl Into<String>) {
        if wrong {
            let reason = reason.into();
            self.0.push(Wrong { field, reason });
        }
    }

    fn text(&mut self, field: &'static str, text: &str, most: usize, lines: bool) {
        let length = text.chars().count();
        let long = format!("it has {length} characters, and {most} are allowed");
        self.say(field, length > most, long);
        let control = |c: char| c.is_control() && !(lines && matches!(c, '\n' | '\t'));
        self.say(
            field,
            text.chars().any(control),
            "it has control characters",
        );
        let blanks = text.trim() != text;
        self.say(field, blanks, "it begins or ends with blanks");
    }

    fn optional(&mut self, field: &'static str, text: Option<&String>, most: usize, lines: bool) {
        if let Some(text) = text {
            self.say(field, text.is_empty(), "it is empty; null is for none");
            self.text(field, text, most, lines);
        }
    }

    fn end(self) -> Result<(), Refusal> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Refusal::Invalid(self.0)),
        }
    }
}

impl ContactDetails {
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let mut look = Look::default();
        look.say("name", self.name.is_empty(), "it is empty");
        look.text("name", &self.name, 200, false);
        look.optional("email", self.email.as_ref(), 254, false);
        let address = self.email.as_deref().is_none_or(is_address);
        look.say("email", !address, "it is not an e-mail address");
        look.optional("phone", self.phone.as_ref(), 40, false);
        let phone = self.phone.as_deref().is_none_or(is_phone);
        look.say("phone", !phone, "digits, blanks and +()-./ are allowed");
        look.optional("note", self.note.as_ref(), 4000, true);
        look.end()
    }
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    !local.is_empty()
        && !text.contains(char::is_whitespace)
        && domain.split('.').count() > 1
        && domain.split('.').all(|part| !part.is_empty())
}

fn is_phone(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_digit() || " +()-./".contains(c))
}

impl TransactionDetails {
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let mut look = Look::default();
        look.say("cents", self.cents == 0, "it is zero");
        let too_much = self.cents.unsigned_abs() > MOST_CENTS.unsigned_abs();
        let limits = format!("it is beyond {MOST_CENTS} either way");
        look.say("cents", too_much, limits);
        look.text("description", &self.description, 500, false);
        look.say("date", !is_day(&self.date), "it is not a day, YYYY-MM-DD");
        look.end()
    }
}

fn is_day(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        let right = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| right)
    };
    let (Some(year), Some(month), Some(day)) = (number(4), number(2), number(2)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    parts.next().is_none() && (1..=days).contains(&day)
}
