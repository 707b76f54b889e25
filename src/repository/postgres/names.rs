//! Names in SQL: quoted, and filled into templates.
//!
//! No name is ever put into SQL but through [`quoted`] here.

use uuid::Uuid;

use crate::models::{Error, Result, StorageId, TopicName};

/// The longest identifier of PostgreSQL, in bytes.
pub(super) const MAX_IDENTIFIER: usize = 63;
/// The longest base of a topic's names, so that every name made from it fits.
pub(super) const MAX_TABLE: usize = 40;

/// Makes ids from names: that of locks and of channels.
const NAMESPACE: Uuid = Uuid::from_u128(0x7c8d_51e2_0f4b_5d0a_9c3e_2f61_616e_6e61);

/// An identifier as it stands in SQL, whatever it contains.
pub(super) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Refuses what cannot be an identifier.
pub(super) fn check_identifier(option: &str, text: &str, limit: usize) -> Result<()> {
    if text.is_empty() || text.len() > limit || text.chars().any(char::is_control) {
        return Err(Error::InvalidConfig {
            key: format!("option `{option}`"),
            reason: format!("allowed are 1 to {limit} bytes without control characters"),
        });
    }
    Ok(())
}

/// What the table of a topic is called if nothing else has the name.
pub(super) fn table_base(topic: &TopicName, option: Option<&str>) -> String {
    let name = option.unwrap_or(topic.as_str()).trim_start_matches('$');
    let mut end = name.len().min(MAX_TABLE);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default().to_owned()
}

/// The key of the lock that whoever makes or removes tables in a schema holds.
pub(super) fn schema_lock(schema: &str) -> i64 {
    lock_key(schema.as_bytes())
}

/// The key of the lock that whoever writes to a topic holds.
pub(super) fn topic_lock(schema: &str, storage: StorageId) -> i64 {
    lock_key(&[schema.as_bytes(), &[0], storage.uuid().as_bytes()].concat())
}

fn lock_key(name: &[u8]) -> i64 {
    let (high, low) = Uuid::new_v5(&NAMESPACE, name).as_u64_pair();
    (high ^ low).cast_signed()
}

/// The channel on which heads in a schema are told.
pub(super) fn channel(schema: &str) -> String {
    format!(
        "annals_{}",
        Uuid::new_v5(&NAMESPACE, schema.as_bytes()).simple()
    )
}

/// The tables that all topics of a schema share, as they stand in SQL.
#[derive(Clone, Debug)]
pub(super) struct CatalogNames {
    pub(super) schema: String,
    pub(super) topics: String,
    pub(super) removed: String,
    pub(super) versions: String,
}

impl CatalogNames {
    pub(super) fn new(schema: &str) -> Self {
        Self {
            schema: schema.to_owned(),
            topics: format!("{}.topics", quoted(schema)),
            removed: format!("{}.removed", quoted(schema)),
            versions: format!("{}.schema_version", quoted(schema)),
        }
    }
}

/// The tables and functions of one topic, as they stand in SQL.
#[derive(Clone, Debug)]
pub(super) struct TopicNames {
    pub(super) id: i32,
    pub(super) lock: i64,
    pub(super) topics: String,
    pub(super) events: String,
    pub(super) tags: String,
    schema: String,
    table: String,
}

impl TopicNames {
    pub(super) fn new(catalog: &CatalogNames, storage: StorageId, id: i32, table: &str) -> Self {
        let mut names = Self {
            id,
            lock: topic_lock(&catalog.schema, storage),
            topics: catalog.topics.clone(),
            events: String::new(),
            tags: String::new(),
            schema: quoted(&catalog.schema),
            table: table.to_owned(),
        };
        names.events = names.named("");
        names.tags = names.named("tags");
        names
    }

    /// The function of the topic that is called so.
    pub(super) fn function(&self, name: &str) -> String {
        self.named(name)
    }

    /// What a function is called in the server's own tables, or the table of tags; that of the events
    /// where no name is given.
    pub(super) fn bare(&self, name: &str) -> String {
        let mark = if name.is_empty() { "" } else { "_" };
        format!("{}{mark}{name}", self.table)
    }

    /// Where in the database the topic is, for people.
    pub(super) fn place(&self) -> String {
        format!("table {}", self.events)
    }

    fn named(&self, name: &str) -> String {
        format!("{}.{}", self.schema, quoted(&self.bare(name)))
    }

    /// What stands for a `@name@` in a template.
    fn stands_for(&self, name: &str, quote: &str) -> String {
        match name {
            "events" => self.events.clone(),
            "tags" => self.tags.clone(),
            "topics" => self.topics.clone(),
            "id" => self.id.to_string(),
            "lock" => self.lock.to_string(),
            "quote" => quote.to_owned(),
            function => self.function(function),
        }
    }

    /// The statements of a template with these names.
    pub(super) fn fill(&self, template: &str) -> String {
        // Function bodies stand between quotes that occur in no name.
        let mut quote = "$annals$".to_owned();
        let mut number = 0;
        while [&self.schema, &self.table]
            .iter()
            .any(|name| name.contains(&quote))
        {
            number += 1;
            quote = format!("$annals{number}$");
        }
        fill(template, |name| self.stands_for(name, &quote))
    }
}

/// Replaces each `@name@` of a template, once: what is filled in is not looked at again. An `@`
/// that does not begin a name stays.
pub(super) fn fill(template: &str, stands_for: impl Fn(&str) -> String) -> String {
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('@') {
        filled.push_str(before);
        match after.split_once('@') {
            Some((name, behind)) if is_name(name) => {
                filled.push_str(&stands_for(name));
                rest = behind;
            }
            _ => {
                filled.push('@');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_quotes() {
        assert_eq!(
            quoted("a\"; DROP TABLE b; --"),
            "\"a\"\"; DROP TABLE b; --\""
        );
        assert!(check_identifier("schema", "a\0", MAX_IDENTIFIER).is_err());
        assert!(check_identifier("schema", "", MAX_IDENTIFIER).is_err());
        assert!(check_identifier("schema", &"x".repeat(64), MAX_IDENTIFIER).is_err());
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        let catalog = CatalogNames::new("a@tags@$annals$");
        let names = TopicNames::new(&catalog, StorageId::CONFIGURATION, 7, "b@id@");
        assert_eq!(
            names.fill("@quote@ @events@ a @> b @id@ @append@"),
            "$annals1$ \"a@tags@$annals$\".\"b@id@\" a @> b 7 \"a@tags@$annals$\".\"b@id@_append\""
        );
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let long = format!("a{}", "é".repeat(40));
        let base = table_base(&TopicName::configuration(), Some(&long));
        assert_eq!(base.len(), 39);
        assert_eq!(
            table_base(&TopicName::configuration(), None),
            "configuration"
        );
    }
}
