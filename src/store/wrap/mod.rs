//! What may be put around a store: a rate, a second try, a rehearsal, a fault, a gate.
//!
//! A wrapper around a [`ReadStore`](super::ReadStore) is a `ReadStore`, one around a [`WriteStore`](super::WriteStore) is
//! both, and they can be stacked. Outermost first, a live store is `Retrying(Throttled(store))`, so that a second try pays
//! its rate as well. Waiting is passed in as a [`Pause`]: tests wait for nothing.

mod dry_run;
mod fault;
mod gate;
mod pace;
mod retry;
mod throttle;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use dry_run::DryRun;
pub use fault::{Call, Effect, Faults, Faulty};
pub use gate::{Gate, Gated};
pub use pace::{Pace, PaceChange, PaceState};
pub use retry::{Retries, Retrying};
pub use throttle::Throttled;

/// Waits, so that waiting can be passed in.
#[async_trait]
pub trait Pause: Send + Sync {
    /// Waits for about `delay`.
    async fn pause(&self, delay: Duration);
}

/// Waits exactly as long as asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sleep;

#[async_trait]
impl Pause for Sleep {
    async fn pause(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
    }
}

/// Waits a random share, from half to all, of what was asked, so that many callers do not come back at once.
#[derive(Debug)]
pub struct Jittered {
    generator: Mutex<ChaCha8Rng>,
}

impl Jittered {
    /// A pause whose shares follow from `seed`.
    pub fn new(seed: u64) -> Jittered {
        Jittered { generator: Mutex::new(ChaCha8Rng::seed_from_u64(seed)) }
    }

    fn share(&self) -> f64 {
        self.generator.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.5..=1.0)
    }
}

#[async_trait]
impl Pause for Jittered {
    async fn pause(&self, delay: Duration) {
        let delay = delay.mul_f64(self.share());
        tokio::time::sleep(delay).await;
    }
}

/// The answers that a wrapper takes from the store inside without asking anything over a network.
macro_rules! forward_facts {
    () => {
        fn id(&self) -> &crate::model::StoreId {
            self.inner.id()
        }

        fn kind(&self) -> crate::model::StoreKind {
            self.inner.kind()
        }

        fn not_checked(&self) -> Vec<String> {
            self.inner.not_checked()
        }

        fn body_bytes_read(&self) -> u64 {
            self.inner.body_bytes_read()
        }

        fn forecast(&self) -> Option<String> {
            self.inner.forecast()
        }

        fn rank(&self, key: &crate::model::Key) -> u32 {
            self.inner.rank(key)
        }

        fn holds_deletes(&self, key: &crate::model::Key) -> Option<String> {
            self.inner.holds_deletes(key)
        }

        fn spent(&self) -> crate::store::Spent {
            self.inner.spent()
        }

        fn units_to_read(&self) -> Option<u64> {
            self.inner.units_to_read()
        }

        fn indexes(&self) -> u64 {
            self.inner.indexes()
        }

        fn replicates_to(&self) -> &[String] {
            self.inner.replicates_to()
        }

        fn replication<'i>(&self, item: &'i crate::model::Item) -> Option<&'i str> {
            self.inner.replication(item)
        }

        fn leaves_from(&self) -> Option<&'static str> {
            self.inner.leaves_from()
        }

        fn leaves_setting(&self) -> (&'static str, &'static str) {
            self.inner.leaves_setting()
        }

        fn leaves_are_partial(&self) -> bool {
            self.inner.leaves_are_partial()
        }

        fn differ_beside_leaves(&self, one: &crate::model::Item, other: &crate::model::Item) -> bool {
            self.inner.differ_beside_leaves(one, other)
        }
    };
}
use forward_facts;

/// Reads of a wrapper whose business is with writes alone: all of them are those of the store inside.
macro_rules! read_inside {
    ($wrapper:ident) => {
        #[async_trait]
        impl<S: ReadStore + ?Sized> ReadStore for $wrapper<S> {
            forward_facts!();

            async fn identity(&self) -> Result<Identity> {
                self.inner.identity().await
            }

            async fn shape(&self) -> Result<Shape> {
                self.inner.shape().await
            }

            async fn check(&self) -> Vec<Finding> {
                self.inner.check().await
            }

            async fn begin_scan(&self, partitions: usize) -> Result<Box<dyn Scan + '_>> {
                self.inner.begin_scan(partitions).await
            }

            async fn fetch(&self, keys: &[Key], depth: Depth) -> Result<Vec<Option<Item>>> {
                self.inner.fetch(keys, depth).await
            }

            async fn log_start(&self, now: Timestamp) -> Result<LogStart> {
                self.inner.log_start(now).await
            }

            async fn changes(&self, since: &LogMark, now: Timestamp) -> Result<Changes> {
                self.inner.changes(since, now).await
            }

            async fn history(&self, now: Timestamp) -> Result<History> {
                self.inner.history(now).await
            }

            async fn absence(&self, key: &Key) -> Result<Option<String>> {
                self.inner.absence(key).await
            }

            async fn prove_like(&self, item: &Item, like: &Item) -> Result<Item> {
                self.inner.prove_like(item, like).await
            }

            async fn counters(&self) -> Result<Vec<Counter>> {
                self.inner.counters().await
            }
        }
    };
}
use read_inside;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Waits for nothing and keeps what was asked.
    #[derive(Default)]
    pub struct Recorded(pub Mutex<Vec<Duration>>);

    #[async_trait]
    impl Pause for Recorded {
        async fn pause(&self, delay: Duration) {
            self.0.lock().expect("no panics").push(delay);
        }
    }

    #[test]
    fn jitter_stays_between_half_and_all_and_follows_its_seed() {
        let shares = |seed| {
            let jittered = Jittered::new(seed);
            (0..100).map(|_| jittered.share()).collect::<Vec<f64>>()
        };
        assert!(shares(1).iter().all(|share| (0.5..=1.0).contains(share)));
        assert_eq!(shares(1), shares(1));
        assert_ne!(shares(1), shares(2));
    }
}
