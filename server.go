// Latchkey is a self-hosted authentication server with a GraphQL API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"latchkey/graph"
	"latchkey/internal/config"
	"latchkey/internal/datadir"
	"latchkey/internal/event"
	"latchkey/internal/httpserver"
	"latchkey/internal/input"
	"latchkey/internal/login"
	"latchkey/internal/password"
	"latchkey/internal/profile"
	"latchkey/internal/ratelimit"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/signup"
	"latchkey/internal/store"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/web"
)

const (
	version       = "0.1.0"
	serviceName   = "latchkey"
	shutdownGrace = 10 * time.Second
	// A database that is silent must not hold a start for ever; a migration may take its time.
	startTimeout   = 30 * time.Second
	migrateTimeout = 30 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr); err != nil {
		for line := range strings.SplitSeq(explain(err), "\n") {
			fmt.Fprintln(os.Stderr, "latchkey: "+line)
		}
		os.Exit(1)
	}
}

// explain says what a person can do about an error.
func explain(err error) string {
	var mistakes *input.Error
	switch {
	case errors.As(err, &mistakes):
		lines := make([]string, len(mistakes.Mistakes))
		for i, m := range mistakes.Mistakes {
			lines[i] = m.Field + ": " + m.Message
		}
		return strings.Join(lines, "\n")
	case errors.Is(err, user.ErrEmailTaken):
		return "there is an account with this email address already"
	case errors.Is(err, user.ErrNotFound):
		return "there is no account with this email address"
	case errors.Is(err, token.ErrOtherMaster):
		return "the signing keys in the database were sealed under another master secret: " +
			"restore that secret (LATCHKEY_SECRET, LATCHKEY_SECRET_FILE or the file secret in the data directory), " +
			"or name it in LATCHKEY_SECRET_OTHER while you replace it"
	case errors.Is(err, token.ErrKeyConflict):
		return "another process added a signing key at the same moment: nothing was changed, run the command again"
	case errors.Is(err, token.ErrUnknownKey):
		return err.Error() + " (keys list shows them)"
	case errors.Is(err, store.ErrNewerDatabase):
		return err.Error() + ": run that version, or newer"
	case errors.Is(err, syscall.EADDRINUSE):
		return err.Error() + ": stop the other program, or set LATCHKEY_ADDR"
	}
	return err.Error()
}

func run(ctx context.Context, args, environ []string, stdin *os.File, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == "--version" {
		args = []string{"version"} // by habit
	}
	cfg, command, err := config.Parse(args, environ, stdout, stderr)
	if errors.Is(err, config.ErrDone) {
		return nil
	}
	if err != nil {
		return err
	}
	if command.Name == "version" {
		_, err := fmt.Fprintln(stdout, "latchkey", version)
		return err
	}
	log := newLog(stderr, cfg, cfg.LogLevel)
	// The security log is told at any level: turning down the noise must not silence alarms.
	events := event.NewLog(newLog(stderr, cfg, min(cfg.LogLevel, slog.LevelInfo)))
	for _, warning := range cfg.Warnings {
		log.Warn(warning)
	}
	if command.Name == "serve" {
		return serve(ctx, cfg, log, events, stdout)
	}
	return manage(ctx, cfg, command, stdio{stdin, stdout, stderr}, log, events)
}

func newLog(w io.Writer, cfg config.Config, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
			a.Value = slog.TimeValue(a.Value.Time().UTC())
		}
		return a
	}}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if cfg.LogJSON {
		handler = slog.NewJSONHandler(w, options)
	}
	return slog.New(reqctx.LogHandler(handler))
}

// serve runs the server until ctx ends.
func serve(ctx context.Context, cfg config.Config, log *slog.Logger, events *event.Log, stdout io.Writer) error {
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", cfg.Addr, err)
	}
	defer func() { _ = listener.Close() }()
	if cfg.PublicURL == "" {
		cfg.PublicURL = "http://localhost:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	}
	starting, cancelStart := context.WithTimeout(ctx, startTimeout)
	defer cancelStart()
	db, master, err := open(starting, cfg, log)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := migrateUp(ctx, db); err != nil {
		return err
	}
	wiring, cancelWire := context.WithTimeout(ctx, startTimeout)
	defer cancelWire()
	a, err := wire(wiring, cfg, master, db, log, events)
	if err != nil {
		return err
	}
	defer func() { _ = a.limiter.Close() }()
	if cfg.HasOther {
		tellOther(wiring, a.keys, log)
	}

	server := httpserver.NewServer(a.handler, log)
	server.RegisterOnShutdown(a.sessions.CloseWatches) // streams would use up the grace
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { a.keys.Run(background, log) })
	work.Go(func() { a.sessions.Run(background, log) })
	work.Go(func() { a.limiter.Run(background, log) })
	defer work.Wait()
	defer cancel()

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	events.Record(ctx, event.Event{Name: event.Started, Reason: "version " + version})
	if _, err := io.WriteString(stdout, welcome(cfg, listener.Addr().String(), db.Location())); err != nil {
		return err
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	log.Info("stopping: requests under way are finished first")
	drain, cancelDrain := context.WithTimeout(background, shutdownGrace)
	defer cancelDrain()
	if err := server.Shutdown(drain); err != nil {
		log.Warn("some requests were cut off", "error", err)
		_ = server.Close()
	}
	return nil
}

func welcome(cfg config.Config, listening, data string) string {
	var b strings.Builder
	row := func(name, value string) { fmt.Fprintf(&b, "  %-9s  %s\n", name, value) }
	fmt.Fprintf(&b, "\n  Latchkey %s", version)
	if cfg.Development {
		b.WriteString(" in development mode: plain http, for this machine only")
	}
	b.WriteString("\n\n")
	row("GraphQL", cfg.PublicURL+"/graphql")
	if cfg.IDE {
		row("IDE", cfg.PublicURL+"/")
	}
	row("Account", cfg.PublicURL+"/account")
	if len(cfg.AllowedOrigins) > 0 {
		row("Origins", strings.Join(cfg.AllowedOrigins, ", "))
	}
	row("Data", data)
	row("Listening", listening)
	return b.String() + "\n"
}

// app is the wired program.
type app struct {
	handler  http.Handler
	keys     *token.Keyring
	sessions *session.Service
	limiter  *ratelimit.Limiter
}

// wire builds everything from the leaves up.
func wire(ctx context.Context, cfg config.Config, master token.Master, db *store.DB, log *slog.Logger, events *event.Log) (*app, error) {
	hasher, err := password.New(cfg.Argon2)
	if err != nil {
		return nil, err
	}
	limiter, err := newLimiter(ctx, cfg, master, db, log)
	if err != nil {
		return nil, err
	}
	keys := token.NewKeyring(db, master, cfg.Algorithm)
	if err := keys.Load(ctx); err != nil {
		return nil, err
	}
	audience := cfg.Audience
	if audience == "" {
		audience = cfg.PublicURL
	}
	issuer, err := token.NewIssuer(keys, token.IssuerConfig{
		Issuer: cfg.PublicURL, Audience: audience, ClientID: serviceName, TTL: cfg.AccessTTL,
	})
	if err != nil {
		return nil, err
	}
	sessions := session.New(db, session.Tokens{Access: issuer, Refresh: token.NewRefreshCodec(master)}, limiter, events, session.Config{
		Grace: cfg.RefreshGrace, IdleTTL: cfg.RefreshIdleTTL, TTL: cfg.RefreshTTL, Max: cfg.MaxSessions,
		Limits: cfg.Limits,
	})
	if err := sessions.LoadEnded(ctx); err != nil {
		return nil, err
	}
	logins := login.New(db, hasher, limiter, sessions, events, login.Config{
		Limits: cfg.Limits, Devices: token.NewDeviceCodec(master), Pseudonym: token.NewPseudonym(master),
	})
	signups := signup.New(db, hasher, limiter, logins, events, signup.Config{
		Limits: cfg.Limits, Password: cfg.Password, Service: serviceName,
	})
	api, err := graph.NewHandler(graph.NewResolver(db, signups, logins, sessions, profile.New(db)), log, graph.HandlerConfig{
		Introspection: cfg.Introspection, Reasons: cfg.Development,
	})
	if err != nil {
		return nil, err
	}
	edge := httpserver.Config{
		Pages:     pages(cfg, log),
		PublicURL: cfg.PublicURL, Secure: !cfg.Development,
		AllowedOrigins: cfg.Origins(cfg.PublicURL), TrustedProxies: cfg.TrustedProxies,
		SameSiteNone: cfg.SameSiteNone, JWKSMaxAge: token.JWKSMaxAge, Limits: cfg.Limits,
	}
	return &app{
		handler: httpserver.New(httpserver.API{
			Handler: api, Refuse: graph.Refuse, Limited: graph.RefuseLimited, Crashed: graph.RefuseInternal,
		}, sessions, about{keys, sessions, db}, limiter, log, edge),
		keys: keys, sessions: sessions, limiter: limiter,
	}, nil
}

// pages are what the binary holds for browsers, by route.
func pages(cfg config.Config, log *slog.Logger) map[string]http.Handler {
	client := web.Client()
	account := web.Account(web.AccountConfig{
		Origins: cfg.Origins(cfg.PublicURL),
		Refused: func(ctx context.Context, origin string) {
			log.WarnContext(ctx, "return_to refused: allow its origin by adding it to LATCHKEY_ALLOWED_ORIGINS", "origin", origin)
		},
	})
	routes := map[string]http.Handler{
		"/auth-client.js": client, "/auth-client.d.ts": client,
		"/account": account, "/account/": account,
	}
	if cfg.IDE {
		ide := web.IDE()
		routes["/{$}"], routes["/ide/"] = ide, ide
	}
	return routes
}

// about is what the server tells of itself.
type about struct {
	*token.Keyring
	sessions *session.Service
	db       *store.DB
}

// Feed is what sessions have to tell other services.
func (a about) Feed() (token.Feed, error) { return a.sessions.Feed() }

// Ready asks for everything that a guarded field needs.
func (a about) Ready(ctx context.Context) error {
	var keyless error
	if len(a.Algorithms()) == 0 {
		keyless = token.ErrNoKey
	}
	return errors.Join(keyless, a.sessions.Fresh(), a.db.Ping(ctx))
}

// newLimiter counts in Redis, or else in Postgres what is about accounts, or else in this process.
func newLimiter(ctx context.Context, cfg config.Config, master token.Master, db *store.DB, log *slog.Logger) (*ratelimit.Limiter, error) {
	where := "the database"
	limits := ratelimit.Config{Replicas: cfg.Replicas, OnFallback: func(err error) {
		log.Warn(where+" does not answer in time: this process counts rate limits for itself", "error", err)
	}}
	var shared *ratelimit.Shared
	switch {
	case cfg.RedisURL != "":
		where = "Redis"
		var err error
		if shared, err = ratelimit.OpenRedis(cfg.RedisURL); err != nil {
			return nil, err
		}
		// It may come back, so this is no reason not to start.
		if err := shared.Ping(ctx); err != nil {
			limits.OnFallback(err)
		}
	case cfg.DatabaseURL != "":
		shared = ratelimit.OnDatabase(db)
	}
	key := master.Derive(token.PurposeLimitKey)
	return ratelimit.New(key[:], shared, limits)
}

// open opens the database and answers the master secret, both from the data directory where
// nothing else is named.
func open(ctx context.Context, cfg config.Config, log *slog.Logger) (*store.DB, token.Master, error) {
	master := cfg.Master
	var dir datadir.Dir
	var err error
	if cfg.DatabaseURL == "" || !cfg.HasMaster {
		if dir, err = datadir.Open(cfg.DataDir); err != nil {
			return nil, token.Master{}, err
		}
	}
	if !cfg.HasMaster {
		if master, err = dir.Master(log); err != nil {
			return nil, token.Master{}, err
		}
	}
	if master, err = master.With(cfg.Other); err != nil {
		return nil, token.Master{}, fmt.Errorf("LATCHKEY_SECRET_OTHER: %w", err)
	}
	if cfg.DatabaseURL != "" {
		db, err := store.OpenPostgres(ctx, cfg.DatabaseURL)
		return db, master, err
	}
	db, err := store.OpenSQLite(ctx, dir.Database())
	if err != nil {
		return nil, token.Master{}, fmt.Errorf("cannot open the database in the data directory: %w", err)
	}
	return db, master, nil
}

func migrateUp(ctx context.Context, db *store.DB) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	_, err := db.Migrate(ctx)
	return err
}
