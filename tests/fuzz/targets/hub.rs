//! What a hub answers.

use super::Repository;
use super::plan::{Listing, Plan};
use crate::fuzz::said;

/// The list of a repository's files.
pub(crate) fn listing(data: &[u8]) {
    let repository = Repository::parse("owner/name").expect("a repository's name");
    let listing: Listing = match serde_json::from_slice(data) {
        Ok(listing) => listing,
        Err(error) => return said(error),
    };
    match Plan::of(&repository, &listing, None) {
        Ok(plan) => {
            let _ = plan.size();
            // Each becomes a file below the cache's folder.
            for file in &plan.files {
                let parts = std::path::Path::new(&file.path).components();
                assert!(
                    parts
                        .into_iter()
                        .all(|part| matches!(part, std::path::Component::Normal(_))),
                    "{}",
                    file.path
                );
            }
        }
        Err(error) => said(error),
    }
}
