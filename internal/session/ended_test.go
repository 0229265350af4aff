package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/token"
)

// fakeStore answers what it is told to; a hung one answers when its caller gives up.
type fakeStore struct {
	Store
	News
	mu     sync.Mutex
	ended  []uuid.UUID
	err    error
	hung   bool
	tell   chan uuid.UUID // uuid.Nil breaks the connection
	delete func(ctx context.Context) (int, error)
}

func (f *fakeStore) EndedSessions(ctx context.Context, within time.Duration) ([]uuid.UUID, error) {
	if within < token.MaxAccessLife {
		return nil, errors.New("an access token of an older end may still live")
	}
	f.mu.Lock()
	hung, ended, err := f.hung, f.ended, f.err
	f.mu.Unlock()
	if hung {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return ended, err
}

// ListenEnded tells what is sent to tell, until the store breaks.
func (f *fakeStore) ListenEnded(ctx context.Context, listening func(), ended func(uuid.UUID)) error {
	listening()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case id := <-f.tell:
			if id == uuid.Nil {
				return errors.New("broken")
			}
			ended(id)
		}
	}
}

// turn changes what the store answers from now on.
func (f *fakeStore) turn(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeStore) DeleteDeadSessions(ctx context.Context, _ time.Duration, _ int) (int, error) {
	if f.delete == nil {
		return 0, nil
	}
	return f.delete(ctx)
}

// oneKey is a KeyStore with whatever was added to it.
type oneKey struct {
	token.KeyStore
	keys []token.StoredKey
	away atomic.Pointer[error]
}

func (k *oneKey) SigningKeys(context.Context) ([]token.StoredKey, time.Time, error) {
	if err := k.away.Load(); err != nil {
		return nil, time.Time{}, *err
	}
	return k.keys, time.Now(), nil
}

func (k *oneKey) AddSigningKey(_ context.Context, key token.StoredKey, _ time.Duration) error {
	key.ActiveAt = time.Now()
	k.keys = append(k.keys, key)
	return nil
}

func fakeService(t *testing.T, store *fakeStore) (*Service, token.Access, string) {
	t.Helper()
	return fakeServiceWith(t, store, &oneKey{})
}

func fakeServiceWith(t *testing.T, store *fakeStore, stored *oneKey) (*Service, token.Access, string) {
	t.Helper()
	master, err := token.ParseMaster(token.GenerateMaster().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	keys := token.NewKeyring(stored, master, token.EdDSA)
	if err := keys.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	go keys.Run(t.Context(), quiet())
	issuer, err := token.NewIssuer(keys, token.IssuerConfig{Issuer: "i", Audience: "a", ClientID: "c", TTL: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	access := token.Access{UserID: uuid.New(), SessionID: uuid.New(), AuthTime: time.Now()}
	text, _, err := issuer.Issue(access)
	if err != nil {
		t.Fatal(err)
	}
	s := New(store, Tokens{Access: issuer, Refresh: token.NewRefreshCodec(master)}, nil, event.NewLog(quiet()), Config{})
	return s, access, text.Reveal()
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// a process that cannot learn which sessions have ended, or which signing keys were
// removed, does not guess.
func TestStaleViewRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, stored, away := &fakeStore{}, &oneKey{}, errors.New("away")
		s, _, text := fakeServiceWith(t, store, stored)
		if _, err := s.Authenticate(text); !errors.Is(err, ErrUncertain) {
			t.Errorf("before the first look: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Run(ctx, quiet())
		for _, step := range []struct {
			why   string
			spoil func()
			wait  time.Duration
			want  error
		}{
			{"in order", func() {}, time.Minute, nil},
			{"the database fails, and the view is still young", func() { store.err = away }, 14 * time.Second, nil},
			{"it is too old", func() {}, 10 * time.Second, ErrUncertain},
			{"the database is back", func() { store.err = nil }, 6 * time.Second, nil},
			{"the connection hangs", func() { store.hung = true }, 30 * time.Second, ErrUncertain},
			{"and a new one does not: one round was lost, not all", func() { store.hung = false }, 11 * time.Second, nil},
			{"only the keys cannot be read, and were a moment ago", func() { stored.away.Store(&away) }, 10 * time.Second, nil},
			{"the keys are too old: one that signed this may be gone", func() {}, 10 * time.Second, ErrUncertain},
			{"the keys are back", func() { stored.away.Store(nil) }, 5 * time.Second, nil},
		} {
			store.turn(step.spoil)
			time.Sleep(step.wait)
			synctest.Wait()
			if _, err := s.Authenticate(text); !errors.Is(err, step.want) {
				t.Errorf("%s: %v", step.why, err)
			}
		}
	})
}

// an end is heard of at once; what ended while nobody listened is read when somebody
// listens again.
func TestListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{tell: make(chan uuid.UUID)}
		s, access, text := fakeService(t, store)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.listen(ctx, quiet())
		synctest.Wait()
		if _, err := s.Authenticate(text); err != nil {
			t.Errorf("before: %v", err)
		}
		store.tell <- access.SessionID
		synctest.Wait()
		if _, err := s.Authenticate(text); !errors.Is(err, ErrRevoked) {
			t.Errorf("told: %v", err)
		}
		missed := uuid.New()
		store.tell <- uuid.Nil
		store.turn(func() { store.ended = []uuid.UUID{missed} })
		time.Sleep(listenPause)
		synctest.Wait()
		if !s.ended.has(missed) {
			t.Error("what ended while nobody listened was not read")
		}
	})
}

// what another process ended is learned of, also while a clean-up takes its time.
func TestRunReadsWhatOthersEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{delete: func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }}
		s, access, text := fakeService(t, store)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Run(ctx, quiet())
		time.Sleep(time.Minute)
		store.turn(func() { store.ended = []uuid.UUID{access.SessionID} })
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if _, err := s.Authenticate(text); !errors.Is(err, ErrRevoked) {
			t.Errorf("%v", err)
		}
	})
}

// an entry outlives every access token of its session, and then goes.
func TestEndedSetForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e endedSet
		id := uuid.New()
		e.add(id)
		time.Sleep(token.MaxAccessLife - time.Second)
		e.add(id) // known already: it must not live on for that
		e.sweep()
		if !e.has(id) {
			t.Error("forgotten while an access token may live")
		}
		time.Sleep(2 * time.Second)
		e.sweep()
		if e.has(id) || len(e.until) != 0 {
			t.Error("kept for ever")
		}
	})
}

// memory is bounded by what ended lately, however much ends.
func TestEndedSetStaysSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e endedSet
		const each = 25_000
		for range 4 {
			ids := make([]uuid.UUID, each)
			for i := range ids {
				ids[i] = uuid.New()
			}
			e.add(ids...)
			time.Sleep(token.MaxAccessLife / 2)
			e.sweep()
			if len(e.until) > 2*each {
				t.Errorf("%d entries", len(e.until))
			}
		}
		time.Sleep(token.MaxAccessLife)
		e.sweep()
		if list, _ := e.list(); len(list) != 0 {
			t.Errorf("%d left", len(list))
		}
	})
}
