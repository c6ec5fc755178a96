//! The wire format: golden bytes, so that no change goes unnoticed; the limits; and arbitrary bytes, as a stranger may send them.

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod sample;
