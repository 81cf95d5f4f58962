//! Tests of the whole module; what concerns one file only is tested there.

mod claims;
mod fixture;
mod hand_out;
mod letters;
mod life;
mod model;
mod nodes;
mod oracle;
mod retention;
mod streams;
