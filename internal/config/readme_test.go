package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of settings into README.md")

const (
	readme     = "../../README.md"
	tableStart = "<!-- settings -->\n"
	tableEnd   = "<!-- /settings -->"
)

// The README's table is the one that --help is made of. To renew it:
// go test ./internal/config -run TestReadmeTable -update
func TestReadmeTable(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatalf("the README with the table of settings is not there: %v", err)
	}
	before, rest, started := strings.Cut(string(text), tableStart)
	table, after, ended := strings.Cut(rest, tableEnd)
	if !started || !ended {
		t.Fatalf("README.md has no lines %q and %q around the table of settings", strings.TrimSpace(tableStart), tableEnd)
	}
	if strings.Trim(table, "\n") == strings.Trim(Table(), "\n") {
		return
	}
	if !*update {
		t.Fatal("README.md's table of settings is not config.Table(); renew it: go test ./internal/config -run TestReadmeTable -update")
	}
	if err := os.WriteFile(readme, []byte(before+tableStart+"\n"+Table()+"\n"+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTableHoldsEverySetting(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(Table()), "\n")
	if len(lines) != 2+len(all()) {
		t.Errorf("%d lines for %d settings", len(lines), len(all()))
	}
	for _, line := range lines {
		if cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); cells != 4 {
			t.Errorf("a row with %d bars: %s", cells, line)
		}
	}
}
