#!/bin/bash
# What the action of this repository runs: SCENARIO at TIER into OUT, with ARGUMENTS besides. Tells the job's page what
# came of it, names the reports as outputs, and ends as the run did.
set -uo pipefail

out=${OUT:-killpoint-runs}
said=$(mktemp)
before=$(ls -d "$out"/runs/*/ 2>/dev/null)
# Several arguments in one variable: they are split at spaces, and nothing else is done to them.
set -f
# shellcheck disable=SC2086
killpoint run "${SCENARIO:?name a scenario}" --tier "${TIER:-local}" --out "$out" ${ARGUMENTS:-} 2>&1 | tee "$said"
code=${PIPESTATUS[0]}
set +f

# The newest run that was not there before is this one's; bad input leaves none.
run=$(ls -td "$out"/runs/*/ 2>/dev/null | grep -vxF "$before" | head -n 1)
run=${run%/}
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    { printf '### Killpoint: %s, exit code %s\n\n```\n' "$SCENARIO" "$code"; cat "$said"; printf '```\n'; } >> "$GITHUB_STEP_SUMMARY"
fi
if [ -n "${GITHUB_OUTPUT:-}" ] && [ -n "$run" ]; then
    printf 'junit=%s/junit.xml\nreport=%s/report.html\n' "$run" "$run" >> "$GITHUB_OUTPUT"
fi
rm -f "$said"
exit "$code"
