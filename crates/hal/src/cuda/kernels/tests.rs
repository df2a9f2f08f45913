//! What is launched, checked everywhere; and what it computes, on a card.

mod calls;
mod card;
mod device;
mod double;
mod elementwise;
mod integer;
mod launches;
mod movement;
mod products;
mod resample;
mod rows;
