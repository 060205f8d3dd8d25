//! What a test changes for those after it is taken back, where it fails too.

use anyhow::Result;

/// Takes something back: when it is asked to, or else on drop.
pub(crate) struct Afterwards<'t>(Option<Box<dyn FnOnce() -> Result<()> + 't>>);

impl<'t> Afterwards<'t> {
    pub(crate) fn new(takes_back: impl FnOnce() -> Result<()> + 't) -> Self {
        Self(Some(Box::new(takes_back)))
    }

    /// Takes it back now, where the test still can fail of it.
    pub(crate) fn now(mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), |takes_back| takes_back())
    }
}

impl Drop for Afterwards<'_> {
    fn drop(&mut self) {
        if let Some(takes_back) = self.0.take()
            && let Err(error) = takes_back()
        {
            eprintln!("what a failed test had changed can't be taken back: {error:#}");
        }
    }
}
