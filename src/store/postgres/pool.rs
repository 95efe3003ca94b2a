//! A small bounded pool; a connection that may be in an unknown state never returns to it.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;

use super::connect::Target;
use crate::store::{ErrorKind, Result, StoreError};

/// Connections open at the same time per side, besides one that holds a snapshot.
const CONNECTIONS_MAX: usize = 12;

/// Idle connections to one database.
pub(super) struct Pool {
    pub(super) target: Target,
    idle: Mutex<Vec<Client>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new(target: Target) -> Arc<Pool> {
        Arc::new(Pool { target, idle: Mutex::default(), permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) })
    }

    /// Takes a connection, opening one where none is idle; waits while all are in use.
    pub(super) async fn lease(self: &Arc<Pool>) -> Result<Lease> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|error| StoreError::caused(ErrorKind::Other, "the pool is closed", error))?;
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let client = match idle {
                Some(client) if client.is_closed() => continue,
                Some(client) => client,
                None => self.target.open().await?,
            };
            return Ok(Lease { client: Some(client), pool: self.clone(), is_clean: false, _permit: permit });
        }
    }
}

/// A connection in use; dropped with its transaction unless [`Lease::give_back`] says that it is clean.
pub(super) struct Lease {
    client: Option<Client>,
    pool: Arc<Pool>,
    is_clean: bool,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Returns the connection, which is outside of any transaction, for others to use.
    pub(super) fn give_back(mut self) {
        self.is_clean = true;
    }
}

impl Deref for Lease {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client.as_ref().expect("the client is taken only on drop")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let client = self.client.take();
        if let Some(client) = client.filter(|client| self.is_clean && !client.is_closed()) {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        }
    }
}
