//! Connections that are kept and used again; one that may be in an unknown state never returns to it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::{ErrorKind, Result, StoreError};

/// Connections open at the same time per side, besides one that holds a snapshot.
const CONNECTIONS_MAX: usize = 12;

/// A server and database that connections are opened to.
#[async_trait]
pub(in crate::store) trait Opens: Send + Sync {
    /// One connection.
    type Client: Send;

    /// Opens one connection with every session setting pinned.
    async fn open(&self) -> Result<Self::Client>;

    /// Whether a connection that lay idle can still be used.
    async fn is_usable(client: &mut Self::Client) -> bool;

    /// Whether a connection is known to be closed.
    fn is_closed(client: &Self::Client) -> bool;
}

/// Idle connections to one database.
pub(in crate::store) struct Pool<T: Opens> {
    pub(in crate::store) target: T,
    idle: Mutex<Vec<T::Client>>,
    permits: Arc<Semaphore>,
}

impl<T: Opens> Pool<T> {
    pub(in crate::store) fn new(target: T) -> Arc<Pool<T>> {
        Arc::new(Pool { target, idle: Mutex::default(), permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) })
    }

    /// Takes a connection, opening one where none is idle; waits while all are in use.
    pub(in crate::store) async fn lease(self: &Arc<Pool<T>>) -> Result<Lease<T>> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|error| StoreError::caused(ErrorKind::Other, "the pool is closed", error))?;
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let client = match idle {
                Some(mut client) => match T::is_usable(&mut client).await {
                    true => client,
                    false => continue,
                },
                None => self.target.open().await?,
            };
            return Ok(Lease { client: Some(client), pool: self.clone(), is_clean: false, _permit: permit });
        }
    }
}

/// A connection in use; dropped with its transaction unless [`Lease::give_back`] says that it is clean.
pub(in crate::store) struct Lease<T: Opens> {
    client: Option<T::Client>,
    pool: Arc<Pool<T>>,
    is_clean: bool,
    _permit: OwnedSemaphorePermit,
}

impl<T: Opens> Lease<T> {
    /// Returns the connection, which is outside of any transaction, for others to use.
    pub(in crate::store) fn give_back(mut self) {
        self.is_clean = true;
    }
}

impl<T: Opens> Deref for Lease<T> {
    type Target = T::Client;

    fn deref(&self) -> &T::Client {
        self.client.as_ref().expect("the client is taken only on drop")
    }
}

impl<T: Opens> DerefMut for Lease<T> {
    fn deref_mut(&mut self) -> &mut T::Client {
        self.client.as_mut().expect("the client is taken only on drop")
    }
}

impl<T: Opens> Drop for Lease<T> {
    fn drop(&mut self) {
        let client = self.client.take();
        if let Some(client) = client.filter(|client| self.is_clean && !T::is_closed(client)) {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        }
    }
}
