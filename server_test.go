package main

import (
	"errors"
	"testing"
	"time"

	"latchkey/internal/session"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
)

// a server that cannot tell which sessions have ended is not ready.
func TestReadiness(t *testing.T) {
	t.Parallel()
	db := storetest.New(t, "sqlite")
	master, err := token.ParseMaster(token.GenerateMaster().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	keys := token.NewKeyring(db, master, token.ES256)
	if err := keys.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	issuer, err := token.NewIssuer(keys, token.IssuerConfig{Issuer: "i", Audience: "a", ClientID: "c", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	sessions := session.New(db, session.Tokens{Access: issuer}, nil, nil, session.Config{})
	ready := about{keys, sessions, db.DB}
	if err := ready.Ready(t.Context()); !errors.Is(err, session.ErrUncertain) {
		t.Errorf("before the first look: %v", err)
	}
	if err := sessions.LoadEnded(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ready.Ready(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := (about{token.NewKeyring(db, master, token.ES256), sessions, db.DB}).Ready(t.Context()); !errors.Is(err, token.ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ready.Ready(t.Context()); err == nil {
		t.Error("ready without a database")
	}
}
