//! What the server does by itself once it is asked: live subscribers, consumer groups and webhooks, over
//! HTTP on the loopback address.

mod client;
mod groups;
mod subscribers;
mod webhooks;
mod world;
