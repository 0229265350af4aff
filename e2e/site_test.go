package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
)

// site is what the processes of one test share: settings, master secret and database.
type site struct {
	env    []string
	master token.Master
	// open opens the database behind the server's back, until done.
	open func() (db *storetest.Database, done func())
}

// newSite makes an empty one, with the cheapest hash allowed, and without a limit that
// one address would run into.
func newSite(t *testing.T, engine string, extra ...string) site {
	t.Helper()
	secret := token.GenerateMaster()
	master, err := token.ParseMaster(secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	env := append(generous(), "LATCHKEY_ADDR=127.0.0.1:0", "LATCHKEY_PUBLIC_URL=http://localhost:8080",
		"LATCHKEY_SECRET="+secret.Reveal(), "LATCHKEY_DATA_DIR="+dir,
		"LATCHKEY_ARGON2_MEMORY_KIB=12288", "LATCHKEY_ARGON2_TIME=3")
	s := site{master: master, env: append(env, extra...)}
	s.open = func() (*storetest.Database, func()) {
		// Closed again, or a server that comes back would find SQLite's log in use and not
		// recover it.
		var closing closers
		return storetest.Open(&closing, filepath.Join(dir, "latchkey.db")), closing.close
	}
	if engine == "postgres" {
		db := storetest.Empty(t, engine)
		s.env = append(s.env, "LATCHKEY_DATABASE_URL="+db.URL)
		s.open = func() (*storetest.Database, func()) { return db, func() {} }
	}
	return s
}

// closers is what storetest.Open needs, for less than a whole test.
type closers []func()

func (c *closers) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (c *closers) Defer(f func())                    { *c = append(*c, f) }
func (c *closers) close() {
	for _, f := range *c {
		f()
	}
}
