//! STUB
pub struct ReportContext {
    pub profile: String,
    pub disaster_at: Option<crate::model::Timestamp>,
    pub dr_as_of: Option<crate::model::Timestamp>,
    pub generated_at: crate::model::Timestamp,
    pub session: String,
}
pub fn json(_s: &crate::session::SessionState, _c: &ReportContext) -> serde_json::Value {
    serde_json::Value::Null
}
pub fn markdown(_s: &crate::session::SessionState, _c: &ReportContext) -> String {
    String::new()
}
