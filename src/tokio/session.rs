//! Conversations in tasks.

use super::Tokio;
use crate::error::Error;
use crate::session::{Conversation, Done};

impl<R, F: Future<Output = Result<(R, Done), Error>>> Conversation<Tokio> for F {
    type Value = R;

    async fn outcome(self) -> Result<(R, Done), Error> {
        self.await
    }
}
