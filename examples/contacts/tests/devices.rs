//! Two devices that were offline, and what becomes of what both have done.

use uuid::Uuid;

use super::Service;
use crate::{
    book::Wish,
    device::{Device, Place, Server},
    event::{ContactDetails, ContactPatch, Entity, TransactionDetails},
};

const HOUR: i64 = 3_600_000_000;

/// Two devices, of which the second has a clock that is two hours behind.
struct Two {
    service: Service,
    ann: Device,
    bob: Device,
    contact: Entity,
}

impl Two {
    /// Both know of one contact.
    async fn start() -> Self {
        let service = Service::start(None).await;
        let device = async |name: &str, clock_ahead_micros| {
            let place = Place {
                adapter: "memory".to_owned(),
                connection: String::new(),
                clock_ahead_micros,
            };
            let server = Server::at(&service.base).unwrap();
            Device::open(name, &place, server).await.unwrap()
        };
        let mut two = Self {
            ann: device("ann", HOUR).await,
            bob: device("bob", -HOUR).await,
            contact: Entity::Contact(Uuid::new_v4()),
            service,
        };
        let details = ContactDetails {
            name: "Ada".to_owned(),
            phone: Some("1".to_owned()),
            ..ContactDetails::default()
        };
        make(&mut two.ann, two.contact, Wish::CreateContact(details)).await;
        two.sync().await;
        two
    }

    /// Ann comes to the server first, then Bob, then both again.
    async fn sync(&mut self) {
        for _ in 0..2 {
            self.ann.sync(true).await.unwrap();
            self.bob.sync(true).await.unwrap();
        }
        assert!(self.ann.is_settled() && self.bob.is_settled());
        assert_eq!(self.ann.view(), self.bob.view());
        assert_eq!(self.ann.mirror(), self.bob.mirror());
    }

    fn details(&self) -> &ContactDetails {
        let contact = &self.ann.mirror().contacts[&self.contact.id()];
        contact.details.as_ref().unwrap()
    }

    fn is_deleted(&self) -> bool {
        self.ann.mirror().contacts[&self.contact.id()].deleted
    }

    fn reasons(device: &Device) -> Vec<&str> {
        device.dropped().values().map(String::as_str).collect()
    }

    fn money(&self) -> Wish {
        Wish::CreateTransaction(TransactionDetails {
            contact: self.contact.id(),
            cents: 500,
            description: String::new(),
            date: "2026-07-01".to_owned(),
        })
    }
}

async fn make(device: &mut Device, entity: Entity, wish: Wish) {
    device.make(entity, &wish).await.unwrap().unwrap();
}

fn name(name: &str) -> Wish {
    Wish::ChangeContact(ContactPatch {
        name: Some(name.to_owned()),
        ..ContactPatch::default()
    })
}

fn no_phone() -> Wish {
    Wish::ChangeContact(ContactPatch {
        phone: Some(None),
        ..ContactPatch::default()
    })
}

#[tokio::test]
async fn changes_to_different_fields_both_stand() {
    let mut two = Two::start().await;
    make(&mut two.ann, two.contact, name("Ada L.")).await;
    make(&mut two.bob, two.contact, no_phone()).await;
    two.sync().await;
    assert_eq!(
        (two.details().name.as_str(), &two.details().phone),
        ("Ada L.", &None)
    );
    two.service.stop().await;
}

#[tokio::test]
async fn a_field_that_both_have_changed_is_that_of_the_later_one_whatever_the_clocks_say() {
    let mut two = Two::start().await;
    make(&mut two.bob, two.contact, name("Bob's")).await;
    make(&mut two.ann, two.contact, name("Ann's")).await;
    two.sync().await;
    assert_eq!(
        two.details().name,
        "Bob's",
        "Bob comes later, with the earlier clock"
    );
    two.service.stop().await;
}

#[tokio::test]
async fn deleted_is_deleted_and_what_was_changed_there_is_shown_to_be_given_up() {
    let mut two = Two::start().await;
    make(&mut two.ann, two.contact, Wish::DeleteContact).await;
    make(&mut two.bob, two.contact, name("Bob's")).await;
    two.sync().await;
    assert!(two.is_deleted());
    assert_eq!(Two::reasons(&two.bob), ["deleted"]);
    two.service.stop().await;
}

#[tokio::test]
async fn a_delete_comes_after_a_change_that_it_did_not_know() {
    let mut two = Two::start().await;
    make(&mut two.ann, two.contact, name("Ann's")).await;
    make(&mut two.bob, two.contact, Wish::DeleteContact).await;
    two.sync().await;
    assert!(two.is_deleted());
    assert_eq!(two.details().name, "Ann's");
    two.service.stop().await;
}

#[tokio::test]
async fn a_change_is_made_where_the_deleting_was_undone() {
    let mut two = Two::start().await;
    make(&mut two.ann, two.contact, Wish::DeleteContact).await;
    make(&mut two.ann, two.contact, Wish::RestoreContact).await;
    make(&mut two.bob, two.contact, name("Bob's")).await;
    two.sync().await;
    assert!(!two.is_deleted());
    assert_eq!(two.details().name, "Bob's");
    assert!(two.bob.dropped().is_empty());
    two.service.stop().await;
}

#[tokio::test]
async fn a_contact_that_was_given_a_transaction_is_not_deleted() {
    let mut two = Two::start().await;
    let transaction = Entity::Transaction(Uuid::new_v4());
    let money = two.money();
    make(&mut two.ann, transaction, money).await;
    make(&mut two.bob, two.contact, Wish::DeleteContact).await;
    two.sync().await;
    assert!(!two.is_deleted());
    assert_eq!(Two::reasons(&two.bob), ["contact-has-transactions"]);
    two.service.stop().await;
}

#[tokio::test]
async fn a_transaction_brings_back_the_contact_that_somebody_has_deleted() {
    let mut two = Two::start().await;
    let transaction = Entity::Transaction(Uuid::new_v4());
    let money = two.money();
    make(&mut two.ann, two.contact, Wish::DeleteContact).await;
    make(&mut two.bob, transaction, money).await;
    two.sync().await;
    assert!(!two.is_deleted());
    assert!(two.ann.mirror().transactions[&transaction.id()].is_open());
    assert!(two.bob.dropped().is_empty());
    two.service.stop().await;
}

#[tokio::test]
async fn what_both_have_done_is_done_once() {
    let mut two = Two::start().await;
    make(&mut two.ann, two.contact, Wish::DeleteContact).await;
    make(&mut two.bob, two.contact, Wish::DeleteContact).await;
    two.sync().await;
    assert!(two.is_deleted());
    assert_eq!(two.ann.mirror().contacts[&two.contact.id()].version, 2);
    two.service.stop().await;
}

#[tokio::test]
async fn a_device_that_begins_anew_recognises_what_it_has() {
    let mut two = Two::start().await;
    make(&mut two.ann, two.contact, name("Ada L.")).await;
    two.sync().await;
    let before = two.bob.mirror().clone();
    two.bob.forget_token();
    two.bob.sync(false).await.unwrap();
    assert_eq!(*two.bob.mirror(), before);
    two.service.stop().await;
}
