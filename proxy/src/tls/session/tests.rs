mod cut;
mod fixture;
mod hostile;
mod transfer;
