//! `/contacts`.

use axum::{
    Json, Router,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::request::{Look, Write, id_of};
use crate::{
    book::Wish,
    event::{ContactDetails, Entity, TransactionDetails},
    ledger::Ledger,
    problem::Problem,
    refusal::Refusal,
    rows::{Page, Row},
};

pub(super) fn routes() -> Router<Ledger> {
    Router::new()
        .route("/contacts", get(list).post(create))
        .route("/contacts/{id}", get(show).patch(change).delete(delete_it))
        .route("/contacts/{id}/restore", post(restore))
        .route(
            "/contacts/{id}/transactions",
            get(transactions).post(create_transaction),
        )
}

/// What a contact is made of; a client may give it an id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewContact {
    id: Option<Uuid>,
    name: String,
    email: Option<String>,
    phone: Option<String>,
    note: Option<String>,
}

/// What a transaction of a contact is made of; a client may give it an id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTransaction {
    id: Option<Uuid>,
    cents: i64,
    #[serde(default)]
    description: String,
    date: String,
}

async fn create(State(ledger): State<Ledger>, write: Write) -> Result<Response, Problem> {
    let NewContact {
        id,
        name,
        email,
        phone,
        note,
    } = write.json()?;
    let details = ContactDetails {
        name,
        email,
        phone,
        note,
    };
    let contact = Entity::Contact(id.unwrap_or_else(|| write.new_id()));
    let wish = Wish::CreateContact(details);
    write
        .carry_out::<ContactDetails>(&ledger, contact, wish)
        .await
}

async fn change(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, Problem> {
    let wish = Wish::ChangeContact(write.json()?);
    let contact = Entity::Contact(id_of(&id)?);
    write
        .carry_out::<ContactDetails>(&ledger, contact, wish)
        .await
}

async fn delete_it(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, Problem> {
    let contact = Entity::Contact(id_of(&id)?);
    write
        .carry_out::<ContactDetails>(&ledger, contact, Wish::DeleteContact)
        .await
}

async fn restore(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, Problem> {
    let contact = Entity::Contact(id_of(&id)?);
    write
        .carry_out::<ContactDetails>(&ledger, contact, Wish::RestoreContact)
        .await
}

async fn create_transaction(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, Problem> {
    let contact = id_of(&id)?;
    let new: NewTransaction = write.json()?;
    let details = TransactionDetails {
        contact,
        cents: new.cents,
        description: new.description,
        date: new.date,
    };
    let transaction = Entity::Transaction(new.id.unwrap_or_else(|| write.new_id()));
    let wish = Wish::CreateTransaction(details);
    write
        .carry_out::<TransactionDetails>(&ledger, transaction, wish)
        .await
}

async fn show(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    look: Look,
) -> Result<Response, Problem> {
    look.show(ledger.views.contact(id_of(&id)?).await?)
}

async fn list(
    State(ledger): State<Ledger>,
    look: Look,
) -> Result<Json<Page<Row<ContactDetails>>>, Problem> {
    Ok(Json(ledger.views.contacts(&look.find).await?))
}

/// The transactions of a contact, with what it owes.
async fn transactions(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    mut look: Look,
) -> Result<Json<Value>, Problem> {
    let id = id_of(&id)?;
    let contact = ledger.views.contact(id).await?;
    let contact = contact.ok_or(Refusal::NotFound)?;
    look.find.contact = Some(id);
    let page = ledger.views.transactions(&look.find).await?;
    Ok(Json(json!({
        "contact": contact.id,
        "balance_cents": ledger.views.balance(id).await?,
        "items": page.items,
        "next": page.next,
    })))
}
