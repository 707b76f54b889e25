//! `/transactions`.

use axum::{
    Json, Router,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use uuid::Uuid;

use super::request::{Look, Write, id_of};
use crate::{
    book::Wish,
    event::{Entity, TransactionDetails},
    ledger::Ledger,
    problem::Problem,
    rows::{Page, Row},
};

pub(super) fn routes() -> Router<Ledger> {
    Router::new()
        .route("/transactions", get(list).post(create))
        .route(
            "/transactions/{id}",
            get(show).patch(change).delete(delete_it),
        )
        .route("/transactions/{id}/restore", post(restore))
}

/// What a transaction is made of; a client may give it an id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTransaction {
    id: Option<Uuid>,
    contact: Uuid,
    cents: i64,
    #[serde(default)]
    description: String,
    date: String,
}

async fn create(State(ledger): State<Ledger>, write: Write) -> Result<Response, Problem> {
    let new: NewTransaction = write.json()?;
    let details = TransactionDetails {
        contact: new.contact,
        cents: new.cents,
        description: new.description,
        date: new.date,
    };
    let id = new.id.unwrap_or_else(|| write.new_id());
    carry_out(&ledger, id, write, Wish::CreateTransaction(details)).await
}

async fn change(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, Problem> {
    let wish = Wish::ChangeTransaction(write.json()?);
    carry_out(&ledger, id_of(&id)?, write, wish).await
}

async fn delete_it(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, Problem> {
    carry_out(&ledger, id_of(&id)?, write, Wish::DeleteTransaction).await
}

async fn restore(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, Problem> {
    carry_out(&ledger, id_of(&id)?, write, Wish::RestoreTransaction).await
}

async fn carry_out(
    ledger: &Ledger,
    id: Uuid,
    write: Write,
    wish: Wish,
) -> Result<Response, Problem> {
    let transaction = Entity::Transaction(id);
    write
        .carry_out::<TransactionDetails>(ledger, transaction, wish)
        .await
}

async fn show(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    look: Look,
) -> Result<Response, Problem> {
    look.show(ledger.views.transaction(id_of(&id)?).await?)
}

async fn list(
    State(ledger): State<Ledger>,
    look: Look,
) -> Result<Json<Page<Row<TransactionDetails>>>, Problem> {
    Ok(Json(ledger.views.transactions(&look.find).await?))
}
