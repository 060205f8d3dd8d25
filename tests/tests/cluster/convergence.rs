//! That the state becomes what the objects say, whatever happens in between, and that nothing is written that need not be.

mod administrator;
mod expected;
mod histories;
mod history;
mod order;
mod permissions;
mod site;
mod steady;
mod versions;
