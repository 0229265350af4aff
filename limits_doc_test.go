package main

import (
	"fmt"
	"io"
	"strings"

	"latchkey/internal/config"
	"latchkey/internal/ratelimit"
)

// limitTables is what is generated of docs/security.md about limits: which field is charged to
// which bucket, as the schema declares it, and what each bucket is.
func limitTables(tree archTree) string {
	s, err := tree.loadSchema()
	if err != nil {
		return err.Error()
	}
	cfg, _, err := config.Parse(nil, nil, io.Discard, io.Discard)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	b.WriteString("| Mutation | is charged to |\n|---|---|\n")
	for _, field := range s.Mutation.Fields {
		buckets := limitsOf(field.Directives.ForName("limit"))
		if len(buckets) == 0 {
			buckets = []string{"nothing but the limit on all requests"}
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", field.Name, strings.Join(buckets, ", "))
	}
	b.WriteString("\n| Limit | Default | Whose | Charged | Beyond it | Counted |\n|---|---|---|---|---|---|\n")
	for _, p := range ratelimit.Policies() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", p.Bucket, cfg.Limits[p.Bucket], p.Key, p.Charged, p.Refused, p.Counted())
	}
	return b.String()
}
