package event_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/event"
)

// record writes one event as JSON and returns its fields but the time, and the line.
func record(t *testing.T, e event.Event) (map[string]any, string) {
	t.Helper()
	var out bytes.Buffer
	event.NewLog(slog.New(slog.NewJSONHandler(&out, nil))).Record(t.Context(), e)
	line, ended := strings.CutSuffix(out.String(), "\n")
	if !ended || strings.Contains(line, "\n") {
		t.Fatalf("not one record on one line: %q", out.String())
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatal(err)
	}
	if fields["time"] == nil {
		t.Error("an event without its time")
	}
	delete(fields, "time")
	return fields, line
}

// one record per event, with what is known and nothing else.
func TestRecord(t *testing.T) {
	userID, sessionID := uuid.New(), uuid.New()
	tests := map[string]struct {
		event event.Event
		want  map[string]any
	}{
		"zero fields are left out": {event.Event{Name: event.LoginSucceeded},
			map[string]any{"level": "INFO", "event": "login.succeeded"}},
		"everything that is known is told": {
			event.Event{Name: event.AllRevoked, UserID: userID, SessionID: sessionID, Account: "1f", Reason: "asked", Count: 3},
			map[string]any{"level": "INFO", "event": "sessions.revoked", "user_id": userID.String(),
				"session_id": sessionID.String(), "account": "1f", "reason": "asked", "count": 3.0}},
		"a stolen token is something to look at": {event.Event{Name: event.RefreshReused, UserID: userID},
			map[string]any{"level": "WARN", "event": "refresh.reused", "user_id": userID.String()}},
		"a user alone": {event.Event{Name: event.SignedUp, UserID: userID},
			map[string]any{"level": "INFO", "event": "signup.succeeded", "user_id": userID.String()}},
		"a session alone": {event.Event{Name: event.RefreshFailed, SessionID: sessionID},
			map[string]any{"level": "INFO", "event": "refresh.failed", "session_id": sessionID.String()}},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			tt.want["msg"] = "security"
			if got, line := record(t, tt.event); !maps.Equal(got, tt.want) {
				t.Errorf("%s\nwant %v", line, tt.want)
			}
		})
	}
}

// the names are what operators search for, so they stay; guessing and typing mistakes
// are no warnings, or nobody would read these.
func TestNames(t *testing.T) {
	for name, want := range map[event.Name]string{
		event.SignedUp: "INFO signup.succeeded", event.SignupRefused: "INFO signup.refused",
		event.LoginSucceeded: "INFO login.succeeded", event.LoginFailed: "INFO login.failed",
		event.LoginThrottled: "INFO login.throttled", event.PasswordRehashed: "INFO password.rehashed", event.RehashFailed: "INFO password.rehash_failed",
		event.Refreshed: "INFO refresh.rotated", event.RefreshRepeated: "INFO refresh.repeated",
		event.RefreshFailed: "INFO refresh.failed", event.RefreshReused: "WARN refresh.reused",
		event.LoggedOut: "INFO logout.succeeded", event.AllRevoked: "INFO sessions.revoked",
		event.KeyRotated: "INFO key.rotated", event.KeyRemoved: "INFO key.removed", event.KeyResealed: "INFO key.resealed", event.Started: "INFO server.started",
	} {
		fields, _ := record(t, event.Event{Name: name})
		if got := fields["level"].(string) + " " + fields["event"].(string); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// nobody writes an event of their own into the log, in neither of its forms.
func TestInjection(t *testing.T) {
	for reason, text := range map[string]string{
		"a line that looks like a record": "ada@example.com\n{\"event\":\"login.succeeded\"}",
		"carriage return and line feed":   "ada\r\ntime=now level=INFO msg=security event=login.succeeded",
		"a quote that ends the value":     `ada","event":"login.succeeded`,
		"a field of the text form":        "ada event=login.succeeded",
		"a quote of the text form":        `ada" event=login.succeeded x="`,
		"lines of Unicode":                "ada\u2028\u2029\u0085event=login.succeeded",
		"a terminal's commands":           "ada\x1b[2K\x1b[1Aevent=login.succeeded",
		"bytes that are no text":          "ada\xff\xfe\nevent=login.succeeded",
	} {
		t.Run(reason, func(t *testing.T) {
			e := event.Event{Name: event.LoginFailed, Account: text, Reason: text}
			fields, line := record(t, e)
			if fields["event"] != "login.failed" || len(fields) != 5 || strings.Count(line, `"event":`) != 1 {
				t.Errorf("JSON: %q", line)
			}
			if want := strings.ToValidUTF8(text, "\ufffd"); fields["account"] != fields["reason"] ||
				strings.ReplaceAll(fields["account"].(string), "\ufffd\ufffd", "\ufffd") != want {
				t.Errorf("the value did not survive: %q", line)
			}

			var out bytes.Buffer
			event.NewLog(slog.New(slog.NewTextHandler(&out, nil))).Record(t.Context(), e)
			line, ended := strings.CutSuffix(out.String(), "\n")
			if !ended || strings.ContainsAny(line, "\r\n\x1b\u2028\u2029\u0085") {
				t.Errorf("text: not one plain line: %q", out.String())
			}
			if strings.Count(unquoted(line), "event=") != 1 {
				t.Errorf("text: a second event: %q", line)
			}
		})
	}
}

// unquoted drops what stands between quotes.
func unquoted(line string) string {
	var out strings.Builder
	quoted, escaped := false, false
	for _, r := range line {
		switch {
		case escaped:
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		case !quoted:
			out.WriteRune(r)
		}
	}
	return out.String()
}

type contextHandler struct {
	slog.Handler
	got *context.Context
}

func (h contextHandler) Handle(ctx context.Context, _ slog.Record) error {
	*h.got = ctx
	return nil
}

// the request's id and client come from the context, so the handler has to get it.
func TestContextReachesTheHandler(t *testing.T) {
	type key struct{}
	var got context.Context
	log := slog.New(contextHandler{slog.DiscardHandler, &got})
	event.NewLog(log).Record(context.WithValue(t.Context(), key{}, 1), event.Event{Name: event.Started})
	if got != nil {
		t.Fatal("a discarded record was handled")
	}
	log = slog.New(contextHandler{slog.NewJSONHandler(new(bytes.Buffer), nil), &got})
	event.NewLog(log).Record(context.WithValue(t.Context(), key{}, 1), event.Event{Name: event.Started})
	if got == nil || got.Value(key{}) != 1 {
		t.Error("the context was lost")
	}
}
