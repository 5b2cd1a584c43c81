//! The jobs. A new one is a file here and a line in [`registry`].

mod deliver_webhook;
mod import_csv; // sample
mod prune_imports; // sample
pub mod store; // sample

pub use deliver_webhook::DeliverWebhook;
pub use import_csv::ImportCsv; // sample
pub use prune_imports::PruneImports; // sample

use crate::app::App;
use crate::engine::Registry;

/// THE list: a job or cron line that is not here does not exist.
pub fn registry(app: App) -> Registry<App> {
    Registry::new(app)
        // cron: minute, hour, day, month, weekday, in UTC; or with a zone: "0 3 * * * Asia/Tokyo"
        .job::<ImportCsv>() // sample
        .job::<DeliverWebhook>()
        .job::<PruneImports>() // sample
        .cron("prune-imports", "0 3 * * *", PruneImports) // sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Redis;

    /// A cron line that is none, or two jobs of one class, are found here and not at boot.
    #[tokio::test]
    async fn the_list_is_sound() {
        let (jobs, _) = crate::engine::Client::recording();
        let webhooks = crate::webhooks::Webhooks::new(None, false).unwrap();
        registry(App { jobs, redis: Redis::absent(), webhooks });
    }
}
