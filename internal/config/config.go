package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Config holds checked settings.
type Config struct {
	Addr           string
	PublicURL      string // an origin; empty: derived from the port that is listened on
	DataDir        string
	DatabaseURL    string // empty: SQLite in DataDir
	RedisURL       string // empty: none
	Master         token.Master
	HasMaster      bool         // false: read or make it in DataDir
	Other          token.Master // for Master.With; the zero Master: none
	HasOther       bool
	Development    bool // plain http on loopback
	AllowedOrigins []string
	TrustedProxies []netip.Prefix
	SameSiteNone   bool

	AccessTTL      time.Duration
	RefreshGrace   time.Duration
	RefreshIdleTTL time.Duration
	RefreshTTL     time.Duration
	MaxSessions    int    // living ones of a user
	Audience       string // empty: the public URL
	Algorithm      token.Algorithm

	Limits   ratelimit.Limits // of every bucket
	Replicas int              // at least 1

	Argon2   password.Config
	Password password.Policy

	IDE           bool
	Introspection bool
	LogJSON       bool
	LogLevel      slog.Level
	Warnings      []string // worth a line in the log, not worth a refusal
}

// Command is what the program was asked to do.
type Command struct {
	Name  string // "serve", "migrate up", "user create" …
	Email string // user create, user disable, user enable
	Label string // user create: the display name
	Roles []user.Role
	KeyID string // keys remove: how it begins
}

// ErrDone: kong has answered already (--help).
var ErrDone = errors.New("config: nothing left to do")

// Mistakes lists everything that is wrong with the settings, by name.
type Mistakes []string

// Error implements error.
func (m Mistakes) Error() string { return strings.Join(m, "\n") }

type commandLine struct {
	Serve   struct{} `cmd:"" default:"1" help:"Run the server (the default)."`
	Migrate struct {
		Up     struct{} `cmd:"" help:"Apply what is missing. serve does so by itself."`
		Down   struct{} `cmd:"" help:"Undo the newest step. Its data is lost."`
		Status struct{} `cmd:"" help:"List all steps."`
	} `cmd:"" help:"Change the form of the database."`
	User struct {
		Create struct {
			Email string   `arg:"" help:"Email address."`
			Name  string   `placeholder:"TEXT" help:"Display name."`
			Role  []string `placeholder:"USER|ADMIN" help:"Roles. Default: USER."`
		} `cmd:"" help:"Create an account. The password is read from standard input."`
		List    struct{} `cmd:"" help:"List accounts."`
		Disable struct {
			Email string `arg:"" help:"Email address."`
		} `cmd:"" help:"Keep an account from signing in, and end its sessions."`
		Enable struct {
			Email string `arg:"" help:"Email address."`
		} `cmd:"" help:"Let a disabled account sign in again."`
	} `cmd:"" help:"Create, list and disable accounts."`
	Keys struct {
		List   struct{} `cmd:"" help:"List signing keys, their states, and the master secret each needs."`
		Rotate struct{} `cmd:"" help:"Publish a new signing key, which is used after ten minutes."`
		Remove struct {
			KID string `arg:"" help:"The key's id, or how it begins (at least 8 characters)."`
		} `cmd:"" help:"In an emergency: delete a signing key, and with it all its tokens."`
		Reseal struct{} `cmd:"" help:"Encrypt under the master secret what is encrypted under LATCHKEY_SECRET_OTHER."`
	} `cmd:"" help:"Manage signing keys."`
	Version struct{} `cmd:"" help:"Print the version."`

	settings
}

// Parse reads the command line and the environment. Errors: Mistakes, ErrDone, or kong's own
// for a command line that cannot be understood.
func Parse(args, environ []string, stdout, stderr io.Writer) (Config, Command, error) {
	env := map[string]string{}
	for _, pair := range environ {
		// An empty variable counts as none: that is how compose files leave a setting out.
		if name, value, _ := strings.Cut(pair, "="); value != "" {
			env[name] = value
		}
	}
	var cli commandLine
	done := false
	parser, err := kong.New(&cli,
		kong.Name("latchkey"),
		kong.Description("A self-hosted authentication server with a GraphQL API."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { done = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			if value, ok := env[variable(flag.Name)]; ok && isSetting(flag.Name) {
				return value, nil
			}
			return nil, nil
		})),
		kong.ValueFormatter(func(value *kong.Value) string {
			if value.Flag == nil || !isSetting(value.Flag.Name) {
				return value.Help
			}
			help := value.Help
			if value.HasDefault {
				help += " Default: " + value.Default + "."
			}
			return help + " ($" + variable(value.Flag.Name) + ")"
		}),
	)
	if err != nil {
		return Config{}, Command{}, err
	}
	parsed, err := parser.Parse(args)
	if done {
		return Config{}, Command{}, ErrDone
	}
	if err != nil {
		return Config{}, Command{}, errors.New(shown(withoutArgument(err.Error())))
	}
	name, _, _ := strings.Cut(parsed.Command(), " <") // without arguments
	command := Command{Name: name, KeyID: cli.Keys.Remove.KID}
	if command.Name == "version" {
		return Config{}, command, nil
	}
	c := checker{settings: cli.settings}
	cfg := c.config()
	cfg.Warnings = append(cfg.Warnings, unknown(env)...)
	switch command.Name {
	case "user disable":
		command.Email = cli.User.Disable.Email
	case "user enable":
		command.Email = cli.User.Enable.Email
	case "user create":
		command.Email, command.Label = cli.User.Create.Email, cli.User.Create.Name
		for _, name := range cli.User.Create.Role {
			role, err := user.ParseRole(name)
			if err != nil {
				c.mistakes = append(c.mistakes, fmt.Sprintf("--role: %q is no role", shown(name)))
			}
			command.Roles = append(command.Roles, role)
		}
	}
	if len(c.mistakes) > 0 {
		return Config{}, command, c.mistakes
	}
	return cfg, command, nil
}

// withoutArgument leaves out a word too many: it may be the password of user create.
func withoutArgument(text string) string {
	head, argument, found := strings.Cut(text, "unexpected argument ")
	if !found {
		return text
	}
	hint := ""
	if at := strings.LastIndex(argument, ", did you mean "); at >= 0 {
		hint = argument[at:]
	}
	return head + "unexpected argument" + hint
}

func isSetting(flag string) bool {
	return slices.ContainsFunc(all(), func(s setting) bool { return s.Flag == flag })
}

// unknown warns of variables that nothing reads. It does not refuse them: an orchestrator may
// set LATCHKEY_SERVICE_HOST and its like.
func unknown(env map[string]string) []string {
	known := map[string]bool{}
	for _, s := range all() {
		known[s.Variable] = true
	}
	var out []string
	for name := range env {
		if strings.HasPrefix(name, "LATCHKEY_") && !known[name] {
			out = append(out, name+" is set, but there is no such setting")
		}
	}
	slices.Sort(out)
	return out
}
