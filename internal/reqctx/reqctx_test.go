package reqctx_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
)

func newRequest() *reqctx.Request {
	return &reqctx.Request{
		ID:      "req-1",
		Client:  session.Client{Address: netip.MustParseAddr("192.0.2.1"), UserAgent: "canary browser"},
		Refresh: token.NewSecret("canary refresh"),
		AuthErr: session.ErrNoToken,
	}
}

// Outside a request nobody is signed in, nothing was presented and no cookie is set.
func TestFromOutsideARequestFailsClosed(t *testing.T) {
	type key struct{} // as reqctx has one, and yet another
	for reason, ctx := range map[string]context.Context{
		"a context of nobody":       context.Background(),
		"one that is already over":  over(),
		"one that only looks alike": context.WithValue(t.Context(), key{}, newRequest()),
	} {
		t.Run(reason, func(t *testing.T) {
			r := reqctx.From(ctx)
			if !errors.Is(r.AuthErr, session.ErrNoToken) || !reflect.DeepEqual(r.Principal, session.Principal{}) {
				t.Errorf("somebody is signed in: %+v, %v", r.Principal, r.AuthErr)
			}
			if !r.Refresh.Empty() || r.Client.Address.IsValid() || r.ID != "" {
				t.Errorf("something is known: %+v", r)
			}
			r.Cookies.Set(token.NewSecret("canary"), time.Hour)
			r.Cookies.Clear()
			r.Note("canary")
			if again := reqctx.From(ctx); again == r || len(again.Notes()) != 0 {
				t.Error("two that are no request share a note")
			}
		})
	}
}

func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestFrom(t *testing.T) {
	type key struct{}
	outer, inner := newRequest(), newRequest()
	ctx := reqctx.With(t.Context(), outer)
	child, cancel := context.WithCancel(context.WithValue(ctx, key{}, 1))
	defer cancel()
	if reqctx.From(ctx) != outer || reqctx.From(child) != outer {
		t.Error("a context and those made from it carry the same request")
	}
	if reqctx.From(reqctx.With(child, inner)) != inner || reqctx.From(child) != outer {
		t.Error("the nearest request is the one")
	}
}

// Resolvers run at once and share one request; -race watches.
func TestNotesOfManyGoroutines(t *testing.T) {
	ctx := reqctx.With(t.Context(), newRequest())
	var resolvers sync.WaitGroup
	for i := range 20 {
		resolvers.Go(func() {
			reqctx.From(ctx).Note(fmt.Sprintf("field%d", i), "OK")
			_ = reqctx.From(ctx).Notes()
		})
	}
	resolvers.Wait()
	notes := reqctx.From(ctx).Notes()
	if len(notes) != 40 {
		t.Fatalf("%d notes, want 40", len(notes))
	}
	for i := range 20 {
		at := slices.Index(notes, fmt.Sprintf("field%d", i))
		if at < 0 || notes[at+1] != "OK" {
			t.Errorf("field%d was lost or torn apart: %v", i, notes)
		}
	}
	notes[0] = "changed"
	if reqctx.From(ctx).Notes()[0] == "changed" {
		t.Error("Notes hands out its own memory")
	}
}

// logged writes one record as JSON and returns its fields but the time.
func logged(t *testing.T, write func(log *slog.Logger)) map[string]any {
	t.Helper()
	var out bytes.Buffer
	write(slog.New(reqctx.LogHandler(slog.NewJSONHandler(&out, nil))))
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatalf("%v: %q", err, out.String())
	}
	if strings.Count(out.String(), `"request_id"`) > 1 {
		t.Errorf("told twice: %s", out.String())
	}
	delete(fields, "time")
	return fields
}

// every record of a request has its id and its client, however the logger was made.
func TestLogHandler(t *testing.T) {
	inside := reqctx.With(t.Context(), newRequest())
	tests := map[string]struct {
		write func(log *slog.Logger)
		want  map[string]any
	}{
		"a record of a request": {func(log *slog.Logger) { log.InfoContext(inside, "m", "a", 1) },
			map[string]any{"a": 1.0, "request_id": "req-1", "client": "192.0.2.1", "user_agent": "canary browser"}},
		"a record of none is left alone": {func(log *slog.Logger) { log.Info("m", "a", 1) },
			map[string]any{"a": 1.0}},
		"a logger with attributes (WithAttrs)": {func(log *slog.Logger) { log.With("b", 2).With("c", 3).InfoContext(inside, "m") },
			map[string]any{"b": 2.0, "c": 3.0, "request_id": "req-1", "client": "192.0.2.1", "user_agent": "canary browser"}},
		"a logger with a group (WithGroup)": {func(log *slog.Logger) { log.WithGroup("g").InfoContext(inside, "m", "a", 1) },
			map[string]any{"g": map[string]any{"a": 1.0, "request_id": "req-1", "client": "192.0.2.1", "user_agent": "canary browser"}}},
		"both at once": {func(log *slog.Logger) { log.With("b", 2).WithGroup("g").With("c", 3).InfoContext(inside, "m") },
			map[string]any{"b": 2.0, "g": map[string]any{"c": 3.0, "request_id": "req-1", "client": "192.0.2.1", "user_agent": "canary browser"}}},
		"an IPv6 client": {func(log *slog.Logger) {
			r := newRequest()
			r.Client.Address = netip.MustParseAddr("2001:db8::1")
			log.InfoContext(reqctx.With(t.Context(), r), "m")
		}, map[string]any{"request_id": "req-1", "client": "2001:db8::1", "user_agent": "canary browser"}},
		"a client whose address could not be told": {func(log *slog.Logger) {
			r := newRequest()
			r.Client.Address = netip.Addr{}
			log.InfoContext(reqctx.With(t.Context(), r), "m")
		}, map[string]any{"request_id": "req-1", "client": "unknown", "user_agent": "canary browser"}},
		"an id with a line break is still one record": {func(log *slog.Logger) {
			r := newRequest()
			r.ID = "req\n{\"event\":\"x\"}"
			log.InfoContext(reqctx.With(t.Context(), r), "m")
		}, map[string]any{"request_id": "req\n{\"event\":\"x\"}", "client": "192.0.2.1", "user_agent": "canary browser"}},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			maps.Copy(tt.want, map[string]any{"level": "INFO", "msg": "m"})
			if got := logged(t, tt.write); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// A record may go to several handlers: none may write into what the others see.
func TestLogHandlerLeavesTheRecordAlone(t *testing.T) {
	ctx := reqctx.With(t.Context(), newRequest())
	for n := range 20 { // some fit into the Record, some leave room in the slice behind it
		record := slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)
		for i := range n {
			record.Add(fmt.Sprintf("a%d", i), i)
		}
		var outs [2]bytes.Buffer
		for i := range outs {
			if err := reqctx.LogHandler(slog.NewJSONHandler(&outs[i], nil)).Handle(ctx, record); err != nil {
				t.Fatal(err)
			}
		}
		if outs[0].String() != outs[1].String() || record.NumAttrs() != n {
			t.Errorf("%d attributes: first %sthen %s", n, &outs[0], &outs[1])
		}
	}
}

func TestLogHandlerKeepsTheLevel(t *testing.T) {
	var out bytes.Buffer
	handler := reqctx.LogHandler(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	slog.New(handler).With("a", 1).WithGroup("g").Info("m")
	if out.Len() != 0 {
		t.Errorf("logged below the level: %s", &out)
	}
}

// a request that lands in a log by mistake takes no token with it.
func TestRequestHidesItsToken(t *testing.T) {
	r := newRequest()
	for _, text := range []string{
		fmt.Sprintf("%v", r), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", r),
		fmt.Sprint(logged(t, func(log *slog.Logger) { log.Info("m", "request", r) })),
	} {
		if strings.Contains(text, "canary refresh") {
			t.Errorf("the refresh token is in %s", text)
		}
	}
}
