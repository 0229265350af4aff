package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"latchkey/internal/config"
	"latchkey/internal/event"
	"latchkey/internal/token"
)

// manageKeys runs the commands on signing keys. Running servers learn of all that they do by
// themselves.
func manageKeys(ctx context.Context, cfg config.Config, command, id string, keys *token.Keyring, events *event.Log, stdout io.Writer) error {
	switch command {
	case "rotate":
		return rotateKeys(ctx, keys, events, stdout)
	case "remove":
		return removeKey(ctx, id, keys, events, stdout)
	case "reseal":
		return resealKeys(ctx, cfg, keys, events, stdout)
	}
	return listKeys(ctx, keys, stdout)
}

func rotateKeys(ctx context.Context, keys *token.Keyring, events *event.Log, stdout io.Writer) error {
	rotation, err := keys.Rotate(ctx)
	if err != nil {
		return err
	}
	events.Record(ctx, event.Event{Name: event.KeyRotated, Reason: "kid " + rotation.KeyID})
	_, err = fmt.Fprintf(stdout, "new signing key %s, published within five seconds, used from %s on\n", rotation.KeyID, stamp(rotation.ActiveAt))
	return err
}

func removeKey(ctx context.Context, id string, keys *token.Keyring, events *event.Log, stdout io.Writer) error {
	removal, err := keys.Remove(ctx, id)
	if removal.KeyID == "" {
		return err
	}
	// What was done is told also when the look at the result failed.
	reason := "kid " + removal.KeyID
	fmt.Fprintln(stdout, "removed signing key", removal.KeyID)
	if next := removal.Next; next.KeyID != "" {
		reason += ", new kid " + next.KeyID
		fmt.Fprintf(stdout, "new signing key %s, used from %s on\n", next.KeyID, stamp(next.ActiveAt))
	}
	events.Record(ctx, event.Event{Name: event.KeyRemoved, Reason: reason})
	_, _ = fmt.Fprintf(stdout, `Servers refuse its tokens within five seconds; refreshing gives clients new ones.
Services that verify tokens by the published keys may go on accepting its tokens until they
fetch the keys again: %.0f minutes if they heed Cache-Control, longer with some libraries.
Restart them to be sure.
`, token.JWKSMaxAge.Minutes())
	return err
}

func resealKeys(ctx context.Context, cfg config.Config, keys *token.Keyring, events *event.Log, stdout io.Writer) error {
	n, err := keys.Reseal(ctx)
	if n > 0 {
		events.Record(ctx, event.Event{Name: event.KeyResealed, Count: n})
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "signing keys resealed: %d; none needs LATCHKEY_SECRET_OTHER now.\n"+
		"Refresh tokens do for %v after the last server took up the new secret.\n", n, cfg.RefreshIdleTTL)
	return err
}

func listKeys(ctx context.Context, keys *token.Keyring, stdout io.Writer) error {
	list, err := keys.List(ctx)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "KID\tALGORITHM\tGENERATION\tSECRET\tSTATE")
	for _, k := range list {
		state := string(k.State)
		switch k.State {
		case token.KeyPublished:
			state += ", signs from " + stamp(k.Until)
		case token.KeySuperseded:
			state += ", verifies until " + stamp(k.Until)
		}
		fmt.Fprintf(out, "%s\t%s\t%d\t%s\t%s\n", k.ID, k.Algorithm, k.Generation, k.Seal, state)
	}
	return out.Flush()
}

// tellOther logs, at a start with two master secrets, whether signing keys need the second.
func tellOther(ctx context.Context, keys *token.Keyring, log *slog.Logger) {
	list, err := keys.List(ctx)
	n := 0
	for _, k := range list {
		if k.Seal == token.SealedByOther {
			n++
		}
	}
	switch {
	case err != nil:
		log.WarnContext(ctx, "cannot tell whether LATCHKEY_SECRET_OTHER is needed", "error", err)
	case n > 0:
		log.WarnContext(ctx, "signing keys need LATCHKEY_SECRET_OTHER: run keys reseal when every server has both secrets", "keys", n)
	default:
		log.InfoContext(ctx, "no signing key needs LATCHKEY_SECRET_OTHER; refresh tokens may")
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
