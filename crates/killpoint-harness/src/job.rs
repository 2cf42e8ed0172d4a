//! The job of continuous integration that a run is part of, so that whatever the run leaves behind leads
//! back to it: GitHub Actions and GitLab CI name it in the environment.

/// What is known of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Job {
    /// The commit that is tested.
    pub(crate) commit: Option<String>,
    /// The address of the job's page.
    pub(crate) url: Option<String>,
}

impl Job {
    /// That of the environment.
    pub(crate) fn here() -> Self {
        Job::of(|name| std::env::var(name).ok())
    }

    /// That of other variables.
    pub(crate) fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        // GitHub has no variable with the address.
        let github = || {
            let server = set("GITHUB_SERVER_URL")?;
            let repository = set("GITHUB_REPOSITORY")?;
            let run = set("GITHUB_RUN_ID")?;
            let attempt = set("GITHUB_RUN_ATTEMPT").map(|number| format!("/attempts/{number}"));
            let attempt = attempt.unwrap_or_default();
            Some(format!("{server}/{repository}/actions/runs/{run}{attempt}"))
        };
        Job {
            commit: set("GITHUB_SHA").or_else(|| set("CI_COMMIT_SHA")),
            url: set("CI_JOB_URL").or_else(github),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], commit: Option<&str>, url: Option<&str>) {
        let job = Job::of(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let expected = Job { commit: commit.map(str::to_owned), url: url.map(str::to_owned) };
        assert_eq!(job, expected, "{variables:?}");
    }

    #[test]
    fn github_and_gitlab_name_their_jobs_and_anybody_else_has_none() {
        let github = [
            ("GITHUB_SHA", "1f0c5d2e9b"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "me/app"),
            ("GITHUB_RUN_ID", "77"),
            ("GITHUB_RUN_ATTEMPT", "2"),
        ];
        let url = "https://github.com/me/app/actions/runs/77";
        check(&github, Some("1f0c5d2e9b"), Some(&format!("{url}/attempts/2")));
        check(&github[..4], Some("1f0c5d2e9b"), Some(url));
        check(&github[..3], Some("1f0c5d2e9b"), None);
        let gitlab =
            [("CI_COMMIT_SHA", "aa"), ("CI_JOB_URL", "https://gitlab.com/me/app/-/jobs/1")];
        check(&gitlab, Some("aa"), Some("https://gitlab.com/me/app/-/jobs/1"));
        check(&[("GITHUB_SHA", "")], None, None);
        check(&[], None, None);
    }
}
