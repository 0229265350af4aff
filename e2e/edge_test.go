package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/graph"
	"latchkey/internal/httpserver"
	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// silentUsers is a database that does not answer.
type silentUsers struct{}

func (silentUsers) UserByID(ctx context.Context, _ uuid.UUID) (user.User, error) {
	<-ctx.Done()
	return user.User{}, ctx.Err()
}

// anybody may call, as often as he likes.
type anybody struct{}

func (anybody) Authenticate(string) (session.Principal, error) {
	return session.Principal{UserID: uuid.Max}, nil
}

func (anybody) Holder(token.Secret) uuid.UUID { return uuid.Nil }

func (anybody) Reserve(context.Context, ...ratelimit.Charge) (*ratelimit.Reservation, error) {
	return nil, nil
}

// an operation has some seconds; then its work stops, and the client hears of it.
func TestSlowOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		api, err := graph.NewHandler(graph.NewResolver(silentUsers{}, nil, nil, nil, nil), log, graph.HandlerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		handler := httpserver.New(httpserver.API{Handler: api, Refuse: graph.Refuse, Crashed: graph.RefuseInternal},
			anybody{}, nil, anybody{}, log, httpserver.Config{})
		r := httptest.NewRequest("POST", "/graphql", strings.NewReader(`{"query":"{ me { email } other: me { id } }"}`))
		r.Header.Set("Content-Type", "application/json")
		w, start := httptest.NewRecorder(), time.Now()
		handler.ServeHTTP(w, r)
		took := time.Since(start) // on the bubble's clock
		if patience := httpserver.NewServer(nil, log).WriteTimeout; took < 5*time.Second || took >= patience {
			t.Errorf("took %s; after %s nobody could be told", took, patience)
		}
		a := answer{w.Code, w.Header(), w.Body.Bytes()}
		if codes := strings.Join(a.codes(), " "); a.status != 200 || codes != "OVERLOADED OVERLOADED" || a.header.Get("Retry-After") == "" {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
	})
}

// what the database does for a client that has gone ends, long before its time is up.
func TestCancelledWorkStops(t *testing.T) {
	needPostgres(t)
	processes, db := replicas(t, "postgres", 1)
	ada, url := &client{cookies: map[string]string{}}, processes[0].url+"/graphql"
	if _, codes := ask(t, ada, processes[0], signUpBody, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	pool, err := sql.Open("pgx", db.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	lock, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback() }()
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLE users IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	waiting := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(8 * time.Second); ; {
			got := db.Text(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s statements wait, not %s", got, want)
			}
			time.Sleep(20 * time.Millisecond) // between two looks, not instead of one
		}
	}
	for document, statements := range map[string]string{
		"{ me { email } a: me { email } b: me { email } }":                                                    "3",
		`mutation { login(input: {email: "ada@example.com", password: "paper lantern quay"}) { expiresIn } }`: "1",
	} {
		ctx, leave := context.WithCancel(t.Context())
		body, _ := json.Marshal(map[string]string{"query": document})
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + ada.access}}
		left := make(chan error, 1)
		go func() {
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			left <- err
		}()
		waiting(statements)
		leave()
		if err := <-left; err == nil {
			t.Fatal("it was answered, in spite of the lock")
		}
		waiting("0")
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, codes := ask(t, ada, processes[0], "{ me { email } }", nil); len(codes) > 0 {
		t.Error(codes)
	}
}
