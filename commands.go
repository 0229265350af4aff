package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"latchkey/internal/config"
	"latchkey/internal/event"
	"latchkey/internal/password"
	"latchkey/internal/signup"
	"latchkey/internal/store"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// stdio is where a command reads and writes.
type stdio struct {
	in       *os.File
	out, err io.Writer
}

// manage runs the commands other than serve.
func manage(ctx context.Context, cfg config.Config, command config.Command, std stdio, log *slog.Logger, events *event.Log) error {
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	db, master, err := open(starting, cfg, log)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if migration, ok := strings.CutPrefix(command.Name, "migrate "); ok {
		return migrate(ctx, db, migration, std.out)
	}
	if err := migrateUp(ctx, db); err != nil {
		return err
	}
	switch command.Name {
	case "user create":
		plain, err := readPassword(ctx, std.in, std.err)
		if err != nil {
			return err
		}
		return createUser(ctx, cfg, command, plain, db, events, std.out)
	case "user list":
		return listUsers(ctx, db, std.out)
	case "user disable":
		return disableUser(ctx, command.Email, db, events, std.out)
	case "user enable":
		return enableUser(ctx, command.Email, db, events, std.out)
	}
	if keys, ok := strings.CutPrefix(command.Name, "keys "); ok {
		ring := token.NewKeyring(db, master, cfg.Algorithm)
		return manageKeys(ctx, cfg, keys, command.KeyID, ring, events, std.out)
	}
	return fmt.Errorf("unknown command %q", command.Name)
}

func migrate(ctx context.Context, db *store.DB, command string, stdout io.Writer) error {
	switch command {
	case "up":
		steps, err := db.Migrate(ctx)
		for _, step := range steps {
			fmt.Fprintln(stdout, "applied", step.Name)
		}
		if err == nil && len(steps) == 0 {
			fmt.Fprintln(stdout, "nothing to do")
		}
		return err
	case "down":
		step, err := db.Rollback(ctx)
		if err == nil && step.Name == "" {
			fmt.Fprintln(stdout, "nothing to undo")
		} else if err == nil {
			fmt.Fprintln(stdout, "undone", step.Name)
		}
		return err
	}
	steps, err := db.Migrations(ctx)
	for _, step := range steps {
		state := "pending"
		if !step.AppliedAt.IsZero() {
			state = "applied " + step.AppliedAt.Format(time.RFC3339)
		}
		fmt.Fprintf(stdout, "%s  %s\n", step.Name, state)
	}
	return err
}

func createUser(ctx context.Context, cfg config.Config, command config.Command, plain token.Secret, db *store.DB, events *event.Log, stdout io.Writer) error {
	hasher, err := password.New(cfg.Argon2)
	if err != nil {
		return err
	}
	accounts := signup.New(db, hasher, nil, nil, events, signup.Config{Password: cfg.Password, Service: serviceName})
	u, err := accounts.Register(ctx, signup.Input{
		Email: command.Email, Password: plain.Reveal(), Name: command.Label, Roles: command.Roles,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, "created", u.ID, u.Email)
	return err
}

// readPassword asks a person without echo, or reads one line from a pipe. Nothing interrupts
// the reading, so an interrupt ends the program, with the echo back.
func readPassword(ctx context.Context, stdin *os.File, stderr io.Writer) (token.Secret, error) {
	fd := int(stdin.Fd())
	state, terminalErr := term.GetState(fd)
	stop := context.AfterFunc(ctx, func() {
		if terminalErr == nil {
			_ = term.Restore(fd, state)
		}
		os.Exit(1)
	})
	defer stop()
	if terminalErr == nil {
		fmt.Fprint(stderr, "Password: ")
		typed, err := term.ReadPassword(fd)
		fmt.Fprintln(stderr)
		return token.NewSecret(string(typed)), err
	}
	line, err := bufio.NewReader(io.LimitReader(stdin, 4<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return token.Secret{}, fmt.Errorf("cannot read the password from standard input: %w", err)
	}
	return token.NewSecret(strings.TrimRight(line, "\r\n")), nil
}

func listUsers(ctx context.Context, db *store.DB, stdout io.Writer) error {
	const page = 500
	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "ID\tEMAIL\tROLES\tCREATED\tDISABLED")
	for offset := 0; ; offset += page {
		users, err := db.Users(ctx, offset, page)
		if err != nil {
			return err
		}
		for _, u := range users {
			roles := make([]string, len(u.Roles))
			for i, r := range u.Roles {
				roles[i] = string(r)
			}
			disabled := "-"
			if u.Disabled() {
				disabled = u.DisabledAt.Format(time.RFC3339)
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", u.ID, u.Email, strings.Join(roles, ","), u.CreatedAt.Format(time.RFC3339), disabled)
		}
		if len(users) < page {
			return out.Flush()
		}
	}
}

func disableUser(ctx context.Context, address string, db *store.DB, events *event.Log, stdout io.Writer) error {
	email, err := user.NormalizeEmail(address)
	if err != nil {
		return user.ErrNotFound // what is no address has no account
	}
	u, ended, err := db.DisableUser(ctx, email)
	if err != nil {
		return err
	}
	events.Record(ctx, event.Event{Name: event.UserDisabled, UserID: u.ID, Count: ended})
	_, err = fmt.Fprintf(stdout, "disabled %s %s, sessions ended: %d\n", u.ID, u.Email, ended)
	return err
}

func enableUser(ctx context.Context, address string, db *store.DB, events *event.Log, stdout io.Writer) error {
	email, err := user.NormalizeEmail(address)
	if err != nil {
		return user.ErrNotFound // what is no address has no account
	}
	u, err := db.EnableUser(ctx, email)
	if err != nil {
		return err
	}
	events.Record(ctx, event.Event{Name: event.UserEnabled, UserID: u.ID})
	_, err = fmt.Fprintln(stdout, "enabled", u.ID, u.Email)
	return err
}
