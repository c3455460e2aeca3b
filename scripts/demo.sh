#!/usr/bin/env bash
# Shows what the runtime does with the model that it carries: nothing to download but build tools.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

generate=build/release/bin/spark-generate
context=data/demo/needle_context.txt
# The line breaks around the question are part of it; $(…) alone would cut off the last ones.
question=$(cat data/demo/needle_question.txt && echo .)
question=${question%.}

scripts/setup.sh
cmake --preset release >/dev/null
cmake --build --preset release --target spark-generate

echo
echo "A short story:"
echo
"$generate" -p "Once upon a time," -n 120 --stats none
echo

# Numbers out of the JSON that `--stats json` writes.
kv_bytes() { tr -d '\n' <"$1" | sed -nE 's/.*"kv_bytes" *: *\{[^}]*"total" *: *([0-9]+).*/\1/p'; }
decode_speed() {
  tr -d '\n' <"$1" | sed -nE 's/.*"decode_tokens_per_second" *: *([0-9.eE+]+).*/\1/p'
}

one_line() { tr -s '[:space:]' ' ' | sed 's/^ //; s/ $//'; }

export LC_ALL=C  # numbers with a decimal point
stats=$(mktemp)
trap 'rm -f "$stats"' EXIT

echo
echo "One question about a text ($context), answered from three KV caches."
echo "Of the key channels, \`none\` keeps all; \`think\` removes 80 % for good; \`spark\` removes the same"
echo "share and recovers what they would have added to the scores. Values stay as they are."
echo
echo "Question: $(one_line <<<"$question")"
echo "Expected: $(one_line <data/demo/needle_answer.txt)"
echo
printf '%-10s %14s %10s %16s   %s\n' cache "KV bytes" "of none" "decode tokens/s" answer
full=
for kv in none think:0.8 spark:0.8; do
  answer=$("$generate" -f "$context" -q "$question" -n 24 --kv "$kv" --no-display-prompt \
    --stats json 2>"$stats") || die "spark-generate failed: $(cat "$stats")"
  bytes=$(kv_bytes "$stats")
  [ -n "$bytes" ] || die "spark-generate wrote no statistics: $(cat "$stats")"
  full=${full:-$bytes}
  printf '%-10s %14d %9d%% %16.1f   %s\n' "$kv" "$bytes" $((100 * bytes / full)) \
    "$(decode_speed "$stats")" "$(one_line <<<"$answer")"
done
