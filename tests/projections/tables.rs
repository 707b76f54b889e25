//! Read models in PostgreSQL.
