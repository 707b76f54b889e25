//! What somebody does with contacts and transactions.

use uuid::Uuid;

use super::dice::Dice;
use crate::{
    book::{Book, Wish},
    event::{ContactDetails, ContactPatch, Entity, TransactionDetails, TransactionPatch},
};

/// Something to wish for, in view of what is there. It may well be refused.
pub(crate) fn wish(dice: &mut Dice, book: &Book) -> (Entity, Wish) {
    let contact = dice.pick(book.contacts.keys().copied());
    let transaction = dice.pick(book.transactions.keys().copied());
    match (dice.below(100), contact, transaction) {
        (0..10, _, _) | (_, None, _) => {
            let wish = Wish::CreateContact(contact_details(dice));
            (Entity::Contact(dice.id()), wish)
        }
        (10..45, Some(id), _) => (
            Entity::Contact(id),
            Wish::ChangeContact(contact_patch(dice)),
        ),
        (45..55, Some(id), _) => (Entity::Contact(id), Wish::DeleteContact),
        (55..63, Some(id), _) => (Entity::Contact(id), Wish::RestoreContact),
        (63..75, Some(contact), _) | (_, Some(contact), None) => {
            let wish = Wish::CreateTransaction(transaction_details(dice, contact));
            (Entity::Transaction(dice.id()), wish)
        }
        (75..85, _, Some(id)) => {
            let wish = Wish::ChangeTransaction(transaction_patch(dice));
            (Entity::Transaction(id), wish)
        }
        (85..95, _, Some(id)) => (Entity::Transaction(id), Wish::DeleteTransaction),
        (_, _, Some(id)) => (Entity::Transaction(id), Wish::RestoreTransaction),
    }
}

fn word(dice: &mut Dice) -> String {
    const WORDS: [&str; 12] = [
        "Ada",
        "Émile",
        "Grace",
        "Ørsted",
        "Alan",
        "Edsger",
        "Barbara",
        "Донна",
        "陳",
        "Zoë",
        "O'Hara",
        "d'Arc",
    ];
    let first = dice.pick(WORDS).unwrap_or_default();
    format!("{first} {}", dice.below(10_000))
}

fn phone(dice: &mut Dice) -> Option<String> {
    let number = dice.below(10_000_000);
    dice.percent(80).then(|| format!("+49 30 {number}"))
}

fn email(dice: &mut Dice) -> Option<String> {
    let number = dice.below(10_000);
    dice.percent(80)
        .then(|| format!("someone.{number}@example.org"))
}

pub(crate) fn contact_details(dice: &mut Dice) -> ContactDetails {
    ContactDetails {
        name: word(dice),
        email: email(dice),
        phone: phone(dice),
        note: None,
    }
}

/// One to three fields, some of them emptied.
pub(crate) fn contact_patch(dice: &mut Dice) -> ContactPatch {
    let mut patch = ContactPatch::default();
    for _ in 0..1 + dice.below(3) {
        match dice.below(4) {
            0 => patch.name = Some(word(dice)),
            1 => patch.email = Some(email(dice)),
            2 => patch.phone = Some(phone(dice)),
            _ => patch.note = Some(dice.percent(70).then(|| word(dice))),
        }
    }
    patch
}

fn cents(dice: &mut Dice) -> i64 {
    let cents = 1 + dice.below(1_000_000).cast_signed();
    if dice.percent(30) { -cents } else { cents }
}

fn date(dice: &mut Dice) -> String {
    format!("2026-{:02}-{:02}", 1 + dice.below(12), 1 + dice.below(28))
}

pub(crate) fn transaction_details(dice: &mut Dice, contact: Uuid) -> TransactionDetails {
    TransactionDetails {
        contact,
        cents: cents(dice),
        description: word(dice),
        date: date(dice),
    }
}

fn transaction_patch(dice: &mut Dice) -> TransactionPatch {
    let mut patch = TransactionPatch::default();
    match dice.below(3) {
        0 => patch.cents = Some(cents(dice)),
        1 => patch.description = Some(word(dice)),
        _ => patch.date = Some(date(dice)),
    }
    patch
}
