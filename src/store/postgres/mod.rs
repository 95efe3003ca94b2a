//! STUB
pub type PostgresStore = super::memory::MemoryStore;
impl super::memory::MemoryStore {
    pub async fn connect(
        _i: crate::model::StoreId,
        _s: crate::model::Side,
        _r: &crate::profile::SideProfile,
        _d: &crate::profile::DatabaseProfile,
        _t: &[String],
    ) -> super::Result<PostgresStore> {
        Err(super::StoreError::new(super::ErrorKind::Other, "stub"))
    }
}
impl crate::profile::DatabaseProfile {
    pub fn in_database(&self, _n: &str) -> Self {
        self.clone()
    }
}
