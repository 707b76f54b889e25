//! What contacts and transactions decide, without a store.

use annals::cqrs::testing::GivenAggregate;
use uuid::Uuid;

use crate::{
    contact::{Contact, ContactAction, ContactCommand, Standing},
    event::{ContactDetails, ContactPatch, Event, TransactionDetails},
    refusal::{MOST_CENTS, Refusal},
    transaction::{Transaction, TransactionAction, TransactionCommand},
};

fn ada() -> ContactDetails {
    ContactDetails {
        name: "Ada".to_owned(),
        phone: Some("1".to_owned()),
        ..ContactDetails::default()
    }
}

fn to_contact(action: ContactAction) -> ContactCommand {
    ContactCommand {
        expected: None,
        action,
    }
}

fn amount(cents: i64, date: &str) -> TransactionCommand {
    let details = TransactionDetails {
        contact: Uuid::nil(),
        cents,
        description: String::new(),
        date: date.to_owned(),
    };
    TransactionCommand {
        expected: None,
        action: TransactionAction::Create(details, Standing::Active),
    }
}

#[test]
fn a_change_names_only_what_changes() {
    let patch = ContactPatch {
        name: Some("Ada".to_owned()),
        phone: Some(None),
        ..ContactPatch::default()
    };
    let only_phone = ContactPatch {
        phone: Some(None),
        ..ContactPatch::default()
    };
    GivenAggregate::<Contact>::events([Event::ContactCreated(ada())])
        .when(to_contact(ContactAction::Change(patch)))
        .then(&[Event::ContactChanged(only_phone.clone())]);
    // What is emptied is written, and not left out.
    let written = serde_json::to_string(&only_phone).unwrap();
    assert_eq!(written, r#"{"phone":null}"#);
    let read: ContactPatch = serde_json::from_str(&written).unwrap();
    assert_eq!(read, only_phone);
}

#[test]
fn a_contact_is_deleted_only_without_transactions_and_comes_back_as_it_was() {
    GivenAggregate::<Contact>::events([Event::ContactCreated(ada())])
        .when(to_contact(ContactAction::Delete { open: 2 }))
        .then_rejected(&Refusal::HasTransactions { open: 2 });
    GivenAggregate::<Contact>::events([Event::ContactCreated(ada()), Event::ContactDeleted {}])
        .when(to_contact(ContactAction::Restore))
        .then(&[Event::ContactRestored {}]);
}

#[test]
fn a_transaction_needs_an_amount_a_day_and_a_contact_that_is_there() {
    for cents in [0, MOST_CENTS + 1, -MOST_CENTS - 1, i64::MIN] {
        let refused = crate::transaction::Transaction::default();
        let decided = annals::cqrs::Aggregate::decide(&refused, &amount(cents, "2026-02-28"));
        assert!(matches!(decided, Err(Refusal::Invalid(_))), "{cents}");
    }
    for date in [
        "2026-02-29",
        "2026-13-01",
        "2026-1-1",
        "",
        "2026-01-01 ",
        "x",
    ] {
        let refused = Transaction::default();
        let decided = annals::cqrs::Aggregate::decide(&refused, &amount(1, date));
        assert!(matches!(decided, Err(Refusal::Invalid(_))), "{date}");
    }
    for (standing, refusal) in [
        (Standing::Missing, Refusal::NoContact),
        (Standing::Deleted, Refusal::ContactDeleted),
    ] {
        let mut command = amount(1, "2028-02-29");
        if let TransactionAction::Create(_, contact) = &mut command.action {
            *contact = standing;
        }
        GivenAggregate::<Transaction>::events([])
            .when(command)
            .then_rejected(&refusal);
    }
}
